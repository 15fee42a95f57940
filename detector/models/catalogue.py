"""The fitted models by name, and what each is by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detector.models import autoencoder, estimators, fitted, forest, mad


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the table: the path of its class, parameters, weight, and own code if any."""

    path: str
    parameters: fitted.Parameters
    weight: float
    learn: fitted.Learn = estimators.learn


CATALOGUE: Mapping[str, Entry] = {
    "iforest": Entry(
        "pyod.models.iforest.IForest",
        {"n_estimators": 100, "max_samples": 256},
        0.55,
        forest.learn,
    ),
    "knn": Entry("pyod.models.knn.KNN", {"n_neighbors": 10}, 0.55),
    "gmm": Entry("pyod.models.gmm.GMM", {"n_components": 3}, 0.55),
    "pca": Entry("pyod.models.pca.PCA", {"n_components": 0.999}, 0.55),
    "hbos": Entry("pyod.models.hbos.HBOS", {"n_bins": 50}, 0.55),
    "lof": Entry("pyod.models.lof.LOF", {"n_neighbors": 20}, 0.55),
    "ocsvm": Entry("pyod.models.ocsvm.OCSVM", {"nu": 0.05}, 0.55),
    "mad": Entry("pyod.models.mad.MAD", {}, 0.55, mad.learn),
    "inne": Entry("pyod.models.inne.INNE", {"n_estimators": 100, "max_samples": 16}, 0.55),
    "autoencoder": Entry(
        "pyod.models.auto_encoder.AutoEncoder",
        {"hidden_neuron_list": [16, 4], "epoch_num": 10, "verbose": 0},
        0.55,
        autoencoder.learn,
    ),
}
DEFAULT = ("iforest",)
"""Those that stand beside the streaming members where a query names none."""
WEIGHT = 0.55
"""Of a model that the table does not have: a tenth of all."""


def model_of(
    name: str,
    *,
    path: str | None = None,
    parameters: fitted.Parameters | None = None,
    weight: float | None = None,
    per: fitted.Per = fitted.Per.QUERY,
) -> fitted.Model:
    """The model of this name: the table's, else that of the class at `path`, else PyOD's.

    parameters  put over the table's own
    per         what it has a fit for
    Raises ValueError where there is none.
    """
    entry = CATALOGUE.get(name) if path is None else Entry(path, {}, WEIGHT)
    if entry is None:
        entry = Entry(estimators.path_of(name), {}, WEIGHT)
    if entry.learn is estimators.learn:
        estimators.class_at(entry.path)
    return fitted.Model(
        name=name,
        path=entry.path,
        parameters={**entry.parameters, **(parameters or {})},
        weight=entry.weight if weight is None else weight,
        learn=entry.learn,
        per=per,
    )


def defaults() -> tuple[fitted.Model, ...]:
    """The models of DEFAULT as the table has them."""
    return tuple(model_of(name) for name in DEFAULT)


def is_as_in_table(model: fitted.Model) -> bool:
    """Whether the model is the table's with its own parameters, which tests hold to the suite."""
    entry = CATALOGUE.get(model.name)
    return entry is not None and entry.path == model.path and entry.parameters == model.parameters
