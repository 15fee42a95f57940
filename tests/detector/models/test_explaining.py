from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import anomalies, frames
from detector.models import budget, explaining, scoring
from detector.models.kernels import layout

STEP = timedelta(minutes=1)
STEP_MS = 60_000
START_MS = 1_700_000_000_000 // STEP_MS * STEP_MS
STEPS, ROWS, AT = 400, 3, 350


def _scorer() -> scoring.QueryScorer:
    return scoring.QueryScorer(step=STEP, budget=budget.parse_budget("1 per day per series"))


def _frame(first: int, last: int, values: frames.Floats) -> frames.Frame:
    times_ms = START_MS + STEP_MS * np.arange(first, last, dtype=np.int64)
    return frames.Frame(times_ms, np.ascontiguousarray(values[first:last].T).T, STEP_MS)


@pytest.fixture
def values() -> frames.Floats:
    noise = np.random.default_rng(3).normal(100.0, 1.0, (STEPS, ROWS))
    noise[AT, 1] = 160.0
    return noise


@pytest.mark.parametrize("first", [AT, AT - 200], ids=["live", "in a longer frame"])
def test_spike_is_explained_by_what_it_was_compared_with(values: frames.Floats, first: int) -> None:
    scorer = _scorer()
    scorer.score(_frame(0, first, values))
    scores = scorer.score(_frame(first, AT + 1, values))
    assert scores.score[-1, 1] > 1.0

    told = scorer.explain(1, AT - first, values[AT, 1])

    largest = told.residuals[0]
    assert largest.reference.startswith(("average", "slow average"))
    assert largest.value == pytest.approx(100.0, abs=2.0)
    assert 40 < largest.times < 120
    sizes = [abs(each.times) for each in told.residuals]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == explaining.RESIDUALS_TOLD
    assert set(told.rises) == {"residual", "near", "wide", "gaussian"}
    assert min(told.rises.values()) > 1.0


def test_dip_has_a_negative_residual(values: frames.Floats) -> None:
    values[AT, 1] = 40.0
    scorer = _scorer()
    scorer.score(_frame(0, AT + 1, values))

    assert scorer.explain(1, AT, 40.0).residuals[0].times < -40


def test_usual_value_stays_unexplained_and_so_does_the_frame_before(values: frames.Floats) -> None:
    scorer = _scorer()
    scorer.score(_frame(0, AT + 1, values))
    assert scorer.explain(0, AT, values[AT, 0]) == anomalies.UNEXPLAINED
    assert scorer.explain(1, AT, values[AT, 1]) != anomalies.UNEXPLAINED

    scorer.score(_frame(AT + 1, AT + 2, values))

    assert scorer.explain(1, AT, values[AT, 1]) == anomalies.UNEXPLAINED


def test_only_so_many_samples_are_kept() -> None:
    evidence, rows = explaining.Evidence(), explaining.SAMPLES_KEPT + 1
    shape = (rows, 1)
    numbers = np.ones((*shape, layout.RESIDUALS))
    trace = layout.Trace(
        points=np.full(shape, 50, np.int64),
        absent=np.zeros(shape, np.bool_),
        planned=np.zeros(shape, np.bool_),
        centre=numbers,
        size=numbers,
        best=np.zeros(shape, np.int64),
        level=np.ones(shape),
        units=np.ones((*shape, layout.STREAMING)),
        rise=np.full((*shape, layout.STREAMING + 1), 2.0),
        frozen=np.zeros(shape, np.bool_),
        profiled=np.zeros(shape, np.bool_),
        least=np.ones(shape),
        drift=np.zeros(shape),
        z=np.zeros((0, 0, layout.RESIDUALS), np.float32),
    )
    for first_row in (0, rows):
        evidence.keep(trace, np.full(shape, 2.0), first_row=first_row, first_step=0)

    params = scoring.QueryScorer(
        step=STEP, budget=budget.parse_budget("1 per day per series")
    )._params
    told = [evidence.explain(row, 0, 3.0, origin=0.0, params=params) for row in (0, rows - 1, rows)]
    assert [bool(each.residuals) for each in told] == [True, False, False]
    assert told[0].rises["fitted 1"] == 2.0
