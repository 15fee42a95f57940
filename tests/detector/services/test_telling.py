"""When and how messages are written."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time

import pytest

from detector import segments
from detector.services import telling
from tests.factories import notification

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NIGHT = telling.Quiet(time(22), time(7), frozenset({"critical"}))
LUNCH = telling.Quiet(time(12), time(13), frozenset())


@pytest.mark.parametrize(
    ("quiet", "at", "due"),
    [
        (NIGHT, "2026-06-01 19:59", "2026-06-01 19:59"),
        (NIGHT, "2026-06-01 20:00", "2026-06-02 05:00"),
        (NIGHT, "2026-06-02 04:59", "2026-06-02 05:00"),
        (NIGHT, "2026-06-02 05:00", "2026-06-02 05:00"),
        (NIGHT, "2026-10-24 23:30", "2026-10-25 06:00"),  # the clocks are turned back that night
        (NIGHT, "2026-03-28 23:30", "2026-03-29 05:00"),  # and forward this one
        (LUNCH, "2026-06-01 10:30", "2026-06-01 11:00"),
        (LUNCH, "2026-06-01 11:00", "2026-06-01 11:00"),
    ],
)
def test_quiet_hours_end_by_the_clocks_of_the_zone(quiet: telling.Quiet, at: str, due: str) -> None:
    instants = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (at, due)]
    assert quiet.due_at("high", instants[0], BERLIN) == instants[1]
    assert (quiet.due_at("critical", instants[0], BERLIN) == instants[0]) or quiet is LUNCH


def test_a_long_text_is_cut_to_the_parts_allowed_and_priced() -> None:
    style = telling.Style(2, 0.25, "vonage", BERLIN, NIGHT)
    long = notification(annotations=(("summary", "x" * 900),))
    drafted = style.draft([long], datetime(2026, 6, 1, 23, tzinfo=UTC))
    assert segments.parts_of(drafted.text) == drafted.parts == 2
    assert drafted.text.endswith("...")
    assert (drafted.price, drafted.provider) == (0.5, "vonage")
    assert drafted.due_at == datetime(2026, 6, 2, 5, tzinfo=UTC)
