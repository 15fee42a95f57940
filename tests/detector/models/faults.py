"""Faults of each kind, put into series with a daily season and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from detector import frames
from detector.models import budget, scoring
from tests.detector.models import simulation

SERIES, DAYS = 12, 3
WEEKLY = budget.parse_budget("1 per week per series")


class Plain(NamedTuple):
    """What a fault is put into.

    values float64[T, S] with season and noise; season, noise float64[T, S], its parts
    size   float64[S], the noise's standard deviation
    """

    values: frames.Floats
    season: frames.Floats
    noise: frames.Floats
    size: frames.Floats


def plain(kind: str, step: timedelta, *, seed: int, points: int) -> Plain:
    """Three days and so many points of this noise around 100 of its sizes and a daily sine of 8."""
    steps = round(timedelta(days=DAYS) / step) + points
    noise = simulation.KINDS[kind](np.random.default_rng(seed), steps, SERIES)
    noise -= noise.mean(axis=0)
    size = noise.std(axis=0)
    day = np.sin(2 * np.pi * np.arange(steps) * (step / timedelta(days=1)))
    season = size * (100 + 8 * day[:, None])
    return Plain(season + noise, season, noise, size)


def spike(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at : at + 3] += 25 * given.size
    return values


def dip(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at : at + 3] -= 25 * given.size
    return values


def level_shift(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at:] += 20 * given.size
    return values


def trend(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at:] += 0.8 * given.size * np.arange(len(values) - at)[:, None]
    return values


def variance(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at:] += 9 * given.noise[at:]
    return values


def flat(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at:] = values[at]
    return values


def zero(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at:] = 0
    return values


def missing(given: Plain, at: int) -> frames.Floats:
    values = given.values.copy()
    values[at:] = np.nan
    return values


FAULTS: Mapping[frames.Kind, Callable[[Plain, int], frames.Floats]] = {
    frames.Kind.SPIKE: spike,
    frames.Kind.DIP: dip,
    frames.Kind.LEVEL_SHIFT: level_shift,
    frames.Kind.TREND: trend,
    frames.Kind.VARIANCE: variance,
    frames.Kind.FLAT: flat,
    frames.Kind.ZERO: zero,
    frames.Kind.MISSING: missing,
}


def last_kinds(kind: frames.Kind, noise: str, step: timedelta, *, seed: int) -> frames.Ints:
    """int64[S]: the kind last shown after a fault of this kind began, 0 if none was."""
    lasts = 40
    given = plain(noise, step, seed=seed, points=lasts)
    at = len(given.values) - lasts
    values = FAULTS[kind](given, at)
    scorer = scoring.QueryScorer(step=step, budget=WEEKLY)
    step_ms = step // timedelta(milliseconds=1)
    times_ms = (28_000_000 + np.arange(len(values), dtype=np.int64)) * step_ms
    scores = scorer.score(frames.Frame(times_ms, np.asfortranarray(values), step_ms))
    shown = scores.kind[at:].astype(np.int64)
    last = len(shown) - 1 - (shown > 0)[::-1].argmax(axis=0)
    return np.asarray(shown[last, np.arange(SERIES)])
