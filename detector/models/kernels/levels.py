"""How far a member's score stands above its own usual level: the scale on which members meet."""

from __future__ import annotations

import math

from detector.models.kernels import compiled, numbers

LEVEL_POINTS = 20
"""Member scores a level needs before it means something."""
LEVEL_CLIP = 5.0
LEAST_SPREAD = 0.05
Y_LIMIT = 5.0


@compiled.part
def rise(score, level):  # type: ignore[no-untyped-def]
    """Log of the ratio of a score to its level, 0 to Y_LIMIT."""
    if level <= 0.0 or score <= level:
        return 0.0
    return min(Y_LIMIT, math.log(score / level))


@compiled.part
def learn(levels, levelled, member, score):  # type: ignore[no-untyped-def]
    """Let a score above 0 into the running mean and spread, cut at LEVEL_CLIP spreads."""
    if score <= 0.0:
        return
    count = levelled[member] + 1
    levelled[member] = count
    level, spread = levels[0, member], levels[1, member]
    step = score - level
    if count > LEVEL_POINTS:
        step = numbers.clip(step, LEVEL_CLIP * max(spread, LEAST_SPREAD * level))
    share = 1.0 / count
    levels[0, member] = level + step * share
    levels[1, member] = spread + (abs(step) - spread) * share
