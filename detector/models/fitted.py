"""Models that are fitted on rows of features, pooled over the series of a query: one interface.

A model is a way to learn a score from rows; fitted, it tells how surprising a row is, so that
every one speaks on one scale whatever its own score is. Rows are the normalised residuals of the
streaming member, float32[N, 10], all finite: never values as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from detector import errors, frames
from detector.models import surprise

Rows: TypeAlias = npt.NDArray[np.float32]
Parameters: TypeAlias = Mapping[str, object]
Score: TypeAlias = Callable[[Rows], frames.Floats]
"""float64[N] of rows, higher = more abnormal, each row on its own, safe from threads."""
Learn: TypeAlias = Callable[[str, Rows, Parameters, int], Score]
"""Fits the class of this path, with these parameters and this seed, on rows."""

Unit: TypeAlias = tuple[frames.Labels, ...]
"""The series that a fit is for, none for all of a query."""

LEAST_ROWS = 500
QUANTILES = (0.5, 0.9, 0.95, 0.98, 0.99)


class Per(StrEnum):
    """What a model has a fit for."""

    QUERY = "query"
    SERIES = "series"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fit and what it stands on: enough to fit it again from the same rows.

    quantiles        scores of the fitted rows at QUANTILES
    window_start_ms, window_end_ms
                     first and last instant of which rows may stem
    unit             the series it is for, empty for all of the query
    """

    name: str
    path: str
    parameters: Parameters
    score: Score
    curve: surprise.Curve
    seed: int
    rows: int
    features: int
    quantiles: tuple[float, ...]
    window_start_ms: int
    window_end_ms: int
    unit: Unit = ()

    def surprises(self, rows: Rows) -> frames.Floats:
        """float64[N] >= 0: -log of the share of fitted rows that score higher; 0 where the model
        has no finite score."""
        scores = self.score(rows)
        return self.curve.of(np.where(np.isfinite(scores), scores, self.curve.knots[0]))


@dataclass(frozen=True, slots=True)
class Model:
    """One fitted model of a query.

    name    of its scores, unique in the query
    path    module and class, as in pyod.models.knn.KNN
    weight  beside the streaming members, which have 1, 1, 2 and 1
    per     what it has a fit for: all series of the query pooled, each series, or each group of
            series at once
    """

    name: str
    path: str
    parameters: Parameters
    weight: float
    learn: Learn
    per: Per = Per.QUERY

    def fit(
        self, rows: Rows, *, seed: int, window_start_ms: int = 0, window_end_ms: int = 0
    ) -> FittedModel:
        """The model fitted on float32[N, F] rows, all finite; the same seed gives the same one.

        Slow: meant for a background thread. Rows that are all equal give one that says nothing.

        Raises NotEnoughData for fewer than LEAST_ROWS rows; whatever the class raises.
        """
        if len(rows) < LEAST_ROWS:
            raise errors.NotEnoughData(
                f"{self.name} needs {LEAST_ROWS} rows of features, {len(rows)} are here"
            )
        score = _nothing if (rows == rows[0]).all() else self._learnt(rows, seed)
        scores = score(rows)
        if not np.isfinite(scores).all():
            raise ValueError(f"{self.name}: a score of a fitted row is not finite")
        return FittedModel(
            name=self.name,
            path=self.path,
            parameters=self.parameters,
            score=score,
            curve=surprise.curve_of(scores),
            seed=seed,
            rows=len(rows),
            features=rows.shape[1],
            quantiles=tuple(float(q) for q in np.quantile(scores, QUANTILES)),
            window_start_ms=window_start_ms,
            window_end_ms=window_end_ms,
        )

    def _learnt(self, rows: Rows, seed: int) -> Score:
        with np.errstate(all="ignore"):
            return self.learn(self.path, rows, self.parameters, seed)


def _nothing(rows: Rows) -> frames.Floats:
    return np.zeros(len(rows))
