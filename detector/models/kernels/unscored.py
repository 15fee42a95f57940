"""Kinds that open an anomaly whatever its score: flat, zero, a lost season; and missing samples.

One road for the verdict, which moves the state, and for who asks before it on a copy of the state.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, kinds, layout, lost, numbers


@compiled.part
def follow(p, allowed, k, x, t_ms, origin, profile, profiled, is_asked):  # type: ignore[no-untyped-def]
    """Take a sample into the runs and the season; says whether flat, zero, no season is news.

    profile, profiled  what the daily profile says, less the origin, and whether there is one
    is_asked           whether the series is old enough for runs to be news
    """
    kinds.follow_runs(p, k, x, t_ms)
    gone = flat = zero = False
    if profiled:
        gone = lost.follow(p, k, x - origin, profile)
    if is_asked:
        flat, zero = kinds.is_flat(allowed, k), kinds.is_zero(allowed, k)
    return flat, zero, gone


@compiled.part
def opens(p, allowed, st, room, raw, t_ms, trace, i, k, least_points, value_limit):  # type: ignore[no-untyped-def]
    """Whether the verdict on a sample that has been looked at will open an anomaly by this.

    Nothing is left behind but in `room`, which is as long as st.kinds.
    """
    if st.counts[layout.OPEN] != 0:
        return False
    if not math.isfinite(raw):
        return kinds.missing(p, allowed, st.kinds, t_ms)
    points, origin = trace.points[i, k], st.numbers[layout.X0]
    for j in range(room.size):
        room[j] = st.kinds[j]
    flat, zero, gone = follow(
        p, allowed, room, numbers.clip(raw, value_limit), t_ms, origin,
        trace.centre[i, k, layout.PROFILE], trace.profiled[i, k],
        points >= max(least_points, p.gates.samples),
    )  # fmt: skip
    return flat or zero or gone
