"""What an hour of the week adds to the daily profile, used where it was seen to foresee better.

A profile of the week beside that of the day would be one more thing to be far from: as a residual
it ranks worse (VUS-PR -.012 on labelled series, most of which know no week). So it is none of its
own. Both are compared for a week on the same samples, and only a series whose errors it makes
smaller by a fifth is judged by it, for as long as that holds.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, numbers

HOUR_MS = 3_600_000
BETTER = 0.8
"""Part of the daily profile's mean error that remains, at most, where the week is used."""


@compiled.part
def enter(p, n, c, weekly, t_ms):  # type: ignore[no-untyped-def]
    """Move to the hour of this time; gives what it adds to the daily profile, 0 where unused."""
    here = (t_ms // HOUR_MS) % layout.HOURS
    if here != c[layout.HOUR]:
        c[layout.HOUR] = here
        c[layout.HOUR_VISITS] = 0
        c[layout.HOUR_NEW] = 1 if math.isnan(weekly[here]) else 0
        is_better = n[layout.WEEK_ERROR] < BETTER * n[layout.DAY_ERROR]
        c[layout.WEEKLY] = 1 if is_better and c[layout.COMPARED] >= p.week_points else 0
    if c[layout.WEEKLY] and not c[layout.HOUR_NEW]:
        return float(weekly[here])
    return 0.0


@compiled.part
def learn(p, n, c, weekly, off, limit):  # type: ignore[no-untyped-def]
    """Let in how far a value is off the daily profile; errors count up to a limit."""
    here = c[layout.HOUR]
    c[layout.HOUR_VISITS] += 1
    off = numbers.clip(off, limit)
    if c[layout.HOUR_NEW]:
        before = weekly[here] if c[layout.HOUR_VISITS] > 1 else 0.0
        weekly[here] = before + (off - before) / c[layout.HOUR_VISITS]
        return
    c[layout.COMPARED] += 1
    rest = off - weekly[here]
    a = numbers.rate(1.0 / p.week_points, c[layout.COMPARED])
    n[layout.DAY_ERROR] += a * (abs(off) - n[layout.DAY_ERROR])
    n[layout.WEEK_ERROR] += a * (min(abs(rest), limit) - n[layout.WEEK_ERROR])
    weekly[here] += p.weekly * numbers.clip(rest, limit)
