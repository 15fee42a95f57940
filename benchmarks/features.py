"""The ten residual features alone: looked at and learnt, without members, models and verdict."""

from __future__ import annotations

import time
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import arrays, budget, scoring
from detector.models.kernels import compiled, layout, residuals

TURNS = 5


@compiled.kernel
def follow(p, st, values, r, z, centre, size):  # type: ignore[no-untyped-def]
    """Let values [S, T] through the residuals of each row, as on a series' first day: its profile
    learns, in one bin, and is not asked."""
    for s in range(values.shape[0]):
        n, c, profile = st.numbers[s], st.counts[s], st.profile[s]  # a count of 0 is the first bin
        for t in range(values.shape[1]):
            x = values[s, t]
            least = residuals.floor(n, t, x)
            residuals.look(p, n, c, profile, 0.0, x, t, least, False, r, z, centre, size)
            residuals.learn_scales(p, n, r, t, least)
            residuals.learn_references(
                p, n, c, profile, st.weekly[s], st.monthly[s], x, t, False, r
            )


def points_per_second(series: int, steps: int) -> float:
    """Most points a second on one thread."""
    scorer = scoring.QueryScorer(
        step=timedelta(minutes=1), budget=budget.parse_budget("1 per week per series")
    )
    values = np.random.default_rng(1).normal(size=(series, steps))
    found = [_seconds(scorer, values) for _ in range(TURNS)]
    return series * steps / min(found)


def _seconds(scorer: scoring.QueryScorer, values: frames.Floats) -> float:
    state = scorer._fresh(len(values))
    scratch = arrays.scratch()
    centre, size = np.zeros(layout.RESIDUALS), np.zeros(layout.RESIDUALS)
    began = time.thread_time()
    follow(scorer._params, state, values, scratch.residuals, scratch.z, centre, size)
    return time.thread_time() - began
