"""The last values of a series, and sums over blocks of them."""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, numbers

SPREAD_RATE = 1 / 2000
SPREAD_CLIP = 50.0
"""Standard deviations that a value may add to the spread: one wild value must not blind us."""


@compiled.part
def back(past, at, points):  # type: ignore[no-untyped-def]
    """The value so many points before the newest."""
    i = at - points
    return past[i if i >= 0 else i + past.size]


@compiled.part
def push(n, c, past, x):  # type: ignore[no-untyped-def]
    """Take in the newest value, and move the sums of blocks along.

    Block j spans the values from 2^j - 1 to 2^(j+1) - 2 points ago; the late sums are what the sums
    were WIDE_LATE points ago. Rounding errors end at each turn of the ring.
    """
    at = c[layout.AT] + 1
    if at == past.size:
        at = 0
    c[layout.AT] = at
    past[at] = x
    if past.size < layout.PAST:
        return
    if at == 0:
        _sum_anew(n, past, at)
        return
    for j in range(layout.SCALES):
        first, behind = (1 << j) - 1, (2 << j) - 1
        n[layout.SUMS + j] += back(past, at, first) - back(past, at, behind)
        late = layout.WIDE_LATE
        n[layout.LATE_SUMS + j] += back(past, at, first + late) - back(past, at, behind + late)


@compiled.part
def _sum_anew(n, past, at):  # type: ignore[no-untyped-def]
    for j in range(layout.SCALES):
        total = late = 0.0
        for points in range((1 << j) - 1, (2 << j) - 1):
            total += back(past, at, points)
            late += back(past, at, points + layout.WIDE_LATE)
        n[layout.SUMS + j] = total
        n[layout.LATE_SUMS + j] = late


@compiled.part
def replace(n, c, past, newest, oldest, value):  # type: ignore[no-untyped-def]
    """Put this value in the place of those from `newest` to `oldest` - 1 points ago."""
    at = c[layout.AT]
    for points in range(newest, min(oldest, past.size)):
        i = at - points
        past[i if i >= 0 else i + past.size] = value
    if past.size == layout.PAST:
        _sum_anew(n, past, at)


@compiled.part
def learn_spread(n, points, x):  # type: ignore[no-untyped-def]
    """Running standard deviation; gives what it was before x."""
    sd = math.sqrt(n[layout.SPREAD_VAR])
    a = numbers.rate(SPREAD_RATE, points + 1)
    off = x - n[layout.SPREAD_MEAN]
    if points > layout.NEAR_POINTS * 5 and sd > 0:
        off = numbers.clip(off, SPREAD_CLIP * sd)
    n[layout.SPREAD_MEAN] += a * off
    n[layout.SPREAD_VAR] += a * (off * off * (1 - a) - n[layout.SPREAD_VAR])
    return sd
