from __future__ import annotations

import functools
import time as clocks
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import frames, plans, wall_clock
from detector.models import calendars

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(range(7))

TURNS = {
    "Europe/Berlin": ("2026-03-29 01:00", "2026-10-25 01:00"),
    "America/New_York": ("2026-03-08 07:00", "2026-11-01 06:00"),
    "America/St_Johns": ("2026-03-08 05:30", "2026-11-01 04:30"),
    "Australia/Lord_Howe": ("2026-10-03 15:30", "2026-04-04 15:00"),  # by half an hour
    "America/Sao_Paulo": ("2018-11-04 03:00", "2018-02-18 02:00"),  # at midnight
    "Asia/Beirut": ("2026-03-28 22:00", "2026-10-24 21:00"),  # at midnight
    "Pacific/Apia": ("2011-12-30 10:00", "2011-04-02 14:00"),  # by a day, which is skipped
    "Asia/Kathmandu": ("2026-03-29 01:00", "2026-10-25 01:00"),  # never
}
"""A zone -> about when its clocks are turned, forward and back, in UTC."""


def ms(*instants: datetime) -> frames.Ints:
    return np.array([(each - EPOCH) // timedelta(milliseconds=1) for each in instants], np.int64)


def at(text: str, zone: tzinfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def weekly(
    start: str, end: str, days: Iterable[int] = EVERY_DAY, zone: zoneinfo.ZoneInfo = BERLIN
) -> calendars.Calendar:
    window = plans.Weekly(zone, frozenset(days), time.fromisoformat(start), time.fromisoformat(end))
    return calendars.Calendar((window,))


def changes(calendar: calendars.Calendar, first: datetime, last: datetime) -> list[datetime]:
    """Minutes at which planned time begins or ends, by looking at each minute."""
    minutes = np.arange(ms(first)[0], ms(last)[0], 60_000)
    edges = minutes[1:][np.diff(calendar.is_planned(minutes).astype(np.int8)) != 0]
    return [EPOCH + int(edge) * timedelta(milliseconds=1) for edge in edges]


def local(found: list[datetime], zone: zoneinfo.ZoneInfo = BERLIN) -> list[str]:
    return [each.astimezone(zone).strftime("%a %H:%M %z") for each in found]


def test_without_plans_nothing_is_planned() -> None:
    calendar = calendars.NOTHING_PLANNED
    assert not calendar.is_planned(ms(at("2026-03-01"), at("2026-03-02"))).any()
    assert calendar.is_planned(np.zeros(0, np.int64)).shape == (0,)
    assert calendar.next_change(at("2026-03-01")) is None


def test_start_belongs_to_a_window_and_end_does_not() -> None:
    calendar = weekly("22:00", "23:00")
    times = ms(at("2026-03-02 22:00"), at("2026-03-02 22:59"), at("2026-03-02 23:00"))
    assert calendar.is_planned(times).tolist() == [True, True, False]
    assert calendar.is_planned(times - 1).tolist() == [False, True, True]


def test_instants_may_come_in_any_order_and_more_than_once() -> None:
    calendar = weekly("22:00", "23:00")
    times = ms(at("2026-08-02 22:30"), at("2026-03-02 22:30"), at("2026-03-02 21:00"))
    assert calendar.is_planned(times[[2, 0, 1, 0]]).tolist() == [False, True, True, True]


def test_window_that_ends_before_it_starts_ends_on_the_next_day() -> None:
    found = changes(weekly("22:00", "06:00", [5]), at("2026-03-01"), at("2026-03-09"))
    assert local(found) == ["Sun 06:00 +0100", "Sat 22:00 +0100", "Sun 06:00 +0100"]


def test_window_with_equal_ends_lasts_a_day() -> None:
    found = changes(weekly("00:00", "00:00", [2]), at("2026-03-01"), at("2026-03-08"))
    assert local(found) == ["Wed 00:00 +0100", "Thu 00:00 +0100"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("01:30", "04:00", ["Sun 01:30 +0100", "Sun 04:00 +0200"]),
        ("02:30", "04:00", ["Sun 03:00 +0200", "Sun 04:00 +0200"]),
        ("01:30", "02:30", ["Sun 01:30 +0100", "Sun 03:00 +0200"]),
        ("02:15", "02:45", ["Sun 03:00 +0200", "Sun 03:30 +0200"]),
        ("02:00", "03:00", ["Sun 03:00 +0200", "Sun 04:00 +0200"]),
        ("03:00", "03:30", ["Sun 03:00 +0200", "Sun 03:30 +0200"]),
    ],
)
def test_where_an_hour_is_skipped(start: str, end: str, expected: list[str]) -> None:
    found = changes(weekly(start, end, [6]), at("2026-03-28 12:00"), at("2026-03-30"))
    assert local(found) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("01:30", "04:00", ["Sun 01:30 +0200", "Sun 04:00 +0100"]),
        ("02:15", "02:45", ["Sun 02:15 +0200", "Sun 02:45 +0100"]),
        ("01:30", "02:00", ["Sun 01:30 +0200", "Sun 02:00 +0200"]),
        ("02:00", "03:00", ["Sun 02:00 +0200", "Sun 03:00 +0100"]),
        ("03:00", "03:30", ["Sun 03:00 +0100", "Sun 03:30 +0100"]),
    ],
)
def test_where_an_hour_is_repeated(start: str, end: str, expected: list[str]) -> None:
    found = changes(weekly(start, end, [6]), at("2026-10-24 12:00"), at("2026-10-26"))
    assert local(found) == expected


@functools.cache
def shown(zone: str, turn: datetime) -> tuple[list[datetime], list[datetime]]:
    """Each minute about a turn of the clocks, and what they show at it."""
    first = turn - timedelta(days=4)
    minutes = [first + count * MINUTE for count in range(8 * 24 * 60)]
    key = zoneinfo.ZoneInfo(zone)
    return minutes, [each.astimezone(key).replace(tzinfo=None) for each in minutes]


def obvious(zone: str, turn: datetime, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """A span by walking through the minutes: from the first that shows start or later to the last
    that shows less than end; if that is none, the full length from the first on."""
    minutes, walls = shown(zone, turn)
    begins = next(each for each, wall in zip(minutes, walls, strict=True) if wall >= start)
    last = max(each for each, wall in zip(minutes, walls, strict=True) if wall < end)
    ends = last + MINUTE
    return (begins, ends) if ends > begins else (begins, begins + (end - start))


@st.composite
def windows_about_turns(draw: st.DrawFn) -> tuple[str, datetime, int, int, int]:
    """Zone, turn, day before or after it, start and end as minutes of the day."""
    zone = draw(st.sampled_from(sorted(TURNS)))
    turn = at(draw(st.sampled_from(TURNS[zone])), UTC)
    minute = st.one_of(
        st.integers(0, 1439), st.integers(0, 240), st.sampled_from([0, 60, 120, 180, 1380])
    )
    return zone, turn, draw(st.integers(-1, 1)), draw(minute), draw(minute)


@settings(max_examples=100, deadline=None)
@given(windows_about_turns())
def test_windows_about_turns_are_those_of_a_walk_through_the_minutes(
    window: tuple[str, datetime, int, int, int],
) -> None:
    zone, turn, offset, start, end = window
    key = zoneinfo.ZoneInfo(zone)
    day = turn.astimezone(key).date() + timedelta(days=offset)
    midnight = datetime.combine(day, time.min)
    until = end if end > start else end + 1440
    expected = obvious(zone, turn, midnight + start * MINUTE, midnight + until * MINUTE)
    begins, ends = (
        time(start // 60, start % 60),
        time(end // 60, end % 60),
    )
    calendar = calendars.Calendar((plans.Weekly(key, frozenset({day.weekday()}), begins, ends),))

    minutes = shown(zone, turn)[0]
    near = [each for each in minutes if abs(each - turn) < timedelta(days=2.5)]
    planned = calendar.is_planned(ms(*near))

    assert planned.tolist() == [expected[0] <= each < expected[1] for each in near]


@dataclass(frozen=True, slots=True)
class Spans:
    """A plan of spans in minutes since 2026, handed out in the order given."""

    minutes: tuple[tuple[int, int], ...]

    def spans(self, first: datetime, last: datetime) -> list[wall_clock.Span]:
        zero = datetime(2026, 1, 1, tzinfo=UTC)
        return [(zero + a * MINUTE, zero + b * MINUTE) for a, b in self.minutes]


_CHUNK_MINUTES = calendars.CHUNK // MINUTE
_EDGE = next(
    count
    for count in range(_CHUNK_MINUTES)
    if (datetime(2026, 1, 1, tzinfo=UTC) - EPOCH + count * MINUTE) % calendars.CHUNK == timedelta(0)
)
"""Minutes from 2026 to where a chunk ends: what goes wrong there is sought there."""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-4, 4) | st.integers(-40_000, 40_000),
            st.integers(0, 5) | st.integers(0, 90_000),
        ),
        max_size=6,
    ),
    st.lists(st.integers(-6, 6) | st.integers(-45_000, 130_000), min_size=1, max_size=20),
)
def test_any_spans_make_the_mask_and_the_changes_of_a_walk_through_them(
    spans: list[tuple[int, int]], probes: list[int]
) -> None:
    placed = tuple((_EDGE + start, _EDGE + start + length) for start, length in spans)
    calendar = calendars.Calendar((Spans(placed[:2]), Spans(placed[2:])))
    zero = datetime(2026, 1, 1, tzinfo=UTC)

    def planned(minute: int) -> bool:
        return any(start <= minute < end for start, end in placed)

    minutes = [_EDGE + probe for probe in probes]
    mask = calendar.is_planned(ms(*(zero + minute * MINUTE for minute in minutes)))
    assert mask.tolist() == [planned(minute) for minute in minutes]

    edges = sorted({edge for span in placed for edge in span})
    for minute in minutes[:4]:
        later = [edge for edge in edges if edge > minute and planned(edge) != planned(edge - 1)]
        expected = zero + later[0] * MINUTE if later else None
        assert calendar.next_change(zero + minute * MINUTE) == expected


def test_next_change_looks_two_years_ahead() -> None:
    single = plans.Once(at("2027-06-01"), at("2027-06-02"))
    calendar = calendars.Calendar((single,))
    assert calendar.next_change(at("2026-01-01")) == at("2027-06-01")
    assert calendar.next_change(at("2027-06-01")) == at("2027-06-02")
    assert calendar.next_change(at("2024-01-01")) is None


def test_single_span_covers_every_chunk_between_its_ends() -> None:
    start, end = at("2025-12-24 18:00"), at("2027-01-07 06:00")
    calendar = calendars.Calendar((plans.Once(start, end),))
    assert changes(calendar, at("2025-12-01"), at("2027-02-01")) == [start, end]


def test_nothing_is_planned_outside_of_the_known_range() -> None:
    calendar = weekly("00:00", "00:00")
    times = np.array([-(10**15), 0, ms(at("2026-03-01"))[0], 10**14], np.int64)
    assert calendar.is_planned(times).tolist() == [False, False, True, False]


def test_readings_at_the_ends_of_all_years_are_cut_to_beyond_the_range() -> None:
    least, most = (each.replace(tzinfo=None) for each in (at("0001-01-01"), at("9999-12-31")))
    start, end = wall_clock.span_from_wall(least, most, BERLIN)
    assert start < wall_clock.FIRST
    assert end > wall_clock.LAST


def test_equal_calendars_are_equal_whatever_they_were_asked() -> None:
    one, other = weekly("22:00", "23:00"), weekly("22:00", "23:00")
    one.is_planned(ms(at("2026-03-01")))
    assert one == other
    assert hash(one) == hash(other)


def test_holidays_are_whole_days_by_the_zones_clocks() -> None:
    calendar = calendars.Calendar((plans.parse_holidays("DE", zone=BERLIN),))
    found = changes(calendar, at("2026-12-20"), at("2027-01-05"))
    assert found == [
        at("2026-12-25"), at("2026-12-27"), at("2027-01-01"), at("2027-01-02"),
    ]  # fmt: skip


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    epiphany = ms(at("2027-01-06 12:00"))
    found = [
        calendars.Calendar((plans.parse_holidays(code, zone=BERLIN),)).is_planned(epiphany)[0]
        for code in ("DE", "DE-BY", "DE-BE")
    ]
    assert found == [False, True, False]


def test_a_holiday_that_a_law_moves_counts_twice() -> None:
    york = zoneinfo.ZoneInfo("America/New_York")
    plan = plans.parse_holidays("US", zone=york)
    days = [date(2021, 12, 31), date(2022, 1, 1), date(2022, 1, 3)]
    noons = ms(*(datetime.combine(day, time(12), york) for day in days))
    assert calendars.Calendar((plan,)).is_planned(noons).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("XX", "no holidays are known of this country; ISO 3166"),
        ("DE-XX", "known parts of DE are .*BB, BE, BW, BY"),
        ("VA-XX", "are not known by its parts"),
        ("Germany", "ISO 3166 codes are allowed, as in DE or DE-BY"),
    ],
)
def test_holidays_that_are_not_known_are_refused(code: str, part: str) -> None:
    with pytest.raises(ValueError, match=f"'{code}': .*{part}"):
        plans.parse_holidays(code, zone=UTC)


def test_a_year_of_minutes_and_single_steps_are_fast() -> None:
    calendar = calendars.Calendar(
        (
            plans.Weekly(BERLIN, EVERY_DAY, time(22), time(2)),
            plans.parse_holidays("DE-BY", zone=BERLIN),
        )
    )
    year = np.arange(ms(at("2026-01-01"))[0], ms(at("2027-01-01"))[0], 60_000)

    began = clocks.perf_counter()
    mask = calendar.is_planned(year)
    first_s = clocks.perf_counter() - began
    began = clocks.perf_counter()
    for step in range(1000):
        calendar.is_planned(year[step : step + 1])
    step_s = (clocks.perf_counter() - began) / 1000

    print(f"year of minutes {first_s * 1e3:.1f} ms, then a step {step_s * 1e6:.1f} us")
    assert 0.16 < mask.mean() < 0.21
    assert first_s < 5
    assert step_s < 0.002
