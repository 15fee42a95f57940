"""What makes a sample an anomaly, in words: its score, or a run that the score does not show."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from detector import frames
from detector.models.kernels import kinds, layout, lost


def reason(
    params: layout.Params,
    allowed: float,
    known: frames.Floats,
    *,
    score: float,
    kind: frames.Kind,
    time_ms: int,
) -> str:
    """Such as "no sample for 13 steps; 12 are the limit"; empty for a sample that is usual.

    allowed  alarms that the budget affords a step
    known    float64[lost.SIZE], what the kinds are told by: State.kinds of the series, with this
             sample in it
    score    NaN of a missing sample; kind of the anomaly that is open after it
    """
    return "; and ".join(_reasons(params, allowed, known, score, kind, time_ms))


def _reasons(
    params: layout.Params,
    allowed: float,
    known: frames.Floats,
    score: float,
    kind: frames.Kind,
    time_ms: int,
) -> Iterator[str]:
    if kind == frames.Kind.MISSING:
        steps, limit = kinds.gap(params, known, time_ms), kinds.gap_limit(allowed, known)
        yield f"no sample for {steps:.0f} steps; {math.floor(limit)} are the limit"
    if score > 1.0:
        yield f"a score of {score:.3g}; 1 is the limit"
    if kind == frames.Kind.FLAT and kinds.is_flat(allowed, known):
        limit = math.floor(kinds.flat_limit(allowed, known)) + 1
        yield f"the same value for {known[kinds.RUN] + 1:.0f} samples; {limit} are the limit"
    if kind == frames.Kind.ZERO and kinds.is_zero(allowed, known):
        limit = math.floor(kinds.zero_limit(allowed, known)) - 1
        yield f"zero for {known[kinds.ZERO_RUN]:.0f} samples; {limit} are the limit"
    if kind == frames.Kind.LOST_SEASON and known[lost.RUN] > lost.limit(known):
        yield _lost_season(known)


def _lost_season(known: frames.Floats) -> str:
    """Of how much the season explained: the square of a correlation."""
    usual = np.sqrt(known[lost.SWING] * known[lost.SQUARES])
    now = known[lost.BOTH] / usual if usual > 0.0 else 0.0
    run, limit = known[lost.RUN], math.floor(lost.limit(known))
    return (
        f"the season of the day explained {known[lost.STRENGTH] ** 2:.2f} of the variance and now "
        f"{max(now, 0.0) ** 2:.2f}; lost for {run:.0f} samples; {limit} are the limit"
    )
