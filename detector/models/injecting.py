"""Trouble put into a copy of a series' present, to see whether and when it is found."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

import numpy as np

from detector import frames
from detector.models import scoring

TAIL_STEPS = 40
"""Steps in which trouble is put, at the end of what is there."""
AT = 10
"""Step of the tail at which it begins."""
WEEK = timedelta(days=7)
SEASON_LOST_FOR = timedelta(hours=36)
"""For how long a season is taken away: at steps of an hour it takes up to 28 to be missed."""
RAMP = 20
"""Steps in which a trend reaches its size."""
USABLE = 0.9
"""Share of its values that a series must have."""
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
"""Kinds of a size; the others have none. A lost season is no matter of a short tail."""
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
        yield _found(kind, size, tail.told(copy.deepcopy(scorer), values)[AT:, usable])


def lost_season(
    scorer: scoring.QueryScorer, week_before: frames.Floats, tail: frames.Frame
) -> Found:
    """The season taken out of the whole tail that follows what the scorer has seen; it is left as
    it is.

    week_before  float64[T, S], the values a week before those of the tail
    Tried are series that have a season, and do not lose it in the tail anyway. Found is what is
    told as a lost season: of so long a tail some is told as something else by chance.
    """
    change = tail.values - week_before
    usable = scorer.has_season & np.isfinite(tail.values[0])
    usable &= np.isfinite(change).mean(axis=0) > USABLE
    values = np.array(tail.values, order="F")
    values[:, usable] = _without_season(values[:, usable], change[:, usable])
    plain = copy.deepcopy(scorer).score(tail)
    scores = copy.deepcopy(scorer).score(frames.Frame(tail.times_ms, values, tail.step_ms))
    usable &= ~_is_lost(plain).any(axis=0)
    return _found(frames.Kind.LOST_SEASON, 0.0, _is_lost(scores)[:, usable])


def _without_season(values: frames.Floats, change: frames.Floats) -> frames.Floats:
    """The first values, and around them how much each differs from that of a week before: neither
    a day's nor a week's season is in that, and the noise of both."""
    noise = (change - np.nanmean(change, axis=0)) / np.sqrt(2.0)
    return np.asarray(values[0] + noise)


def _found(kind: frames.Kind, scales: float, told: frames.Bools) -> Found:
    """told bool[T, S] of the series tried, from where the trouble begins."""
    found = told.any(axis=0)
    delays = told.argmax(axis=0)[found]
    return Found(
        kind,
        scales,
        series=told.shape[1],
        found=int(found.sum()),
        delay=float(delays.mean()) if len(delays) else float("nan"),
    )


def _is_lost(scores: frames.Scores) -> frames.Bools:
    return np.asarray(scores.kind == frames.Kind.LOST_SEASON)


def _is_told(scores: frames.Scores) -> frames.Bools:
    return np.asarray((scores.score > 1.0) | (scores.kind != frames.Kind.NONE))
