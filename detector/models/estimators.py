"""Classes with fit and decision_function, PyOD's or anybody's, as fitted models."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np

from detector import frames
from detector.models import fitted

SEEDS = ("random_state", "seed", "random_seed")
"""Names under which classes take a seed."""
PYOD = "pyod.models."


def learn(path: str, rows: fitted.Rows, parameters: fitted.Parameters, seed: int) -> fitted.Score:
    """The score of a class fitted on rows. Raises ValueError, and whatever the class raises."""
    made = make(path, parameters, seed)
    made.fit(rows.astype(np.float64))
    return score_of(made)


def score_of(estimator: Any) -> fitted.Score:
    """The scores of a fitted estimator in single precision.

    Products of matrices differ in their last bits with the number of rows; rounded, a row
    scores the same alone and among others.
    """

    def score(rows: fitted.Rows) -> frames.Floats:
        with np.errstate(all="ignore"):
            raw = np.asarray(estimator.decision_function(rows.astype(np.float64)))
            if raw.shape != (len(rows),):
                raise ValueError(f"decision_function gave {raw.shape} for {len(rows)} rows")
            return raw.astype(np.float32).astype(np.float64)

    return score


def make(path: str, parameters: fitted.Parameters, seed: int) -> Any:
    """An estimator that is not fitted yet, with the seed where its class takes one."""
    found = class_at(path)
    taken = inspect.signature(found).parameters
    seeds = {name: seed for name in SEEDS if name in taken and name not in parameters}
    return found(**seeds, **parameters)


def class_at(path: str) -> type:
    """The class at module:Class or module.Class.

    Raises ValueError if there is none, or none that can be fitted.
    """
    module, _, name = path.rpartition(":") if ":" in path else path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not inspect.isclass(found):
        raise ValueError(f"{path}: a class is needed")
    for method in ("fit", "decision_function"):
        if not callable(getattr(found, method, None)):
            raise ValueError(f"{path}: a class with fit and decision_function is needed")
    return found


def path_of(name: str) -> str:
    """Where PyOD keeps the detector of this short name, which is its module.

    >>> path_of("copod")
    'pyod.models.copod.COPOD'

    Raises ValueError if PyOD has none.
    """
    try:
        module = importlib.import_module(PYOD + name)
    except (ImportError, ValueError) as error:
        raise ValueError(f"PyOD has no detector of this name here: {error}") from error
    wanted = name.replace("_", "")
    for found, member in vars(module).items():
        if inspect.isclass(member) and found.lower() == wanted:
            return f"{PYOD}{name}.{found}"
    raise ValueError(f"{PYOD}{name} has no class of this name: give it as class")
