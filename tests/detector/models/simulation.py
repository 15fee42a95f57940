"""Noise such as hosts make at a step of 5 seconds, and what a scorer says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import budget, scoring

STEP = timedelta(seconds=5)
HOUR, DAY = 720, 17_280
_START_MS = 1_700_000_000_000
Make = Callable[[np.random.Generator, int, int], frames.Floats]


def window_mean(values: frames.Floats) -> frames.Floats:
    """What rate() over a 20 s window makes of samples 5 s apart: a mean of four."""
    total = np.cumsum(np.pad(values, ((4, 0), (0, 0))), axis=0)
    return np.asarray((total[4:] - total[:-4]) / 4)


def gaussian(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return 50 + rng.normal(size=(steps, series))


def averaged(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return window_mean(np.abs(rng.normal(1, 0.8, size=(steps, series))))


def autocorrelated(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    values = rng.normal(size=(steps, series))
    for t in range(1, steps):
        values[t] += 0.9 * values[t - 1]
    return values


def heavy_tailed(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return rng.standard_t(3, size=(steps, series))


def idle_cpu(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return 0.01 + 0.02 * window_mean(np.exp(rng.normal(0, 0.7, size=(steps, series))))


def rare_bursts(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    shape = (steps, series)
    return window_mean((rng.random(shape) < 1 / 120) * rng.exponential(1e5, size=shape))


def hourly_bursts(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    shape = (steps, series)
    return window_mean((rng.random(shape) < 1 / 720) * rng.lognormal(9, 0.5, size=shape))


def constant(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return np.zeros((steps, series)) + rng.normal(size=series)


def quantised(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return np.round(0.7 * rng.normal(size=(steps, series)))


def mostly_one_value(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return 0.02 + 0.01 * np.round(0.25 * rng.normal(size=(steps, series)))


def leak(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return 1e9 + 2e3 * np.arange(steps)[:, None] + 3e5 * rng.normal(size=(steps, series))


def walk(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return 4e9 + 1e5 * rng.normal(size=(steps, series)).cumsum(axis=0)


def every_minute(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return _cron(rng, steps, series, period=12, length=1)


def every_five_minutes(rng: np.random.Generator, steps: int, series: int) -> frames.Floats:
    return _cron(rng, steps, series, period=60, length=2)


def _cron(
    rng: np.random.Generator, steps: int, series: int, *, period: int, length: int
) -> frames.Floats:
    at = np.arange(steps)[:, None] + rng.integers(0, period, size=series)
    job = (at % period < length) * rng.uniform(14, 26, size=(steps, series))
    return window_mean(job + np.abs(rng.normal(1, 0.5, size=(steps, series))))


KINDS: Mapping[str, Make] = {
    "gaussian": gaussian,
    "mean of four": averaged,
    "autocorrelated": autocorrelated,
    "heavy-tailed": heavy_tailed,
    "idle cpu": idle_cpu,
    "rare bursts": rare_bursts,
    "hourly bursts": hourly_bursts,
    "constant": constant,
    "quantised": quantised,
    "mostly one value": mostly_one_value,
    "slow leak": leak,
    "random walk": walk,
    "spike each minute": every_minute,
    "spike each 5 minutes": every_five_minutes,
}


def scores_of(values: frames.Floats) -> frames.Scores:
    """What a fresh scorer at the shipped budget says of these float64[T, S] values."""
    scorer = scoring.QueryScorer(step=STEP, budget=budget.parse_budget("1 per week per series"))
    times_ms = _START_MS + np.arange(len(values), dtype=np.int64) * 5_000
    return scorer.score(frames.Frame(times_ms, np.asfortranarray(values), 5_000))


def openings(scores: frames.Scores) -> frames.Floats:
    """float64[T]: incidents that open at each step, for a series."""
    is_open = scores.kind > 0
    opened = is_open & ~np.vstack([np.zeros_like(is_open[:1]), is_open[:-1]])
    return np.asarray(opened.mean(axis=1))
