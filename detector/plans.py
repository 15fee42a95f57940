"""What a calendar is made of: weekly windows, single spans, public holidays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from detector import wall_clock

_DAY = timedelta(days=1)
_CODE = re.compile(r"(?P<country>[A-Z]{2})(?:-(?P<subdivision>.+))?")
_ALLOWED = "ISO 3166 codes are allowed, as in DE or DE-BY"


@dataclass(frozen=True, slots=True)
class Weekly:
    """From `start` to `end` by the zone's clocks, on these days of each week (0 is Monday).

    An end at or before the start is on the next day. wall_clock says what happens where the clocks
    are turned.
    """

    zone: tzinfo
    days: frozenset[int]
    start: time
    end: time

    def spans(self, first: datetime, last: datetime) -> Iterator[wall_clock.Span]:
        """Those that touch [first, last), and some beside them."""
        for day in _local_days(first, last, self.zone):
            if day.weekday() in self.days:
                yield wall_clock.span_from_wall(
                    datetime.combine(day, self.start),
                    datetime.combine(day if self.end > self.start else day + _DAY, self.end),
                    self.zone,
                )


@dataclass(frozen=True, slots=True)
class Once:
    """One span, as aware instants, end after start."""

    start: datetime
    end: datetime

    def spans(self, first: datetime, last: datetime) -> Iterable[wall_clock.Span]:
        """The span itself, wherever first and last are."""
        return ((self.start, self.end),)


@dataclass(frozen=True, slots=True)
class Holidays:
    """The public holidays of a country, or of a part of it: whole days in a zone.

    Where a law moves a holiday from a weekend to a weekday, both days count.
    """

    zone: tzinfo
    country: str
    subdivision: str | None = None

    def spans(self, first: datetime, last: datetime) -> Iterator[wall_clock.Span]:
        """Those that touch [first, last), and some beside them."""
        days = list(_local_days(first, last, self.zone))
        found = _holidays(self.country, self.subdivision, {day.year for day in days})
        for day in days:
            if day in found:
                midnight = datetime.combine(day, time.min)
                yield wall_clock.span_from_wall(midnight, midnight + _DAY, self.zone)


def parse_holidays(code: str, *, zone: tzinfo) -> Holidays:
    """The holidays that a code of ISO 3166 stands for.

    >>> from datetime import UTC
    >>> parse_holidays("DE-BY", zone=UTC).subdivision
    'BY'

    Raises ValueError for a code that is not known, with those that are.
    """
    found = _CODE.fullmatch(code)
    if found is None:
        raise ValueError(f"{code!r}: {_ALLOWED}")
    country, subdivision = found["country"], found["subdivision"]
    try:
        _holidays(country, subdivision, set())
    except NotImplementedError:
        raise ValueError(f"{code!r}: {_known(country)}") from None
    return Holidays(zone, country, subdivision)


def _holidays(country: str, subdivision: str | None, years: set[int]) -> frozenset[date]:
    import holidays  # only who asks for holidays pays for them

    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=years))


def _known(country: str) -> str:
    import holidays

    parts = holidays.list_supported_countries().get(country)
    if parts is None:
        return f"no holidays are known of this country; {_ALLOWED}"
    if not parts:
        return f"the holidays of {country} are not known by its parts"
    return f"known parts of {country} are {', '.join(sorted(parts))}"


def _local_days(first: datetime, last: datetime, zone: tzinfo) -> Iterator[date]:
    """The days by the zone's clocks, from two before (a window can be as long) to that of last."""
    day, end = first.astimezone(zone).date() - 2 * _DAY, last.astimezone(zone).date()
    while day <= end:
        yield day
        day += _DAY
