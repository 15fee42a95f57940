from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest

from detector import wall_clock
from detector.models import calendars, events

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MARCH = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 10, tzinfo=UTC)
OFFICE = """BEGIN:VTIMEZONE
TZID:Office
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
END:VTIMEZONE
"""


def ics(*made: str, head: str = "") -> str:
    """A file of events, each given as lines between bars."""
    body = "".join(
        f"BEGIN:VEVENT\nUID:{number}\n{event.replace('|', chr(10))}\nEND:VEVENT\n"
        for number, event in enumerate(made)
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{head}{body}END:VCALENDAR\n"


def planned(text: str, span: wall_clock.Span = MARCH) -> list[str]:
    """What the events plan within the span, as Berlin's clocks show it."""
    calendar = calendars.Calendar((events.parse_events(text, zone=BERLIN),))
    found, now = [], span[0] - timedelta(milliseconds=1)
    while (change := calendar.next_change(now)) is not None and change < span[1]:
        found.append(change.astimezone(BERLIN).strftime("%d.%m. %H:%M"))
        now = change
    return found


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("DTSTART:20260322T021500Z|DTEND:20260322T031500Z", ["22.03. 03:15", "22.03. 04:15"]),
        ("DTSTART:20260322T021500|DURATION:PT1H", ["22.03. 02:15", "22.03. 03:15"]),
        (
            "DTSTART;TZID=America/New_York:20260322T021500|DURATION:PT1H",
            ["22.03. 07:15", "22.03. 08:15"],
        ),
        (
            "DTSTART;TZID=W. Europe Standard Time:20260322T021500|DURATION:PT1H",
            ["22.03. 02:15", "22.03. 03:15"],
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20260322T100000|DTEND;TZID=Europe/London:20260322T100000",
            ["22.03. 10:00", "22.03. 11:00"],
        ),
        ("DTSTART;VALUE=DATE:20260329", ["29.03. 00:00", "30.03. 00:00"]),
        (
            "DTSTART;VALUE=DATE:20260328|DTEND;VALUE=DATE:20260331",
            ["28.03. 00:00", "31.03. 00:00"],
        ),
        (
            ("DTSTART;TZID=Europe/Berlin:20260327T220000|DTEND;TZID=Europe/Berlin:20260328T060000"
             "|RRULE:FREQ=DAILY;COUNT=3|EXDATE;TZID=Europe/Berlin:20260327T220000"),
            ["28.03. 22:00", "29.03. 06:00", "29.03. 22:00", "30.03. 06:00"],
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20260322T021500|DURATION:PT30M|RRULE:FREQ=WEEKLY;COUNT=2",
            ["22.03. 02:15", "22.03. 02:45", "29.03. 03:00", "29.03. 03:30"],
        ),
        (
            ("DTSTART;VALUE=DATE:20260301|RRULE:FREQ=MONTHLY;BYDAY=2TU;UNTIL=20260401"
             "|EXDATE;VALUE=DATE:20260301"),
            ["10.03. 00:00", "11.03. 00:00"],
        ),
        (
            ("DTSTART:20260301T000000Z|DURATION:PT1H"
             "|RDATE;VALUE=PERIOD:20260305T000000Z/PT2H,20260306T000000Z/20260306T030000Z"),
            ["01.03. 01:00", "01.03. 02:00", "05.03. 01:00", "05.03. 03:00", "06.03. 01:00",
             "06.03. 04:00"],
        ),
        ("DTSTART:20260322T021500Z", []),
        ("DTSTART:20260322T021500Z|DURATION:PT1H|STATUS:CANCELLED", []),
    ],
)  # fmt: skip
def test_events_plan_their_time(event: str, expected: list[str]) -> None:
    assert planned(ics(event)) == expected


def test_one_repetition_is_moved_and_another_cancelled() -> None:
    text = ics(
        "DTSTART:20260301T100000Z|DURATION:PT1H|RRULE:FREQ=DAILY;COUNT=3",
    ).replace(
        "END:VCALENDAR",
        "BEGIN:VEVENT\nUID:0\nRECURRENCE-ID:20260302T100000Z\nDTSTART:20260302T120000Z\n"
        "DTEND;TZID=Europe/Berlin:20260302T140000\nEND:VEVENT\n"
        "BEGIN:VEVENT\nUID:0\nRECURRENCE-ID:20260303T100000Z\nDTSTART:20260303T100000Z\n"
        "DURATION:PT1H\nSTATUS:CANCELLED\nEND:VEVENT\nEND:VCALENDAR",
    )
    assert planned(text) == ["01.03. 11:00", "01.03. 12:00", "02.03. 13:00", "02.03. 14:00"]


def test_zone_that_the_file_defines_is_understood() -> None:
    event = "DTSTART;TZID=Office:20260328T220000|DURATION:PT1H|RRULE:FREQ=DAILY;COUNT=2"
    assert planned(ics(event, head=OFFICE)) == [
        "28.03. 22:00", "28.03. 23:00", "29.03. 22:00", "29.03. 23:00",
    ]  # fmt: skip


def test_floating_times_are_in_the_zone_that_the_file_names() -> None:
    event = "DTSTART:20260307T020000|DURATION:PT1H|RRULE:FREQ=DAILY"
    text = ics(event, head="X-WR-TIMEZONE:America/New_York\n")
    assert planned(text)[:2] == ["07.03. 08:00", "07.03. 09:00"]


@pytest.mark.parametrize(
    ("event", "part"),
    [
        ("DTSTART:2026-03-22", "DTSTART: Expected datetime"),
        ("SUMMARY:Backup|DURATION:PT1H", "event 'Backup': DTSTART: one day or time is needed"),
        ("DTSTART:20260322T02Z|DTSTART:20260322T02Z", "DTSTART"),
        ("DTSTART;TZID=Mars/Base:20260322T020000", "TZID Mars/Base: neither a known zone nor"),
        ("DTSTART;TZID=Europe:20260322T020000", "Europe"),
        ("DTSTART:20260322T020000Z|DTEND:20260321T020000Z", "the end must be after the start"),
        ("DTSTART:20260322T020000Z|DURATION:-PT1H", "the end must be after the start"),
        ("DTSTART:20260322T020000Z|DURATION:P9999D", "by at most 3660 days"),
        ("DTSTART;VALUE=DATE:20260322|DTEND;VALUE=DATE:20260322", "the end must be after"),
        ("DTSTART;VALUE=DATE:20260322|DTEND:20260323T020000Z", "DTEND: must be a day if DTSTART"),
        ("DTSTART:20260322T020000|DTEND:20260323T020000Z", "floating if DTSTART is"),
        ("DTSTART:20260322T020000Z|RRULE:hello", "FREQ none: YEARLY to HOURLY"),
        ("DTSTART:20260322T020000Z|RRULE:FREQ=SECONDLY", "FREQ SECONDLY: YEARLY to HOURLY"),
        ("DTSTART:20260322T020000Z|RRULE:FREQ=DAILY;INTERVAL=0", "INTERVAL: 1 and more"),
        ("DTSTART:20260322T020000Z|RRULE:FREQ=HOURLY;BYMINUTE=0,9,18,27,36", "120 times a day"),
        ("DTSTART:20260322T020000Z|RRULE:FREQ=DAILY;UNTIL=2026", "RRULE"),
        ("DTSTART:20260322T020000Z|RDATE;VALUE=DATE:202604", "days and times are allowed"),
        (
            "DTSTART:20260322T020000Z|RDATE;VALUE=PERIOD:20260324T020000Z/20260324T010000Z",
            "the end must be after the start",
        ),
    ],
)
def test_event_that_is_not_understood_is_named(event: str, part: str) -> None:
    with pytest.raises(ValueError, match="not iCalendar: ") as caught:
        events.parse_events(ics(event), zone=UTC)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "hello\n", ics("DTSTART:20260322T020000Z")[:-30]])
def test_text_that_is_no_whole_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not iCalendar: "):
        events.parse_events(text, zone=UTC)
