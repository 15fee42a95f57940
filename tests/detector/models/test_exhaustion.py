"""Limits that trends lead to, and trends that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import exhaustion

pytestmark = pytest.mark.usefixtures("compiled_kernels")

HOUR_MS = 3_600_000
PAST, HOURS, SERIES = 700, 1_400, 200
BEGINS, RATE = 600, 0.1
WEEK = exhaustion.Limits(-np.inf, 100.0, timedelta(days=7))
IN_SIGHT = BEGINS + round((100.0 - 20.0) / RATE) - 7 * 24
Make = Callable[[np.random.Generator, frames.Floats], frames.Floats]


def _noise(rng: np.random.Generator) -> frames.Floats:
    return np.asarray(rng.normal(size=(HOURS, SERIES)))


def _season(hours: frames.Floats) -> frames.Floats:
    return np.asarray(10.0 * np.sin(2 * np.pi * hours / 24))


def _leak(hours: frames.Floats) -> frames.Floats:
    return np.asarray(20.0 + RATE * np.maximum(hours - BEGINS, 0.0))


KINDS: dict[str, Make] = {
    "noise": lambda rng, _: 50.0 + _noise(rng),
    "daily season": lambda rng, hours: 50.0 + _season(hours) + _noise(rng),
    "saw's teeth": lambda rng, hours: (
        20.0 + 0.6 * ((hours + rng.integers(0, 100, SERIES)) % 100) + _noise(rng)
    ),
    "random walk": lambda rng, _: 50.0 + np.cumsum(_noise(rng), axis=0),
    "leak": lambda rng, hours: _leak(hours) + _noise(rng),
    "leak under a season": lambda rng, hours: _leak(hours) + _season(hours) + _noise(rng),
}


def frame_of(values: frames.Floats, *, step_ms: int = HOUR_MS) -> frames.Frame:
    times_ms = np.arange(len(values), dtype=np.int64) * step_ms
    return frames.Frame(times_ms, np.asfortranarray(values), step_ms)


def hours_left(values: frames.Floats, limits: exhaustion.Limits = WEEK) -> frames.Floats:
    return np.asarray(exhaustion.seconds_left(frame_of(values), limits) / 3600)


def _told(kind: str) -> tuple[list[int], list[frames.Floats]]:
    """At every tenth hour of the second half: the hours left of each series."""
    hours = np.arange(HOURS, dtype=np.float64)[:, np.newaxis]
    values = KINDS[kind](np.random.default_rng(1), hours)
    ends = list(range(PAST, HOURS, 10))
    return ends, [hours_left(values[end - PAST : end]) for end in ends]


@pytest.mark.parametrize(
    ("kind", "most"),
    [("noise", 0.0), ("daily season", 0.0), ("saw's teeth", 0.0), ("random walk", 0.1)],
)
def test_what_leads_nowhere_is_not_told(kind: str, most: float) -> None:
    share = float(np.mean([np.isfinite(left).mean() for left in _told(kind)[1]]))
    print(f"{kind}: told {share:.1%} of the time")
    assert share <= most


@pytest.mark.parametrize("kind", ["leak", "leak under a season"])
def test_a_leak_is_told_of_in_time(kind: str) -> None:
    ends, told = _told(kind)
    for end, left in zip(ends, told, strict=True):
        if end < IN_SIGHT - 24:
            assert np.isnan(left).all(), end
        elif end >= IN_SIGHT + 24:
            assert np.isfinite(left).all(), end
            off = np.abs(left - (BEGINS + 800 - end + 1))
            assert off.max() < max(0.1 * (BEGINS + 800 - end), 8.0), (end, off.max())
    first = next(end for end, left in zip(ends, told, strict=True) if np.isfinite(left).all())
    print(f"{kind}: all told {first - IN_SIGHT} hours after it came in sight")


def test_a_leak_over_teeth_is_told_of_once_it_is_longer_than_a_tooth() -> None:
    hours = np.arange(HOURS, dtype=np.float64)[:, np.newaxis]
    teeth = 20.0 + 0.2 * (hours % 50)
    values = np.where(hours > 1_000, 30.0 + 0.2 * (hours - 1_000), teeth)
    told = [hours_left(values[end - PAST : end])[0] for end in (990, 1_020, 1_250)]
    assert np.isfinite(told).tolist() == [False, False, True]


def test_each_limit_is_of_its_own_side() -> None:
    hours = np.arange(PAST, dtype=np.float64)[:, np.newaxis]
    rising, falling = 0.1 * hours, 100.0 - 0.1 * hours
    both = exhaustion.Limits(0.0, 100.0, timedelta(days=30))
    only_low = exhaustion.Limits(0.0, np.inf, timedelta(days=30))
    values = np.hstack([rising, falling])
    assert hours_left(values, both) == pytest.approx([301.0, 301.0])
    assert np.isnan(hours_left(values, only_low)).tolist() == [True, False]
    near = exhaustion.Limits(0.0, 100.0, timedelta(hours=300))
    assert np.isnan(hours_left(values, near)).all()


def test_beyond_the_limit_nothing_is_left() -> None:
    values = 0.2 * np.arange(PAST, dtype=np.float64)[:, np.newaxis]
    assert hours_left(values).tolist() == [0.0]


@pytest.mark.parametrize("there", [[], [0, 1], list(range(0, PAST, 2))])
def test_too_few_samples_tell_nothing(there: list[int]) -> None:
    values = np.full((PAST, 1), np.nan)
    values[there, 0] = 0.1 * np.array(there)
    assert np.isnan(hours_left(values)).all()


def test_gaps_are_no_harm() -> None:
    values = 0.1 * np.arange(PAST, dtype=np.float64)[:, np.newaxis]
    values[::7] = np.nan
    assert hours_left(values, exhaustion.Limits(0.0, 100.0, timedelta(days=30))) == pytest.approx(
        [301.0]
    )


@pytest.mark.parametrize(
    "values",
    [
        np.full((PAST, 2), 7.0),
        np.full((PAST, 2), np.inf),
        np.full((PAST, 2), 1e308),
        np.zeros((1, 1)),
        np.zeros((0, 3)),
    ],
)
def test_dull_and_wild_values_tell_nothing(values: frames.Floats) -> None:
    assert np.isnan(hours_left(values)).all()


def test_the_grid_follows_the_horizon() -> None:
    day = exhaustion.grid_for(timedelta(days=1), timedelta(seconds=15))
    assert (day.step, day.history) == (timedelta(minutes=15), timedelta(minutes=15) * PAST)
    month = exhaustion.grid_for(timedelta(days=30), timedelta(minutes=1))
    coarse = exhaustion.grid_for(timedelta(hours=1), timedelta(minutes=5))
    assert (month.step, coarse.step) == (timedelta(hours=1), timedelta(minutes=5))
