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


def trials(scorer: scoring.QueryScorer, tail: frames.Frame) -> Iterator[Found]:
    """Each kind at each size, put into the tail that follows what the scorer has seen; it is left
    as it is. Series that are anomalous in the tail anyway, or have gaps in it, are left out."""
    plain = copy.deepcopy(scorer).score(tail)
    usable = np.isfinite(tail.values).all(axis=0) & ~_is_told(plain).any(axis=0)
    scale = scorer.residual_scales
    cases = [(kind, put, size) for kind, put in SIZED.items() for size in SCALES]
    cases += [(kind, put, 0.0) for kind, put in SIZELESS.items()]
    for kind, put, size in cases:
        values = np.array(tail.values, order="F")
        values[AT:] = put(values[AT:].copy(), scale, size)
        scores = copy.deepcopy(scorer).score(frames.Frame(tail.times_ms, values, tail.step_ms))
        told = _is_told(scores)[AT:, usable]
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
    """bool[T, S]: where an alert would come from, by the score or by an open anomaly."""
    return np.asarray((scores.score > 1.0) | (scores.kind != frames.Kind.NONE))
