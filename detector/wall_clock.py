"""Instants from what the clocks of a zone show, also where they are turned.

A span of local time lasts from the first instant at which the clocks show its start or later to
the last at which they show less than its end. So where an hour is repeated it covers both, and
where one is skipped it loses what no clock shows. A span that is skipped whole happens right
after, at its full length: what was planned for it is then still done. Planned time is rather too
long than too short.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeAlias

import numpy as np

from detector import frames

Span: TypeAlias = tuple[datetime, datetime]
"""[start, end) as instants in UTC."""

FIRST = datetime(1971, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)
"""Nothing is planned outside of these: zones and libraries of holidays know little beyond."""
_QUARTER_MS = 900_000
_NEXT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


def readings_ms(times_ms: frames.Ints, zone: tzinfo) -> frames.Ints:
    """int64[T]: what the zone's clocks show at these instants, in ms as if they showed UTC.

    Clocks are turned at full quarters of an hour (UTC). Where a time is beyond what a date can be,
    it is taken as it is.
    """
    if zone is UTC or str(zone) == "UTC":
        return times_ms
    quarters, back = np.unique(times_ms // _QUARTER_MS, return_inverse=True)
    offsets = [_offset_ms(quarter * _QUARTER_MS, zone) for quarter in quarters.tolist()]
    shown: frames.Ints = times_ms + np.array(offsets, np.int64)[back]
    return shown


def _offset_ms(time_ms: int, zone: tzinfo) -> int:
    try:
        offset = datetime.fromtimestamp(time_ms / 1000, zone).utcoffset()
    except (ValueError, OverflowError, OSError):
        return 0
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def span_from_wall(start: datetime, end: datetime, zone: tzinfo) -> Span:
    """The span between two readings of a zone's clocks (naive), end after start.

    >>> import zoneinfo
    >>> night = datetime(2026, 3, 29, 1), datetime(2026, 3, 29, 4)
    >>> [str(at) for at in span_from_wall(*night, zoneinfo.ZoneInfo("Europe/Berlin"))]
    ['2026-03-29 00:00:00+00:00', '2026-03-29 02:00:00+00:00']
    """
    start, end = _within_range(start), _within_range(end)
    begins, ends = _first_shown(start, zone), _last_shown_before(end, zone)
    return (begins, ends) if begins < ends else (begins, begins + (end - start))


def _within_range(wall: datetime) -> datetime:
    """Cut so far outside of the range that no time zone brings it back into it."""
    margin = timedelta(days=2)
    least, most = (at.replace(tzinfo=None) for at in (FIRST - margin, LAST + margin))
    return min(max(wall, least), most)


def _first_shown(wall: datetime, zone: tzinfo) -> datetime:
    earlier, later = _readings(wall, zone)
    return earlier if earlier <= later else _jump(later, earlier, zone)


def _last_shown_before(wall: datetime, zone: tzinfo) -> datetime:
    earlier, later = _readings(wall - _NEXT, zone)
    return later + _NEXT if earlier <= later else _jump(later, earlier, zone)


def _readings(wall: datetime, zone: tzinfo) -> Span:
    """The instant by the offset before a turn of the clocks, and by that after it.

    They are equal where no clock is turned; the first is the later one where it is skipped.
    """
    before, after = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return before, after


def _jump(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The instant between them at which the clocks are turned: always a full second."""
    before, after = before.replace(microsecond=0), after.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
