"""Hours of the week, dates and holidays in a time zone, as arithmetic on time() that Prometheus
evaluates.

What a zone's clocks show is time() plus an offset that changes where clocks are turned. PromQL
knows no zones, so the turns of some years are written out as numbers. The first of January 1970
was a Thursday, which is where the weeks of this arithmetic begin.
"""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, get_args

import pydantic
from pydantic import Field

from detector import config, plans, wall_clock
from detector.policy import sections

DAY_S, WEEK_S = 86_400, 604_800
YEARS_AHEAD = 5
_SECOND = timedelta(seconds=1)
_FROM_THURSDAY: dict[str, int] = {
    day: (position - 3) % 7 for position, day in enumerate(get_args(config.Weekday))
}


def _clock_time(given: time) -> str:
    return f"{given:%H:%M}"


TimeOfDay = Annotated[
    config.TimeOfDay, pydantic.PlainSerializer(_clock_time, return_type=str, when_used="json")
]


class WeeklyHours(sections.Section):
    """A stretch of some days of each week; an end at or before the start is on the next day."""

    days: tuple[config.Weekday, ...] = Field(get_args(config.Weekday), min_length=1)
    start: TimeOfDay
    end: TimeOfDay

    @property
    def start_s(self) -> int:
        """Seconds since midnight."""
        return self.start.hour * 3600 + self.start.minute * 60

    @property
    def length_s(self) -> int:
        """From start to end, at most a day."""
        end_s = self.end.hour * 3600 + self.end.minute * 60
        return (end_s - self.start_s - 1) % DAY_S + 1

    def runs(self) -> Iterator[tuple[int, int]]:
        """(first day, number of days) of days in a row; days are counted from Thursday."""
        days = {_FROM_THURSDAY[day] for day in self.days}
        if len(days) == len(_FROM_THURSDAY):
            yield 0, len(days)
            return
        for first in sorted(days):
            if (first - 1) % 7 not in days:
                yield first, next(n for n in range(1, 8) if (first + n) % 7 not in days)


def _known_holidays(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        plans.parse_holidays(code, zone=UTC)
    return codes


Codes = Annotated[tuple[str, ...], pydantic.AfterValidator(_known_holidays), Field(max_length=10)]


class Hours(sections.Section):
    """Stretches of time, any of them: of each week, once, and public holidays as whole days."""

    weekly: Annotated[tuple[WeeklyHours, ...], Field(max_length=50)] = ()
    once: Annotated[tuple[config.OnceWindow, ...], Field(max_length=100)] = ()
    holidays: Codes = ()

    @pydantic.model_validator(mode="after")
    def _has_some(self) -> Hours:
        if not (self.weekly or self.once or self.holidays):
            raise ValueError("weekly, once or holidays is needed")
        return self


class Window(Hours):
    """When a condition counts: `during` these hours but for others, or outside of them."""

    timezone: config.Zone = zoneinfo.ZoneInfo("UTC")
    but: Hours | None = None
    mode: Literal["inside", "outside"] = "inside"


def restricted(expr: str, window: Window, now: datetime) -> str:
    """The expression where the window is open, and nothing where it is shut."""
    word = "and" if window.mode == "inside" else "unless"
    return f"({expr})\n{word} on () (vector({_open(window, now)}) > 0)"


def is_open(window: Window, at: datetime, now: datetime) -> bool:
    """What the arithmetic that is written at `now` says of an instant."""
    inside = _is_within(window, window.timezone, at, now)
    if window.but is not None:
        inside = inside and not _is_within(window.but, window.timezone, at, now)
    return inside == (window.mode == "inside")


def _is_within(hours: Hours, zone: zoneinfo.ZoneInfo, at: datetime, now: datetime) -> bool:
    at_s = at.timestamp() + sum(
        change for since, change in _turns(zone, now.year) if at.timestamp() >= since
    )
    weekly = any(
        (at_s - each.start_s) % DAY_S < each.length_s
        and (at_s - each.start_s - first * DAY_S) % WEEK_S < count * DAY_S
        for each in hours.weekly
        for first, count in each.runs()
    )
    spans = _spans(hours.once, hours.holidays, zone, now.year)
    return weekly or any(start <= at.timestamp() < end for start, end in spans)


def _open(window: Window, now: datetime) -> str:
    """A scalar above 0 while the window's hours last, and no others that are taken away."""
    within = _within(window, window.timezone, now)
    if window.but is None:
        return within
    return f"({within} > bool 0) * ({_within(window.but, window.timezone, now)} == bool 0)"


def _within(hours: Hours, zone: zoneinfo.ZoneInfo, now: datetime) -> str:
    """A scalar above 0 while one of the stretches lasts.

    Shifted by its start, a weekly one lasts from 0 to its length of a day, on a run of days.
    """
    turns = _turns(zone, now.year)
    terms = []
    for each in hours.weekly:
        for first, count in each.runs():
            of_day = f"{_clock(turns, -each.start_s)} % {DAY_S} < bool {each.length_s}"
            if count == len(_FROM_THURSDAY):
                terms.append(f"({of_day})")
                continue
            shift = -each.start_s - first * DAY_S
            of_week = f"{_clock(turns, shift)} % {WEEK_S} < bool {count * DAY_S}"
            terms.append(f"({of_day}) * ({of_week})")
    terms += [
        f"(time() >= bool {start:.0f}) * (time() < bool {end:.0f})"
        for start, end in _spans(hours.once, hours.holidays, zone, now.year)
    ]
    return " + ".join(terms) if len(terms) == 1 else f"({' + '.join(terms or ['0'])})"


@functools.cache
def _spans(
    once: tuple[config.OnceWindow, ...],
    holidays: tuple[str, ...],
    zone: zoneinfo.ZoneInfo,
    year: int,
) -> tuple[tuple[float, float], ...]:
    """[start, end) in epoch seconds, those that touch as one: single stretches, and the holidays of
    the years of which the turns of the clocks are written out."""
    first = datetime(year - 1, 1, 1, tzinfo=UTC)
    last = datetime(year + YEARS_AHEAD, 1, 1, tzinfo=UTC)
    found = [_once(each, zone) for each in once]
    for code in holidays:
        found += plans.parse_holidays(code, zone=zone).spans(first, last)
    joined: list[tuple[float, float]] = []
    for start, end in sorted((a.timestamp(), b.timestamp()) for a, b in found):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)


def _once(given: config.OnceWindow, zone: zoneinfo.ZoneInfo) -> wall_clock.Span:
    if given.start.tzinfo is None:
        return wall_clock.span_from_wall(given.start, given.end, zone)
    return given.start, given.end


def _clock(turns: Sequence[tuple[float, int]], shift_s: int) -> str:
    """time() as the zone's clocks show it, shifted; never below 0, for % keeps a sign."""
    (_, base_s), *later = turns
    shift_s = (base_s + shift_s) % WEEK_S
    text = "time()" + (f" + {shift_s}" if shift_s else "")
    for since, change in later:
        sign = "-" if change < 0 else "+"
        text += f" {sign} {abs(change)} * (time() >= bool {since:.0f})"
    return f"({text})"


@functools.cache
def _turns(zone: zoneinfo.ZoneInfo, year: int) -> tuple[tuple[float, int], ...]:
    """(epoch seconds, change in seconds): the offset from UTC before, then each turn of the clocks.

    They begin a year before this one, so that a rule can be evaluated over the past as well, and
    are the same for all instants of a year, so that a rule stays the same text.
    """
    at = datetime(year - 1, 1, 1, tzinfo=UTC)
    end = datetime(year + YEARS_AHEAD, 1, 1, tzinfo=UTC)
    offset = _offset_s(zone, at)
    found = [(float("-inf"), offset)]
    while at < end:
        following = at + timedelta(days=7)
        if _offset_s(zone, following) != offset:
            following = _turn(zone, at, following)
            found.append((following.timestamp(), _offset_s(zone, following) - offset))
            offset = _offset_s(zone, following)
        at = following
    return tuple(found)


def _turn(zone: zoneinfo.ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second between them at which the offset is not the one of `before`."""
    offset = _offset_s(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if _offset_s(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset_s(zone: zoneinfo.ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
