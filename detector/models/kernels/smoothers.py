"""Forecasts with a memory of their own that a query may ask for: each is one more member.

As the residual member's, their score is the log of 1 + |error| in usual errors. What is usual is a
running mean, which flagged samples do not teach and wild errors little. They speak from the second
day on: on the first there is no season.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, foresight, layout, numbers, residuals

SEASONAL_NAIVE, HOLT_WINTERS = 0.0, 1.0
KIND = foresight.PERIOD + 1
"""Column of the settings, behind those of foresight."""
SETTINGS = KIND + 1

# Columns of State.smoothed; those of Holt-Winters come first.
LEVEL, TREND, SEEN, USUAL = 0, 1, 2, 3
BIN, VISITS = 4, 5
ERROR, ERRORS = 6, 7
SIZE = 8


@compiled.part
def foresee(p, setting, s, season, here):  # type: ignore[no-untyped-def]
    """What is foreseen in this bin of the day, NaN while that is not known.

    season float32[bins, 2]: of the naive one the mean of the day before and of today, of
    Holt-Winters offset and visits
    """
    if setting[KIND] == SEASONAL_NAIVE:
        if here + 1.0 != s[BIN]:
            s[BIN], s[VISITS] = here + 1.0, 0.0
            season[here, 0] = season[here, 1]
        return float(season[here, 0])
    if 7.0 * s[SEEN] < p.week_points:
        return math.nan
    return s[LEVEL] + setting[foresight.DAMPING] * s[TREND] + season[here, 0]


@compiled.part
def learn(setting, s, season, here, x):  # type: ignore[no-untyped-def]
    """Let a value into the forecast, after foresee() of its time."""
    if setting[KIND] == SEASONAL_NAIVE:
        s[VISITS] += 1.0
        before = season[here, 1] if s[VISITS] > 1.0 else 0.0
        season[here, 1] = before + (x - before) / s[VISITS]
        return
    state = (s[LEVEL], s[TREND], int(s[SEEN]), s[USUAL])
    level, trend, seen, usual = foresight.step(x, here, setting, season, state)
    s[LEVEL], s[TREND], s[SEEN], s[USUAL] = level, trend, float(seen), usual


@compiled.part
def size_of(s, least):  # type: ignore[no-untyped-def]
    """The usual error."""
    return max(s[ERROR], least)


@compiled.part
def score(error, size):  # type: ignore[no-untyped-def]
    """How odd an error is."""
    return math.log(1.0 + min(abs(error) / size, residuals.Z_LIMIT))


@compiled.part
def learn_size(p, s, error, least):  # type: ignore[no-untyped-def]
    """Let an error into the usual one."""
    size = abs(error)
    if s[ERRORS] > residuals.UNCLIPPED_POINTS:
        size = min(size, residuals.CLIP_SCALES * size_of(s, least))
    s[ERROR] += numbers.rate(p.scale, s[ERRORS] + 1.0) * (size - s[ERROR])
    s[ERRORS] += 1.0


@compiled.part
def look(p, st, x, here, least, centre, size):  # type: ignore[no-untyped-def]
    """Put what each foresees, and its usual error, behind the residuals'; NaN where not known."""
    for m in range(p.smoothers.shape[0]):
        at = layout.RESIDUALS + m
        centre[at] = foresee(p, p.smoothers[m], st.smoothed[m], st.seasons[m], here)
        size[at] = size_of(st.smoothed[m], least)
