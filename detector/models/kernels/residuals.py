"""Member F: how far a value is from what ten simple forecasts say, in their usual errors."""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, numbers, offsets

UNCLIPPED_POINTS = 10
"""Residuals that enter a young scale whole."""
CLIP_SCALES = 6.0
Z_LIMIT = 1e4
FLOOR_OF_SPREAD = 0.05
LEAST_SCALE = 1e-200
"""Keeps a division by a scale finite; smaller than any change that is news."""
ROUNDING = 1e-9
"""Part of a value below which its changes are rounding, not news."""


@compiled.part
def enter_bin(c, profile, here):  # type: ignore[no-untyped-def]
    """Move to this bin of the daily profile; says whether the bin holds an older day."""
    if here != c[layout.BIN]:
        c[layout.BIN] = here
        c[layout.BIN_VISITS] = 0
        c[layout.BIN_NEW] = 1 if math.isnan(profile[here]) else 0
    return c[layout.BIN_NEW] == 0


@compiled.part
def floor(n, points, x):  # type: ignore[no-untyped-def]
    """The size below which a residual is no news."""
    sd = math.sqrt(n[layout.M2] / points) if points > 0 else 0.0
    spread = max(1.25 * n[layout.S + layout.SLOW], FLOOR_OF_SPREAD * sd)
    return max(FLOOR_OF_SPREAD * spread, ROUNDING * abs(x + n[layout.X0]), LEAST_SCALE)


@compiled.part
def look(p, n, c, profile, added, x, points, least, has_profile, r, z, centre, size):  # type: ignore[no-untyped-def]
    """Residuals of x, and the same in units of their running size; gives the largest |z|.

    A residual is (x - centre) / size of its own units; the last two look at pairs of averages.
    added is what this time of week and month adds to the profile.
    """
    for i in range(layout.EWMAS):
        centre[i] = n[layout.E + i]
    centre[layout.SLOW] = n[layout.G]
    if has_profile:
        centre[layout.PROFILE] = profile[c[layout.BIN]] + added
        centre[layout.DRIFTED] = centre[layout.PROFILE] + n[layout.D]
    else:
        centre[layout.PROFILE] = n[layout.E + 4]
        centre[layout.DRIFTED] = n[layout.E + 4]
    for j in range(layout.ABOUT_VALUE):
        r[j] = x - centre[j]
        size[j] = max(n[layout.S + j], least)
    for j in range(2):
        a = numbers.rate(p.ewma[1 + j], points + 2)
        near, far = n[layout.E + 1 + j], n[layout.E + 3 + j]
        at = layout.FAST_PAIR + j
        r[at] = near + a * (x - near) - far
        z[at] = max(n[layout.S + at], least)
        centre[at] = near + (far - near) / a
        size[at] = z[at] / a
    largest = 0.0
    for j in range(layout.RESIDUALS):
        unit = size[j] if j < layout.ABOUT_VALUE else z[j]
        z[j] = numbers.clip(r[j] / unit, Z_LIMIT)
        largest = max(largest, abs(z[j]))
    return largest


@compiled.part
def best_reference(n, has_profile):  # type: ignore[no-untyped-def]
    """The reference with the smallest usual error; the last value would follow an anomaly."""
    best = 1
    for j in range(2, layout.ABOUT_VALUE):
        if n[layout.S + j] < n[layout.S + best] and (has_profile or j < layout.PROFILE):
            best = j
    return best


@compiled.part
def smallest(size):  # type: ignore[no-untyped-def]
    """The size of the residual that one value off makes the most of."""
    least = size[0]
    for j in range(1, layout.ABOUT_VALUE):
        least = min(least, size[j])
    return least


@compiled.part
def learn_scales(p, n, r, points, least):  # type: ignore[no-untyped-def]
    """Let these residuals into the running sizes."""
    a = numbers.rate(p.scale, points)
    for j in range(layout.RESIDUALS):
        size = abs(r[j])
        if points > UNCLIPPED_POINTS:
            size = min(size, CLIP_SCALES * max(n[layout.S + j], least))
        n[layout.S + j] += a * (size - n[layout.S + j])


@compiled.part
def learn_references(p, n, c, profile, weekly, monthly, x, points, has_profile, r):  # type: ignore[no-untyped-def]
    """Let this value into the averages and the profile of the day, with what is added to it."""
    for i in range(layout.EWMAS):
        n[layout.E + i] += numbers.rate(p.ewma[i], points + 2) * (x - n[layout.E + i])
    slow_size = n[layout.S + layout.SLOW]
    limit = CLIP_SCALES * slow_size if points > UNCLIPPED_POINTS else math.inf
    n[layout.G] += numbers.rate(p.slow, points + 2) * numbers.clip(x - n[layout.G], limit)
    here = c[layout.BIN]
    c[layout.BIN_VISITS] += 1
    if has_profile:
        limit = CLIP_SCALES * n[layout.S + layout.PROFILE]
        spread = max(n[layout.S + layout.PROFILE], slow_size)
        offsets.learn(p, n, c, weekly, monthly, x - profile[here], CLIP_SCALES * spread)
        off = numbers.clip(r[layout.PROFILE], limit)
        n[layout.D] += p.drift * (off - n[layout.D])
        profile[here] += p.profile * off
    elif c[layout.BIN_VISITS] == 1:
        profile[here] = x
    else:
        profile[here] += (x - profile[here]) / c[layout.BIN_VISITS]
    past = x - n[layout.MEAN]
    n[layout.MEAN] += past / (points + 1)
    n[layout.M2] += past * (x - n[layout.MEAN])


@compiled.part
def restart_short_memories(n, x):  # type: ignore[no-untyped-def]
    """Start the four fast averages from this value: what they knew is long past."""
    for i in range(layout.EWMAS - 1):
        n[layout.E + i] = x
