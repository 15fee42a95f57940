"""How long until a series reaches a limit, by the longest line that its past ends in.

Over windows that end now a line is fitted by least squares, from sums over all steps up to each, so
that a window costs the same however long it is. A line is one that explains FITS of the variance.
It foresees REACH times its own length and no more. What it would have said before is looked at
too: where a line of some length was followed and the limit did not come nearer, as with a saw's
teeth, only longer lines count.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled

FITS = 0.9
"""Least share of the variance that a line explains."""
REACH = 4.0
"""Lengths of its window that a line is followed beyond it."""
HALFWAY = 0.5
"""Part of the way to the limit that a series must have gone when the line is there."""
HELD = 0.75
"""Least share of the window's steps that have a sample."""
LOOKS = 4
"""Looks back a window's length."""
N, T, X, TT, TX, XX = range(6)


@compiled.kernel
def steps_left(values, windows, low, high, most, sums, left):  # type: ignore[no-untyped-def]
    """Fill float64[S]: steps from the last one until the line is at a limit, at most `most`; inf
    where none is told, 0 beyond a limit.

    values   float64[S, T], NaN where there is none; windows int64[W] in steps, shortest first
    low, high
             the limits, infinite where there is none
    sums     float64[6, T + 1]: scratch
    """
    steps = values.shape[1]
    for s in range(values.shape[0]):
        x0 = _sum_up(values[s], sums)
        left[s] = math.inf
        wrong = 0
        for window in windows:
            for end in range(window, steps, max(1, window // LOOKS)):
                if _was_wrong(values[s], sums, end, window, x0, low, high, most):
                    wrong = window
                    break
        for place in range(windows.size - 1, -1, -1):
            if wrong < windows[place] <= steps:
                left[s], _, _ = _told(sums, steps, windows[place], x0, low, high, most)
                if left[s] < math.inf:
                    break


@compiled.part
def _sum_up(values, sums):  # type: ignore[no-untyped-def]
    """Sums over the steps before each; gives the first value, which values are counted from."""
    x0 = math.nan
    sums[:, 0] = 0.0
    for t in range(values.size):
        for i in range(6):
            sums[i, t + 1] = sums[i, t]
        if math.isnan(values[t]):
            continue
        if math.isnan(x0):
            x0 = values[t]
        x = values[t] - x0
        sums[N, t + 1] += 1.0
        sums[T, t + 1] += t
        sums[X, t + 1] += x
        sums[TT, t + 1] += float(t) * t
        sums[TX, t + 1] += t * x
        sums[XX, t + 1] += x * x
    return x0


@compiled.part
def _told(sums, end, window, x0, low, high, most):  # type: ignore[no-untyped-def]
    """Steps from the last one before `end` to the limit, inf if none is told; where the line stands
    there, and the limit."""
    first = end - window
    n = sums[N, end] - sums[N, first]
    if n < HELD * window or n < 3:
        return math.inf, 0.0, 0.0
    t, x = (sums[T, end] - sums[T, first]) / n, (sums[X, end] - sums[X, first]) / n
    tt = (sums[TT, end] - sums[TT, first]) / n - t * t
    tx = (sums[TX, end] - sums[TX, first]) / n - t * x
    xx = (sums[XX, end] - sums[XX, first]) / n - x * x
    if tt <= 0.0 or xx <= 0.0 or tx * tx < FITS * tt * xx:
        return math.inf, 0.0, 0.0
    slope = tx / tt
    here = x + slope * (end - 1 - t) + x0
    limit = high if slope > 0.0 else low
    if not math.isfinite(limit):
        return math.inf, 0.0, 0.0
    left = max(0.0, (limit - here) / slope)
    if left > min(most, REACH * window):
        return math.inf, 0.0, 0.0
    return left, here, limit


@compiled.part
def _was_wrong(values, sums, end, window, x0, low, high, most):  # type: ignore[no-untyped-def]
    """Whether a limit was told before `end` that the series had not come nearer to in that time."""
    left, here, limit = _told(sums, end, window, x0, low, high, most)
    if not math.isfinite(left):
        return False
    then = end - 1 + math.ceil(left)
    if then >= values.size or math.isnan(values[then]):
        return False
    return (values[then] - here) * math.copysign(1.0, limit - here) < HALFWAY * abs(limit - here)
