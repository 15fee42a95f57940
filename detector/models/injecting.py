"""Trouble put into a copy of a series' present, to see whether and when it is found."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from detector import frames
from detector.models import scoring

TAIL_STEPS = 40
"""Steps in which trouble is put, at the end of what is there."""
AT = 10
"""Step of the tail at which it begins."""
RAMP = 20
"""Steps in which a trend reaches its size."""
SCALES = (3.0, 5.0, 10.0)
"""Sizes, in the usual error of the best forecast."""
Put = Callable[[frames.Floats, frames.Floats, float], frames.Floats]
"""What values float64[T, S] from AT on become, with residual scales float64[S] and a size."""


def _spike(values: frames.Floats, scale: frames.Floats, size: float) -> frames.Floats:
    values[0] += size * scale
    return values


def _dip(values: frames.Floats, scale: frames.Floats, size: float) -> frames.Floats:
    values[0] -= size * scale
    return values


def _level_shift(values: frames.Floats, scale: frames.Floats, size: float) -> frames.Floats:
    return values + size * scale


def _trend(values: frames.Floats, scale: frames.Floats, size: float) -> frames.Floats:
    risen = np.minimum(np.arange(1, len(values) + 1) / RAMP, 1.0)
    return np.asarray(values + risen[:, np.newaxis] * size * scale)


def _variance(values: frames.Floats, scale: frames.Floats, size: float) -> frames.Floats:
    sides = np.where(np.arange(len(values)) % 2, -1.0, 1.0)
    return np.asarray(values + sides[:, np.newaxis] * size * scale)


def _flat(values: frames.Floats, _: frames.Floats, __: float) -> frames.Floats:
    values[:] = values[0]
    return values


def _zero(values: frames.Floats, _: frames.Floats, __: float) -> frames.Floats:
    values[:] = 0.0
    return values


def _missing(values: frames.Floats, _: frames.Floats, __: float) -> frames.Floats:
    values[:] = np.nan
    return values


SIZED: Mapping[frames.Kind, Put] = MappingProxyType(
    {
        frames.Kind.SPIKE: _spike,
        frames.Kind.DIP: _dip,
        frames.Kind.LEVEL_SHIFT: _level_shift,
        frames.Kind.TREND: _trend,
        frames.Kind.VARIANCE: _variance,
    }
)
"""Kinds of a size; the others have none."""
SIZELESS: Mapping[frames.Kind, Put] = MappingProxyType(
    {frames.Kind.FLAT: _flat, frames.Kind.ZERO: _zero, frames.Kind.MISSING: _missing}
)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one kind at one size.

    scales    0 for a kind without a size
    series    in which it was put; found, in how many of them an anomaly opened
    delay     mean steps from its begin to that, NaN if none was found
    """

    kind: frames.Kind
    scales: float
    series: int
    found: int
    delay: float


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows of some series what a scorer has seen of them, of each as many samples.

    rows      int64[S], rising: those of the scorer's rows that these series have
    times_ms  int64[T, S] of each sample
    values    float64[T, S], NaN where there is none
    """

    rows: frames.Ints
    times_ms: frames.Ints
    values: frames.Floats

    def told(self, scorer: scoring.QueryScorer, values: frames.Floats) -> frames.Bools:
        """bool[T, S]: where an alert would come from, by the score or by an open anomaly, if these
        were the values. The scorer has seen them then."""
        times_ms = self.times_ms[:, 0]
        if (self.times_ms == times_ms[:, np.newaxis]).all():
            # At once: the same scores, sooner, and the only way where series hear of each other.
            frame = np.full((len(scorer.samples_seen), len(times_ms)), np.nan).T
            frame[:, self.rows] = values
            step_ms = int(times_ms[1] - times_ms[0])
            return _is_told(scorer.score(frames.Frame(times_ms, frame, step_ms)))[:, self.rows]
        told = np.empty(values.shape, np.bool_)
        for place, row in enumerate(self.rows.tolist()):
            found = scorer.score_samples(row, self.times_ms[:, place], values[:, place])
            told[:, place] = _is_told(found)[:, 0]
        return told


def tail_of(frame: frames.Frame) -> Tail:
    """All series of a frame as a tail."""
    steps, series = frame.values.shape
    rows = np.arange(series, dtype=np.int64)
    times_ms = np.broadcast_to(frame.times_ms[:, np.newaxis], (steps, series))
    return Tail(rows, times_ms, frame.values)


def trials(scorer: scoring.QueryScorer, tail: Tail) -> Iterator[Found]:
    """Each kind at each size, put into the tail; the scorer is left as it is. Series that are
    anomalous in the tail anyway, or have gaps in it, are left out."""
    plain = tail.told(copy.deepcopy(scorer), tail.values)
    usable = np.isfinite(tail.values).all(axis=0) & ~plain.any(axis=0)
    scale = scorer.residual_scales[tail.rows]
    cases = [(kind, put, size) for kind, put in SIZED.items() for size in SCALES]
    cases += [(kind, put, 0.0) for kind, put in SIZELESS.items()]
    for kind, put, size in cases:
        values = np.array(tail.values, order="F")
        values[AT:] = put(values[AT:].copy(), scale, size)
        told = tail.told(copy.deepcopy(scorer), values)[AT:, usable]
        found = told.any(axis=0)
        delays = told.argmax(axis=0)[found]
        yield Found(
            kind,
            size,
            series=int(usable.sum()),
            found=int(found.sum()),
            delay=float(delays.mean()) if len(delays) else float("nan"),
        )


def _is_told(scores: frames.Scores) -> frames.Bools:
    return np.asarray((scores.score > 1.0) | (scores.kind != frames.Kind.NONE))
