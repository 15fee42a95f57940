from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from detector import config, errors, planning

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def ics(*hours: int) -> str:
    """An hour is planned at each of these hours of 2 March 2026."""
    made = "".join(
        f"BEGIN:VEVENT\nUID:{hour}\nDTSTART:20260302T{hour:02}0000Z\nDURATION:PT1H\nEND:VEVENT\n"
        for hour in hours
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{made}END:VCALENDAR\n"


def planned_time(
    file: Path, names: tuple[str, ...] = ("works",), **more: object
) -> planning.PlannedTime:
    calendars = {"works": {"ics": str(file)}, **more}
    return planning.Planning(config.Settings.model_validate({"calendars": calendars})).planned_time(
        names
    )


def hours(planned: planning.PlannedTime) -> list[int]:
    midnight_ms = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
    mask = planned.is_planned(midnight_ms + np.arange(24) * 3_600_000)
    return [int(hour) for hour in np.flatnonzero(mask)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "works.ics"
    path.write_text(ics(3))
    return path


def test_query_without_calendars_has_nothing_planned(file: Path) -> None:
    planned = planned_time(file, ())
    assert hours(planned) == []
    assert planned.next_change(NOON) is None


def test_calendars_of_a_query_add_up(file: Path) -> None:
    night = {
        "timezone": "Europe/Berlin",
        "weekly": [{"days": ["mon"], "start": "22:00", "end": "23:00"}],
        "once": [
            {"start": "2026-03-02 10:00", "end": "2026-03-02 11:00"},
            {"start": "2026-03-02T11:00:00Z", "end": "2026-03-02T12:00:00Z"},
        ],
    }
    planned = planned_time(file, ("works", "night"), night=night)
    assert hours(planned) == [3, 9, 11, 21]
    assert planned.next_change(NOON) == NOON + timedelta(hours=9)


def test_holidays_are_those_of_the_calendars_zone(file: Path) -> None:
    feasts = {"timezone": "Asia/Tokyo", "holidays": ["JP"]}
    planned = planned_time(file, ("feasts",), feasts=feasts)
    change = planned.next_change(datetime(2026, 7, 1, tzinfo=UTC))
    assert change == datetime(2026, 7, 19, 15, tzinfo=UTC)  # 20 July there


def test_holidays_that_are_not_known_are_named(file: Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"^calendars.feasts.holidays.1: 'XX': no holi"):
        planned_time(file, feasts={"holidays": ["JP", "XX"]})


def test_queries_with_the_same_calendars_share_them(file: Path) -> None:
    settings = config.Settings.model_validate({"calendars": {"works": {"ics": str(file)}}})
    made = planning.Planning(settings)
    assert made.planned_time(("works",)) is made.planned_time(("works",))


def test_a_changed_file_is_followed(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    planned = planned_time(file)
    assert hours(planned) == [3]
    with caplog.at_level(logging.INFO):
        file.write_text(ics(5, 6))
        assert hours(planned) == [5, 6]
        assert hours(planned) == [5, 6]
    assert [record.getMessage() for record in caplog.records] == ["calendar file read again"]


def test_a_file_of_the_same_size_and_another_time_is_followed(file: Path) -> None:
    planned = planned_time(file)
    file.write_text(ics(4))
    os.utime(file, ns=(0, 0))
    assert hours(planned) == [4]


@pytest.mark.parametrize("text", ["", ics(5)[:-30], ics(5).replace("T05", "T99"), None])
def test_a_broken_file_leaves_the_last_good_one_and_is_said_once(
    file: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    planned = planned_time(file)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)

    assert [hours(planned) for _ in range(3)] == [[3], [3], [3]]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.__dict__["calendar"] == "calendars.works.ics"

    file.write_text(ics(7))
    assert hours(planned) == [7]


def test_what_is_no_small_text_file_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.ics"
    large.write_bytes(b" " * (planning.LARGEST_FILE_BYTES + 1))
    latin = tmp_path / "latin.ics"
    latin.write_bytes(ics(3).replace("test", "\xfc").encode("latin-1"))
    pipe = tmp_path / "pipe.ics"
    os.mkfifo(pipe)
    reasons = [(large, "1000000 are allowed"), (latin, "utf-8"), (pipe, "not a file")]
    for path, reason in reasons:
        with pytest.raises(errors.ConfigError, match=reason) as caught:
            planned_time(path)
        assert str(caught.value).startswith(f"calendars.works.ics: {str(path)!r}: ")


def test_a_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + ics(8).encode())
    assert hours(planned_time(file)) == [8]
