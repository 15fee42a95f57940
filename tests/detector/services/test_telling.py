"""When and how messages are written."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time

import pytest

from detector import segments
from detector.services import telling
from tests.factories import at, notification

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NIGHT = telling.Quiet(time(22), time(7), frozenset({"critical"}))
LUNCH = telling.Quiet(time(12), time(13), frozenset())


@pytest.mark.parametrize(
    ("quiet", "text", "holds"),
    [
        (NIGHT, "2026-06-01 19:59", False),
        (NIGHT, "2026-06-01 20:00", True),
        (NIGHT, "2026-06-02 04:59", True),
        (NIGHT, "2026-06-02 05:00", False),
        (NIGHT, "2026-10-25 05:59", True),  # the clocks were turned back that night
        (NIGHT, "2026-10-25 06:00", False),
        (NIGHT, "2026-03-29 04:59", True),  # and forward this one
        (NIGHT, "2026-03-29 05:00", False),
        (LUNCH, "2026-06-01 10:30", True),
        (LUNCH, "2026-06-01 11:00", False),
    ],
)
def test_quiet_hours_go_by_the_clocks_of_the_zone(
    quiet: telling.Quiet, text: str, *, holds: bool
) -> None:
    instant = datetime.fromisoformat(text).replace(tzinfo=UTC)
    assert quiet.holds(instant, BERLIN) == holds
    style = telling.Style(1, 0.1, "vonage", BERLIN, quiet)
    assert style.allowed(instant) == (quiet.but if holds else None)


def test_a_long_text_is_cut_to_the_parts_allowed_and_priced() -> None:
    style = telling.Style(2, 0.25, "vonage", BERLIN, NIGHT)
    long = notification(annotations=(("summary", "x" * 900),))
    drafted = style.draft([long], at(0))
    assert segments.parts_of(drafted.text) == drafted.parts == 2
    assert drafted.text.endswith("...")
    assert (drafted.price, drafted.provider) == (0.5, "vonage")
    assert drafted.due_at == at(0)
