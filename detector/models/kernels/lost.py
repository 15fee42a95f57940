"""A daily season that is lost: values have stopped to follow the profile of the day.

Both are taken off their averages of the last hours, so that neither a level shift nor a slow trend
matters, and one is regressed on the other: the slope is 1 while the season is there and 0 when it
is gone, however far the profile has already forgotten it. Only a series whose values went with its
profile for a week is asked, for else each weekend would be news to a young one; and a stretch like
one that was seen before is none.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, kinds

LEAST_POINTS_A_DAY = 12
NEAR_DAYS, NEAR_POINTS = 1 / 8, 3.0
"""What the averages of value and profile remember, at least so many points."""
SLOPE_DAYS, SLOPE_POINTS = 1 / 4, 12.0
"""What the regression remembers, likewise."""
STRENGTH_DAYS = 3.0
LEAST_STRENGTH = 0.6
"""Mean correlation of value and profile, below which there is no season to lose."""
LOST_SLOPE, BACK_SLOPE = 0.25, 0.5
VALUE_LIMIT = 3.0
"""Times the swing of the profile, or its usual one, beyond which a value tells nothing of a season:
it is that of a spike or a shift."""
SHIFT_DAYS, CATCH_UP = 1 / 96, 8.0
"""How long values are beyond before the average goes after them, and times its rate then."""
LONGEST_DAYS, FORGOTTEN_DAYS = 7.0, 30.0
"""Most that is remembered of how long a stretch was, and how long it is."""
ACCEPTED_DAYS = 2.0

# Columns of State.kinds, behind those that are read in kinds.
SEEN, VALUE, PROFILE, BOTH, SWING, SQUARES = (kinds.SIZE + i for i in range(6))
STRENGTH, RUN, LONGEST, BEYOND = (kinds.SIZE + i for i in range(6, 10))
SIZE = kinds.SIZE + 10


@compiled.part
def _rate(days, points_a_day, least, seen):  # type: ignore[no-untyped-def]
    return max(1.0 / max(days * points_a_day, least), 1.0 / (seen + 1.0))


@compiled.part
def follow(p, k, x, profile):  # type: ignore[no-untyped-def]
    """Take in a sample and what the profile says of it; says whether a lost season is news."""
    day = p.week_points / 7.0
    if day < LEAST_POINTS_A_DAY:
        return False
    seen, has_season = k[SEEN], is_seasonal(p, k)
    if seen == 0.0:
        k[VALUE], k[PROFILE] = x, profile
    k[SEEN] += 1
    near = _rate(NEAR_DAYS, day, NEAR_POINTS, seen)
    k[PROFILE] += near * (profile - k[PROFILE])
    swing = profile - k[PROFILE]
    if abs(x - k[VALUE]) > VALUE_LIMIT * max(abs(swing), math.sqrt(k[SWING])) > 0.0:
        k[BEYOND] += 1
        if k[BEYOND] > SHIFT_DAYS * day:
            k[VALUE] += min(1.0, CATCH_UP * near) * (x - k[VALUE])
    else:
        k[BEYOND] = 0.0
        k[VALUE] += near * (x - k[VALUE])
        value = x - k[VALUE]
        far = _rate(SLOPE_DAYS, day, SLOPE_POINTS, seen)
        k[BOTH] += far * (swing * value - k[BOTH])
        k[SWING] += far * (swing * swing - k[SWING])
        k[SQUARES] += far * (value * value - k[SQUARES])
    if k[SWING] <= 0.0:
        return False
    slope = k[BOTH] / k[SWING]
    k[LONGEST] -= k[LONGEST] / (FORGOTTEN_DAYS * day)
    if slope < (BACK_SLOPE if k[RUN] > 0.0 else LOST_SLOPE):
        k[RUN] += 1
    else:
        k[LONGEST] = max(k[LONGEST], min(k[RUN], LONGEST_DAYS * day))
        k[RUN] = 0.0
    if k[RUN] == 0.0 or not has_season:
        usual = math.sqrt(k[SWING] * k[SQUARES])
        correlation = k[BOTH] / usual if usual > 0.0 else 0.0
        k[STRENGTH] += _rate(STRENGTH_DAYS, day, 1.0, seen) * (correlation - k[STRENGTH])
    least = limit(k)
    return has_season and least < k[RUN] <= least + ACCEPTED_DAYS * day


@compiled.part
def is_seasonal(p, k):  # type: ignore[no-untyped-def]
    """Whether values have gone with their profile for a week, so that they can cease to."""
    return k[SEEN] >= p.week_points and k[STRENGTH] >= LEAST_STRENGTH


@compiled.part
def limit(k):  # type: ignore[no-untyped-def]
    """The most samples without the season that are no news."""
    return kinds.LONGER * k[LONGEST]
