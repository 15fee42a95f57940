"""PyOD's AutoEncoder, which needs torch: `pip install monitor-drift-agent[autoencoder]`."""

from __future__ import annotations

import threading

import numpy as np

from detector import errors, frames
from detector.models import estimators, fitted

BATCH_ROWS = 256
"""The class leaves out a last batch that is not full; with fewer rows than one it fails."""
LEAST_BATCHES = 2
EPSILON = 1e-8
"""What the class adds to a feature's standard deviation before it divides by it."""
_seeding = threading.Lock()
"""The class seeds generators that all threads share."""


def missing() -> str:
    """Why it cannot be fitted here; empty if it can."""
    try:
        import torch  # noqa: F401 - imported to see whether it is there
    except ImportError:
        return "torch is not installed: pip install 'monitor-drift-agent[autoencoder]'"
    return ""


def learn(path: str, rows: fitted.Rows, parameters: fitted.Parameters, seed: int) -> fitted.Score:
    """The error with which a row comes back. Raises ConfigError without torch."""
    reason = missing()
    if reason:
        raise errors.ConfigError(reason)
    import torch

    asked = int(str(parameters.get("batch_size", BATCH_ROWS)))
    given = {**parameters, "batch_size": min(asked, max(2, len(rows) // LEAST_BATCHES))}
    with _seeding, torch.random.fork_rng(devices=[]):
        made = estimators.make(path, given, seed)
        made.fit(rows.astype(np.float64))
    # In double precision, so that a row comes back the same alone and among others.
    network = made.model.double().eval()
    mean = 0.0 if made.X_mean is None else made.X_mean
    spread = 1.0 if made.X_std is None else made.X_std + EPSILON

    def score(rows: fitted.Rows) -> frames.Floats:
        given = (rows.astype(np.float64) - mean) / spread
        with torch.no_grad():
            back = network(torch.from_numpy(given)).numpy()
        off = np.sqrt(np.sum((back - given) ** 2, axis=1))
        return np.asarray(off.astype(np.float32).astype(np.float64))

    return score
