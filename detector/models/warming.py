"""Runs every kernel once on a frame of next to nothing, so that it is compiled and cached."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import budget, catalogue, exhaustion, fitted, forecasting, forest, scoring
from detector.models.kernels import layout

_STEP = timedelta(minutes=1)
_STEPS = 300


def compile_kernels() -> None:
    """Compile the kernels, with and without a forest, for frames of one and of many steps."""
    daily = budget.parse_budget("1 per day per series")
    times_ms = np.arange(_STEPS, dtype=np.int64) * (_STEP // timedelta(milliseconds=1))
    values = np.asfortranarray(np.sin(np.arange(_STEPS * 2.0)).reshape(_STEPS, 2))
    for ml in (False, True):
        scorer = scoring.QueryScorer(
            step=_STEP, budget=daily, models=catalogue.defaults() if ml else ()
        )
        scorer.score(frames.Frame(times_ms, values, step_ms=60_000))
        if ml:
            scorer.adopt(_fitted())
            forest.isolation_scores(forest.NONE, np.zeros((1, layout.RESIDUALS), np.float32))
        scorer.score(frames.Frame(times_ms[-1:] + 60_000, values[-1:], step_ms=60_000))
    past = frames.Frame(times_ms, values, step_ms=60_000)
    forecasting.foresee(past, ahead=5, more=1)
    exhaustion.seconds_left(past, exhaustion.Limits(0.0, 1.0, _STEP))


def _fitted() -> fitted.FittedModel:
    """A model that has seen nothing and says nothing, fitted without PyOD."""
    rows = np.zeros((fitted.LEAST_ROWS, layout.RESIDUALS), np.float32)
    return catalogue.defaults()[0].fit(rows, seed=0)
