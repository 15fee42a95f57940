"""What an hour of the week, or an edge of the month, adds to the daily profile, where that was seen
to foresee better.

A profile of the week beside that of the day would be one more thing to be far from: as a residual
it ranks worse (VUS-PR -.012 on labelled series, most of which know no week). So it is none of its
own. The forecasts with and without are compared on the same samples for a week, or for the edges of
a month, and only a series whose errors it makes smaller by a fifth is judged by it, for as long as
that holds. An edge is one of the first and last EDGE_DAYS days of a month, in parts of three hours.

Times are what the clocks of the query's time zone show, so that a season stays where it is for the
people who make it when clocks are turned.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, numbers

BETTER = 0.8
"""Part of the mean error without, that remains at most, where it is used."""
EDGE_DAYS = layout.EDGES // (2 * layout.EDGE_PARTS)

# Columns from layout.WEEK and layout.MONTH on.
AT, VISITS, NEW, COMPARED, USED = 0, 1, 2, 3, 4
# Columns from layout.WEEK_ERRORS and layout.MONTH_ERRORS on.
WITHOUT, WITH = 0, 1


@compiled.part
def day_of_month(days):  # type: ignore[no-untyped-def]
    """The day of the month, from 1, of days since 1970-01-01 (Hinnant, chrono-compatible low-level
    date algorithms, civil_from_days)."""
    since = (days + 719_468) % 146_097  # of an era of 400 years that begins in March
    year = (since - since // 1_460 + since // 36_524 - since // 146_096) // 365
    of_year = since - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return of_year - (153 * month + 2) // 5 + 1


@compiled.part
def edge_of(wall_ms):  # type: ignore[no-untyped-def]
    """Which part of which edge of the month this is, -1 for none."""
    days, of_day = wall_ms // layout.DAY_MS, wall_ms % layout.DAY_MS
    part = of_day * layout.EDGE_PARTS // layout.DAY_MS
    day = day_of_month(days)
    if day <= EDGE_DAYS:
        return (day - 1) * layout.EDGE_PARTS + part
    for ahead in range(1, EDGE_DAYS + 1):
        if day_of_month(days + ahead) == 1:
            return (2 * EDGE_DAYS - ahead) * layout.EDGE_PARTS + part
    return -1


@compiled.part
def enter(p, n, c, weekly, monthly, wall_ms):  # type: ignore[no-untyped-def]
    """Move to the hour and edge of this time; gives what they add to the daily profile."""
    hour = (wall_ms // layout.HOUR_MS) % layout.HOURS
    if hour != c[layout.WEEK + AT]:
        _move(n, c, weekly, hour, layout.WEEK, layout.WEEK_ERRORS, p.week_points)
        edge = edge_of(wall_ms)
        if edge != c[layout.MONTH + AT]:
            _move(n, c, monthly, edge, layout.MONTH, layout.MONTH_ERRORS, p.month_points)
    return _used(c, weekly, layout.WEEK) + _used(c, monthly, layout.MONTH)


@compiled.part
def learn(p, n, c, weekly, monthly, off, limit):  # type: ignore[no-untyped-def]
    """Let in how far a value is off the daily profile; errors count up to a limit."""
    of_week, of_month = _used(c, weekly, layout.WEEK), _used(c, monthly, layout.MONTH)
    rates = p.weekly, 1.0 / p.week_points
    _learn(n, c, weekly, off - of_month, limit, layout.WEEK, layout.WEEK_ERRORS, rates)
    rates = p.monthly, 1.0 / p.month_points
    _learn(n, c, monthly, off - of_week, limit, layout.MONTH, layout.MONTH_ERRORS, rates)


@compiled.part
def _move(n, c, values, here, at, errors, needed):  # type: ignore[no-untyped-def]
    c[at + AT] = here
    c[at + VISITS] = 0
    c[at + NEW] = 1 if here >= 0 and math.isnan(values[here]) else 0
    is_better = n[errors + WITH] < BETTER * n[errors + WITHOUT]
    c[at + USED] = 1 if is_better and c[at + COMPARED] >= needed else 0


@compiled.part
def _used(c, values, at):  # type: ignore[no-untyped-def]
    """What is added here, 0 where nothing is."""
    if c[at + USED] and not c[at + NEW] and c[at + AT] >= 0:
        return float(values[c[at + AT]])
    return 0.0


@compiled.part
def _learn(n, c, values, off, limit, at, errors, rates):  # type: ignore[no-untyped-def]
    here = c[at + AT]
    if here < 0:
        return
    rate, compared = rates
    c[at + VISITS] += 1
    off = numbers.clip(off, limit)
    if c[at + NEW]:
        before = values[here] if c[at + VISITS] > 1 else 0.0
        values[here] = before + (off - before) / c[at + VISITS]
        return
    c[at + COMPARED] += 1
    rest = off - values[here]
    a = numbers.rate(compared, c[at + COMPARED])
    n[errors + WITHOUT] += a * (abs(off) - n[errors + WITHOUT])
    n[errors + WITH] += a * (min(abs(rest), limit) - n[errors + WITH])
    values[here] += rate * numbers.clip(rest, limit)
