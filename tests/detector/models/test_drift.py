"""What drift_score says of series that drift, and of series that do not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, memories, scoring
from tests.detector.models import simulation

SERIES, DAYS = 8, 6
WEEKLY = budget.parse_budget("1 per week per series")


def told(
    values: frames.Floats, step: timedelta
) -> tuple[frames.Floats, frames.Ints, scoring.QueryScorer]:
    """The drifts that are told, at which rows of values, and the scorer after them."""
    scorer = scoring.QueryScorer(step=step, budget=WEEKLY)
    step_ms = step // timedelta(milliseconds=1)
    times_ms = (28_000_000 + np.arange(len(values), dtype=np.int64)) * step_ms
    drift = scorer.score(frames.Frame(times_ms, np.asfortranarray(values), step_ms)).drift
    rows = np.flatnonzero(~np.isnan(drift[:, 0]))
    return drift[rows], rows, scorer


def seasonal(kind: str, step: timedelta, *, seed: int = 3) -> frames.Floats:
    """Noise of this kind around a daily sine of five times its size."""
    steps = round(timedelta(days=DAYS) / step)
    noise = simulation.KINDS[kind](np.random.default_rng(seed), steps, SERIES)
    day = np.sin(2 * np.pi * np.arange(steps) * (step / timedelta(days=1)))
    return np.asarray(noise + 5 * np.abs(np.diff(noise, axis=0)).mean(axis=0) * day[:, None])


@pytest.mark.parametrize(
    "kind", ["gaussian", "autocorrelated", "heavy-tailed", "idle cpu", "quantised", "constant"]
)
def test_quiet_series_drift_no_more_often_than_the_budget_says(kind: str) -> None:
    drift, _, _ = told(seasonal(kind, timedelta(minutes=1)), timedelta(minutes=1))
    is_over = drift > 1
    openings = np.count_nonzero(is_over[1:] & ~is_over[:-1]) / SERIES
    print(f"{kind}: drifts a series in {DAYS} days {openings:.2f}")
    assert openings <= 1
    assert np.isfinite(drift).all()


def drifted(kind: str, what: str, step: timedelta, *, begins: int, ends: int) -> frames.Floats:
    """Seasonal values up to row `ends` that drift from row `begins` on."""
    values = seasonal(kind, step)
    noise = simulation.KINDS[kind](np.random.default_rng(3), len(values), SERIES)
    noise -= noise.mean(axis=0)
    size = noise.std(axis=0)
    change = {"level": 2 * size, "spread": 2 * noise, "shape": size * np.sign(noise) - noise}
    values[begins:] += np.broadcast_to(change[what], noise.shape)[begins:]
    return values[:ends]


@pytest.mark.parametrize(
    ("kind", "what", "step_s"),
    [
        (kind, what, step_s)
        for kind in ("gaussian", "heavy-tailed", "idle cpu")
        for what, step_s in (("level", 60), ("spread", 60), ("level", 300))
    ]
    + [("gaussian", "shape", 60)],
)
def test_drift_is_told_within_hours(kind: str, what: str, step_s: int) -> None:
    step = timedelta(seconds=step_s)
    begins = round(timedelta(days=DAYS - 1.5) / step)
    ends = begins + round(timedelta(hours=15) / step)
    drift, rows, _ = told(drifted(kind, what, step, begins=begins, ends=ends), step)
    found = (drift[rows > begins] > 1).any(axis=0).mean()
    print(f"{kind}, {what}, {step_s} s: {found:.2f}")
    assert found >= 0.6


@pytest.mark.parametrize(
    ("what", "wanted"),
    [("level", frames.DriftKind.LEVEL), ("spread", frames.DriftKind.SPREAD)],
)
def test_drift_is_named(what: str, wanted: frames.DriftKind) -> None:
    begins = (DAYS - 2) * 1440
    values = drifted("gaussian", what, timedelta(minutes=1), begins=begins, ends=begins + 360)
    _, _, scorer = told(values, timedelta(minutes=1))
    assert scorer.drift_kinds.tolist() == [wanted] * SERIES


def test_drift_of_shape_alone_is_named() -> None:
    begins = (DAYS - 2) * 1440
    values = drifted("gaussian", "shape", timedelta(minutes=1), begins=begins, ends=begins + 360)
    _, _, scorer = told(values, timedelta(minutes=1))
    found = scorer.drift_kinds[scorer.drift_kinds > 0]
    assert len(found) >= SERIES / 3
    assert (found == frames.DriftKind.SHAPE).all()


def test_first_day_is_too_young_to_drift() -> None:
    values = np.zeros((1440, 2))
    values[720:] = np.random.default_rng(0).normal(100, 5, size=(720, 2))
    drift, _, scorer = told(values, timedelta(minutes=1))
    assert (drift == 0).all()
    assert (scorer.drift_kinds == frames.DriftKind.NONE).all()


def test_mostly_missing_window_tells_nothing() -> None:
    values = seasonal("gaussian", timedelta(minutes=1))
    values[4 * 1440 :] += 50
    values[4 * 1440 :][np.arange(len(values) - 4 * 1440) % 48 > 12] = np.nan
    drift, rows, _ = told(values, timedelta(minutes=1))
    late = drift[rows > 4 * 1440 + 300]
    assert (late[~np.isnan(late)] == 0).all()


@pytest.mark.parametrize(
    ("step_s", "steps", "points"),
    [(1, 12, 48), (5, 12, 48), (15, 12, 48), (60, 4, 48), (300, 1, 36), (3600, 1, 6)],
)
def test_drift_is_told_before_prometheus_forgets_it(step_s: int, steps: int, points: int) -> None:
    step = timedelta(seconds=step_s)
    assert memories.steps_between_drifts(step) == steps
    assert memories.drift_block_points(step) == points
