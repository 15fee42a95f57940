"""PyOD's MAD, which takes one feature, on each of several: the largest says how odd a row is."""

from __future__ import annotations

import numpy as np

from detector import frames
from detector.models import estimators, fitted

LEAST_DEVIATION = 1e-9
"""A feature that deviates less from its median, at the median, has nothing to say."""


def learn(path: str, rows: fitted.Rows, parameters: fitted.Parameters, seed: int) -> fitted.Score:
    """The largest modified z-score of a row's features."""
    columns = rows.astype(np.float64)
    deviations = np.median(np.abs(columns - np.median(columns, axis=0)), axis=0)
    used = np.flatnonzero(deviations > LEAST_DEVIATION)
    each = [
        estimators.make(path, parameters, seed).fit(columns[:, place, np.newaxis])
        for place in used.tolist()
    ]

    def score(rows: fitted.Rows) -> frames.Floats:
        largest = np.zeros(len(rows))
        for place, one in zip(used, each, strict=True):
            column = rows[:, place, np.newaxis].astype(np.float64)
            np.maximum(largest, one.decision_function(column), out=largest)
        return largest

    return score
