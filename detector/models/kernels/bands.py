"""The band: how far one value has to be off for the combined score to reach its threshold.

The members see a deviation d of the newest value each in its own way. The residual member's score
is log(1 + d / size). The reservoirs' is a Euclidean and the Gaussian's a Mahalanobis distance, to
which a deviation of one value adds its square: sqrt(usual^2 + (usual d / unit)^2). So the combined
rise is a function of d alone, which Newton's method turns round; it goes on from where it stood at
the sample before, which is close.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, levels, residuals

LEAST_THRESHOLD = 0.05
LEAST_REACH, MOST_REACH = math.log(1e-3), math.log(residuals.Z_LIMIT)
FIRST_TURNS, TURNS = 12, 2
NEAR_ENOUGH = 1e-3
"""A last step of Newton's method; what is left to go is about its square."""
LEAST_SLOPE, LONGEST_STEP = 0.02, 2.0
NEAREST_OFF = 2.0
"""Sizes that the nearest rows of a reservoir are off to the same side: an extreme value is compared
with the extremes of the past."""


@compiled.part
def reach(weights, units, level, size, threshold, start):  # type: ignore[no-untyped-def]
    """Log of the deviation, in units of size, at which the combined rise is the threshold.

    level  of the residual member, floored; size of its smallest residual; units of the others. Of
           a smoother where that speaks alone
    start  the last reach, 0 for none
    """
    log_reach, turns = start, TURNS
    if start == 0.0:
        log_reach, turns = 1.0, FIRST_TURNS
    for _ in range(turns):
        rise, slope = _rise(weights, units, level, size, log_reach)
        step = (threshold - rise) / max(slope, LEAST_SLOPE)
        log_reach += min(max(step, -LONGEST_STEP), LONGEST_STEP)
        log_reach = min(max(log_reach, LEAST_REACH), MOST_REACH)
        if abs(step) < NEAR_ENOUGH:
            break
    return log_reach


@compiled.part
def band(expected, unit, below, above):  # type: ignore[no-untyped-def]
    """Expected value, and the interval that reaches so many units to each side."""
    return expected, expected - below * unit, expected + above * unit


@compiled.part
def rescaled(weights, units, level, size, threshold, log_reach, scale):  # type: ignore[no-untyped-def]
    """The threshold whose band is so many times as wide."""
    here, _ = _rise(weights, units, level, size, log_reach)
    there, _ = _rise(weights, units, level, size, log_reach + math.log(scale))
    return max(LEAST_THRESHOLD, threshold + there - here)


@compiled.part
def _rise(weights, units, level, size, log_reach):  # type: ignore[no-untyped-def]
    """The combined rise of a deviation of exp(log_reach) sizes, and its slope over log_reach.

    Fitted models are taken to rise as the rest does; without streaming members that count, the
    residual member speaks for all.
    """
    times = math.exp(log_reach)
    score = math.log1p(times)
    own = steep = 0.0
    if score > level:
        own = math.log(score / level)
        steep = times / ((1.0 + times) * score)
    total, slope, weight = weights[0] * own, weights[0] * steep, weights[0]
    for member in range(layout.RESIDUAL + 1, layout.STREAMING):
        if weights[member] > 0.0 and not math.isnan(units[member]):
            inner = 0.0 if member == layout.GAUSSIAN else NEAREST_OFF
            square = max(times - inner, 0.0) * size / units[member]
            square *= square
            rise = 0.5 * math.log1p(square)
            weight += weights[member]
            total += weights[member] * min(rise, levels.Y_LIMIT)
            if rise < levels.Y_LIMIT:
                slope += weights[member] * square / (1.0 + square)
    if weight <= 0.0:
        return own, steep
    return total / weight, slope / weight
