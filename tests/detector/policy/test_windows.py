"""Hours of the week: the arithmetic that Prometheus does agrees with the clocks of the zone."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, timedelta

import promql_parser
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import plans, wall_clock
from detector.policy import windows

NOW = datetime(2026, 11, 27, tzinfo=UTC)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
]
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
LAST = datetime(2030, 12, 31, tzinfo=UTC)
instants = st.integers(int(FIRST.timestamp()), int(LAST.timestamp())).map(
    lambda epoch_s: datetime.fromtimestamp(epoch_s, UTC)
)


def open_by_promql(window: windows.Window, at: datetime) -> bool:
    """The rule's own text, calculated."""
    text = windows.restricted("up", window, NOW)
    promql_parser.parse(text)
    scalar = text[text.index("vector(") + len("vector(") : text.rindex(") > 0")]
    python = scalar.replace("time()", str(at.timestamp())).replace(" bool", "")
    assert re.fullmatch(r"[-+*%<>=() .\d]+", python)
    inside = eval(python) > 0  # noqa: S307 - of the characters above
    return bool(inside == ("and on ()" in text))


def open_by_clock(window: windows.Window, at: datetime) -> bool:
    shown = at.astimezone(window.timezone)
    for hours in window.weekly:
        for back in (0, 1):
            day = shown.date() - timedelta(days=back)
            start = datetime.combine(day, hours.start)
            end = start + timedelta(seconds=hours.length_s)
            if DAYS[day.weekday()] in hours.days and start <= shown.replace(tzinfo=None) < end:
                return window.mode == "inside"
    for start, end in dates(window):
        if start <= at < end:
            return window.mode == "inside"
    return window.mode == "outside"


def dates(window: windows.Hours) -> list[wall_clock.Span]:
    """Holidays of Germany, and what is planned once."""
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    spans = [(each.start, each.end) for each in window.once]
    for code in window.holidays:
        spans += plans.parse_holidays(code, zone=zone).spans(FIRST, LAST)
    return spans


times = st.times(datetime.min.time(), datetime.max.time()).map(
    lambda at: at.replace(second=0, microsecond=0)
)
hours = st.fixed_dictionaries(
    {
        "days": st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
        "start": times,
        "end": times,
    }
)


@given(st.lists(hours, min_size=1, max_size=3), st.sampled_from(ZONES), instants, st.booleans())
def test_a_window_is_open_when_the_clocks_say_so(
    weekly: list[dict[str, object]], zone: str, at: datetime, outside: bool
) -> None:
    mode = "outside" if outside else "inside"
    window = windows.Window.model_validate({"timezone": zone, "weekly": weekly, "mode": mode})
    expected = open_by_clock(window, at)
    assert open_by_promql(window, at) == expected
    assert windows.is_open(window, at, NOW) == expected


@pytest.mark.parametrize("zone", ZONES)
def test_every_turn_of_the_clocks_is_known_to_the_second(zone: str) -> None:
    window = windows.Window.model_validate(
        {"timezone": zone, "weekly": [{"start": "02:00", "end": "03:00"}]}
    )
    for year in (2025, 2030):
        for hour in range(0, 365 * 24):
            at = datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
            assert windows.is_open(window, at, NOW) == open_by_clock(window, at), at


def test_a_rule_stays_the_same_text_for_a_year() -> None:
    window = windows.Window(
        timezone=zoneinfo.ZoneInfo("Europe/Berlin"),
        weekly=(windows.WeeklyHours.model_validate({"start": "08:00", "end": "18:00"}),),
    )
    texts = {windows.restricted("up", window, datetime(2026, m, 1, tzinfo=UTC)) for m in (1, 7, 12)}
    assert len(texts) == 1


def berlin(**more: object) -> windows.Window:
    return windows.Window.model_validate({"timezone": "Europe/Berlin", **more})


@given(at=instants, mode=st.sampled_from(["inside", "outside"]))
def test_holidays_and_dates_are_whole_days_and_spans_of_the_zone(at: datetime, mode: str) -> None:
    once = {"start": "2027-03-28T01:00:00+01:00", "end": "2027-08-01T00:00:00Z"}
    window = berlin(holidays=["DE", "DE-BY"], once=[once], mode=mode)
    expected = open_by_clock(window, at)
    assert open_by_promql(window, at) == windows.is_open(window, at, NOW) == expected


@given(at=instants)
def test_hours_but_for_holidays(at: datetime) -> None:
    hours = [{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00"}]
    window = berlin(weekly=hours, but={"holidays": ["DE"]})
    expected = open_by_clock(berlin(weekly=hours), at) and not open_by_clock(
        berlin(holidays=["DE"]), at
    )
    assert open_by_promql(window, at) == windows.is_open(window, at, NOW) == expected


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        ("2026-12-24T22:59:59Z", False),
        ("2026-12-24T23:00:00Z", True),  # midnight in Berlin
        ("2026-12-26T22:59:59Z", True),  # the second day of Christmas
        ("2026-12-26T23:00:00Z", False),
    ],
)
def test_christmas_begins_at_midnight_of_the_zone(instant: str, is_open: bool) -> None:
    window = berlin(holidays=["DE"])
    at = datetime.fromisoformat(instant)
    assert open_by_promql(window, at) == windows.is_open(window, at, NOW) == is_open


def test_holidays_that_touch_are_written_as_one() -> None:
    text = windows.restricted("up", berlin(holidays=["DE"]), NOW)
    assert text.count(">= bool") < 8 * 7


def test_times_without_an_offset_are_those_of_the_zone() -> None:
    window = berlin(once=[{"start": "2026-07-01 10:00", "end": "2026-07-01 11:00"}])
    assert windows.is_open(window, datetime(2026, 7, 1, 8, 30, tzinfo=UTC), NOW)
    assert not windows.is_open(window, datetime(2026, 7, 1, 10, 30, tzinfo=UTC), NOW)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({}, "weekly, once or holidays is needed"),
        ({"holidays": ["XX"]}, "'XX': no holidays"),
        ({"holidays": ["DE"], "but": {}}, "weekly, once or holidays is needed"),
        ({"once": [{"start": "2026-07-01 10:00", "end": "2026-07-01 09:00"}]}, "a time after"),
    ],
)
def test_windows_that_say_nothing_sensible_are_refused(
    given_: dict[str, object], words: str
) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        berlin(**given_)
