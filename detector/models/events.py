"""Planned events from the text of an iCalendar file (RFC 5545).

Imports heavy libraries: import it where there is a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from math import prod
from typing import Any, TypeAlias

import icalendar
import recurring_ical_events

from detector import wall_clock

Moment: TypeAlias = date | datetime
"""A whole day, or a time: with a zone, or floating."""
Period: TypeAlias = tuple[datetime, datetime | timedelta]

LONGEST = timedelta(days=3660)
"""What an event may last: far from the end of datetime's years, wherever it begins."""
MOST_A_DAY = 96
"""Repetitions a day that one rule may have: each quarter of an hour. Each costs some 0.2 ms."""
_MARGIN = timedelta(days=2)
"""The library takes days and floating times as UTC's; no zone is so far from it."""
_BROKEN = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, OSError
)  # fmt: skip
"""What icalendar and recurring_ical_events raise on text that they do not understand; OSError is
zoneinfo's for the name of a folder of zones."""


class Events:
    """The events of one file, each from its start to its end; those that are cancelled are none.

    Days, and times without a zone, are those of `zone`, unless the file has an X-WR-TIMEZONE.
    """

    def __init__(
        self, query: recurring_ical_events.CalendarQuery, *, count: int, zone: tzinfo
    ) -> None:
        self.count = count
        self._query, self._zone = query, zone

    def spans(self, first: datetime, last: datetime) -> Iterator[wall_clock.Span]:
        """Those that touch [first, last), and some beside them."""
        for event in self._query.between(first - _MARGIN, last + _MARGIN):
            start, end = _moment(event, "DTSTART"), _moment(event, "DTEND")
            if event.get("STATUS") == "CANCELLED" or start == end:
                continue
            zone = (start.tzinfo if isinstance(start, datetime) else None) or self._zone
            yield wall_clock.span_from_wall(_wall(start, zone), _wall(end, zone), zone)


def parse_events(text: str, *, zone: tzinfo) -> Events:
    """The events of an iCalendar file.

    Raises ValueError, one line that names the event, if there is one that is not understood.
    """
    try:
        calendar = icalendar.Calendar.from_ical(text)
        events = calendar.walk("VEVENT")
        for event in events:
            _refuse_wrong(event)
        query = recurring_ical_events.of(calendar)
    except _BROKEN as error:
        raise ValueError(f"not iCalendar: {' '.join(str(error).split())[:200]}") from error
    return Events(query, count=len(events), zone=zone)


def _refuse_wrong(event: icalendar.Component) -> None:
    """Raises ValueError for what the libraries take for something else, or do not finish."""
    try:
        for name, reason in event.errors:
            raise ValueError(f"{name}: {reason}")
        _refuse_wrong_times(event)
        for rule in _listed(event, "RRULE"):
            _refuse_wrong_rule(rule)
    except _BROKEN as error:
        name = event.get("SUMMARY") or event.get("UID") or "without a name"
        raise ValueError(f"event {str(name)[:60]!r}: {error}") from error


def _refuse_wrong_times(event: icalendar.Component) -> None:
    for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"):
        _refuse_unknown_zone(event, name)
    start = _moment(event, "DTSTART")
    if "DTEND" in event:
        end = _moment(event, "DTEND")
        if _kind(start) != _kind(end):
            raise ValueError("DTEND: must be a day if DTSTART is, and floating if DTSTART is")
        _refuse_wrong_length(end - start, is_day=_kind(start) == "day")
    for length in _moments(event, "DURATION"):
        _refuse_wrong_length(length, is_day=False)
    for each in _moments(event, "RDATE") + _moments(event, "EXDATE"):
        if isinstance(each, tuple):
            _refuse_wrong_length(each[1] if isinstance(each[1], timedelta) else each[1] - each[0])
        elif not isinstance(each, date):
            raise ValueError(f"RDATE or EXDATE: {each}: days and times are allowed")


def _refuse_wrong_length(length: object, *, is_day: bool = False) -> None:
    """An event without length plans nothing, a day must have one."""
    least = timedelta(days=1 if is_day else 0)
    if not isinstance(length, timedelta) or not least <= length <= LONGEST:
        raise ValueError(f"the end must be after the start, by at most {LONGEST.days} days")


def _refuse_unknown_zone(event: icalendar.Component, name: str) -> None:
    """The library takes a time in a zone that it does not know for a floating one."""
    zones = [value.params.get("TZID") for value in _listed(event, name)]
    if any(zones) and any(_kind(at) == "floating" for at in _moments(event, name)):
        raise ValueError(f"{name}: TZID {zones[0]}: neither a known zone nor a VTIMEZONE here")


def _refuse_wrong_rule(rule: icalendar.vRecur) -> None:
    frequency = str(rule.get("FREQ", ["none"])[0])
    if frequency not in {"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"}:
        raise ValueError(f"RRULE: FREQ {frequency}: YEARLY to HOURLY are allowed")
    if any(interval < 1 for interval in rule.get("INTERVAL", [])):
        raise ValueError("RRULE: INTERVAL: 1 and more is allowed")
    hours = 24 if frequency == "HOURLY" else len(rule.get("BYHOUR", [0]))
    a_day = hours * prod(len(rule.get(part, [0])) for part in ("BYMINUTE", "BYSECOND"))
    if a_day > MOST_A_DAY:
        raise ValueError(f"RRULE: {a_day} times a day: at most {MOST_A_DAY} are allowed")


def _listed(event: icalendar.Component, name: str) -> list[Any]:
    """The property's values, of the library's types: none, one, or as many as there are lines."""
    value = event.get(name, [])
    return value if isinstance(value, list) else [value]


def _moments(event: icalendar.Component, name: str) -> list[Moment | Period | timedelta]:
    """What the property's lines hold, each one value or a list of them."""
    lines = _listed(event, name)
    return [each.dt for line in lines for each in getattr(line, "dts", [line])]


def _moment(event: icalendar.Component, name: str) -> Moment:
    found = _moments(event, name)
    if len(found) != 1 or not isinstance(found[0], date):
        raise ValueError(f"{name}: one day or time is needed")
    return found[0]


def _kind(moment: object) -> str:
    if not isinstance(moment, datetime):
        return "day"
    return "floating" if moment.tzinfo is None else "zoned"


def _wall(moment: Moment, zone: tzinfo) -> datetime:
    """What the zone's clocks show then."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time.min)
    if moment.tzinfo is None or moment.tzinfo is zone:
        return moment.replace(tzinfo=None)
    return moment.astimezone(zone).replace(tzinfo=None)
