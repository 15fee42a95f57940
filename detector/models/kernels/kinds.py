"""What kind of trouble an open anomaly is, and kinds that no residual shows: flat, zero, missing.

All of it lives beside the verdict, which alone knows when an anomaly opens: nothing here is asked
by the members, and all is known at the time of the sample.

A run of one value, of zeros or of absent steps is told when it is longer than LONGER times any
before it and longer than chance makes runs as rarely as the budget allows. That opens an anomaly
and leaves the score as it is: raised, it ranked worse (VUS-PR .519, not .537, on labelled series).
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout

SPIKE, DIP, LEVEL_SHIFT, TREND, VARIANCE, FLAT, ZERO, MISSING, LOST_SEASON = range(1, 10)
LEVEL_RATE, UNIT_RATE = 0.1, 1 / 200
UNIT_CLIP = 6.0
AWAY_UNITS = 4.0
"""Usual deviations from the level of before, beyond which a value is away from it."""
LASTS = 12
"""Points away after which it is no spike any more."""
SAME_SIDE, AWAY_SHARE = 0.85, 0.7
SIDES_LEAST, SIDES_SHARE = 2, 0.2
"""Points away on the rarer side, and their share, that make a change of variance."""
TREND_FIT, TREND_UNITS = 0.85, 6.0
"""Least share of the variance that a line explains (of a step and its return it is .75), and least
rise in usual deviations."""
LEAST_FLAT, LEAST_ZERO, LEAST_MISSING = 12.0, 3.0, 12.0
LONGER = 2.0
LEAST_CHANGES = 60
"""Samples unlike the one before (or not zero) that must have been seen."""
LEAST_SEEN = 1440
"""Samples, or those of a day, before missing ones are news: many series end, most are young."""
ACCEPTED_AFTER, GONE_AFTER = 288.0, 60.0
"""Points beyond the limit after which a run is the new normal; after which a series has ended."""

# Columns of State.kinds: runs of one value, of zeros, of absent steps.
LAST, RUN, LONGEST, REPEATS = 0, 1, 2, 3
ZERO_RUN, ZERO_LONGEST, ZEROS = 4, 5, 6
SEEN_MS, GAP_LONGEST, MISSED, SEEN = 7, 8, 9, 10
NEAR, UNIT, WAYS = 11, 12, 13  # usual level, deviation from it; whether the profile is taken off
SINCE = 14  # sums since the opening
N, UP, DOWN, Y, YY, TY = 14, 15, 16, 17, 18, 19
SIZE = 20


@compiled.part
def _limit(least, longest, hits, seen, allowed):  # type: ignore[no-untyped-def]
    """The length at which a run is rarer than allowed."""
    chance = (hits + 1.0) / (seen + 2.0)
    by_chance = math.log(allowed) / math.log(min(chance, 1.0 - 1e-9))
    return max(least, LONGER * longest, by_chance)


@compiled.part
def _news(run, limit, accepted):  # type: ignore[no-untyped-def]
    """Whether a run of this length is beyond the limit, and not yet the normal."""
    return limit < run <= limit + accepted


@compiled.part
def gap(p, k, t_ms):  # type: ignore[no-untyped-def]
    """Steps since the newest sample, this one without a sample counted in."""
    return (t_ms - k[SEEN_MS]) / p.step_ms


@compiled.part
def gap_limit(allowed, k):  # type: ignore[no-untyped-def]
    """The longest gap that is no news."""
    return _limit(LEAST_MISSING, k[GAP_LONGEST], k[MISSED], k[SEEN] + k[MISSED], allowed)


@compiled.part
def missing(p, allowed, k, t_ms):  # type: ignore[no-untyped-def]
    """Whether that no sample is here at this time is news."""
    if k[SEEN] < min(LEAST_SEEN, layout.DAY_MS // p.step_ms):
        return False
    found = gap(p, k, t_ms)
    return found > LEAST_MISSING and _news(found, gap_limit(allowed, k), GONE_AFTER)


@compiled.part
def follow_runs(p, k, raw, t_ms):  # type: ignore[no-untyped-def]
    """Take a sample into the runs; one that has ended teaches how long they get."""
    if k[SEEN] > 0:
        gap = float((t_ms - k[SEEN_MS]) // p.step_ms) - 1.0
        k[MISSED] += max(0.0, gap)
        k[GAP_LONGEST] = max(k[GAP_LONGEST], gap)
        if raw == k[LAST]:
            k[RUN] += 1
            k[REPEATS] += 1
        else:
            k[LONGEST] = max(k[LONGEST], k[RUN])
            k[RUN] = 0.0
    if raw == 0.0:
        k[ZERO_RUN] += 1
        k[ZEROS] += 1
    else:
        k[ZERO_LONGEST] = max(k[ZERO_LONGEST], k[ZERO_RUN])
        k[ZERO_RUN] = 0.0
    k[SEEN] += 1
    k[SEEN_MS] = t_ms
    k[LAST] = raw


@compiled.part
def flat_limit(allowed, k):  # type: ignore[no-untyped-def]
    """The most repetitions of one value that are no news; infinite while it has changed little."""
    before = k[SEEN] - k[RUN]
    hits = k[REPEATS] - k[RUN]
    if before - hits < LEAST_CHANGES:
        return math.inf
    return _limit(LEAST_FLAT, k[LONGEST], hits, before, allowed)


@compiled.part
def is_flat(allowed, k):  # type: ignore[no-untyped-def]
    """Whether the run of one value that this sample is in is news."""
    return k[RUN] >= LEAST_FLAT and _news(k[RUN], flat_limit(allowed, k), ACCEPTED_AFTER)


@compiled.part
def zero_limit(allowed, k):  # type: ignore[no-untyped-def]
    """Likewise of a run of zeros, of which one more than there are is compared with it."""
    before = k[SEEN] - k[ZERO_RUN]
    hits = k[ZEROS] - k[ZERO_RUN]
    if before - hits < LEAST_CHANGES:
        return math.inf
    return _limit(LEAST_ZERO, k[ZERO_LONGEST], hits, before, allowed)


@compiled.part
def is_zero(allowed, k):  # type: ignore[no-untyped-def]
    """Whether the run of zeros that this sample is in is news."""
    run = k[ZERO_RUN] + 1.0
    return run >= LEAST_ZERO and _news(run, zero_limit(allowed, k), ACCEPTED_AFTER)


@compiled.part
def follow_level(k, x, profile, ways):  # type: ignore[no-untyped-def]
    """While nothing is open: the usual level, and the usual deviation from it."""
    y = x - profile if ways else x
    if k[WAYS] != ways or k[SEEN] <= 1:
        k[WAYS], k[NEAR] = ways, y
    off = abs(y - k[NEAR])
    rate = max(UNIT_RATE, 1.0 / max(k[SEEN] - 1.0, 1.0))
    if k[SEEN] > 20 and k[UNIT] > 0.0:
        off = min(off, UNIT_CLIP * k[UNIT])
    k[UNIT] += rate * (off - k[UNIT])
    k[NEAR] += LEVEL_RATE * (y - k[NEAR])
    for i in range(SINCE, SIZE):
        k[i] = 0.0


@compiled.part
def follow_open(k, x, profile, least):  # type: ignore[no-untyped-def]
    """While an anomaly is open: take a sample into the sums since its opening."""
    y = x - profile if k[WAYS] else x
    off, unit = y - k[NEAR], max(k[UNIT], least)
    time = k[N]
    k[N] += 1
    if off > AWAY_UNITS * unit:
        k[UP] += 1
    elif off < -AWAY_UNITS * unit:
        k[DOWN] += 1
    k[Y] += off
    k[YY] += off * off
    k[TY] += time * off


@compiled.part
def kind_of(k, kind, flat, zero, lost, least):  # type: ignore[no-untyped-def]
    """The kind of an open anomaly: what the samples since its opening say, else what it was."""
    if zero or (k[ZERO_RUN] > k[ZERO_LONGEST] and 20 * k[ZEROS] < k[SEEN]):
        return ZERO
    if flat:
        return FLAT
    if lost or kind == LOST_SEASON:
        return LOST_SEASON
    n, unit = k[N], max(k[UNIT], least)
    up, down = k[UP], k[DOWN]
    away, fewer = up + down, min(up, down)
    if n >= LASTS // 2 and fewer >= max(SIDES_LEAST, SIDES_SHARE * away):
        return VARIANCE
    if n < LASTS:
        return kind
    mean_t, mean_y = 0.5 * (n - 1.0), k[Y] / n
    spread_t, spread_y = n * (n * n - 1.0) / 12.0, k[YY] - n * mean_y * mean_y
    slope = (k[TY] - n * mean_t * mean_y) / spread_t
    fits = slope * slope * spread_t >= TREND_FIT * spread_y
    if fits and abs(slope) * n >= TREND_UNITS * unit:
        return TREND
    if away >= max(LASTS, AWAY_SHARE * n) and max(up, down) >= SAME_SIDE * away:
        return LEVEL_SHIFT
    return kind


@compiled.part
def takes_profile_off(has_profile, size):  # type: ignore[no-untyped-def]
    """Whether the daily profile foresees better than an average of the last twenty points."""
    return 1.0 if has_profile and size[layout.PROFILE] < size[3] else 0.0
