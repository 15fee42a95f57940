from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detector import last_watchdog
from tests.factories import T0


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert last_watchdog.read(tmp_path) is None
    last_watchdog.write(tmp_path, T0)
    assert last_watchdog.read(tmp_path) == T0
    assert (tmp_path / last_watchdog.NAME).read_text() == "2026-03-01T12:00:00.000+00:00\n"
    later = datetime(2026, 3, 1, 12, 1, 15, 500_000, UTC)
    last_watchdog.write(tmp_path, later)
    assert last_watchdog.read(tmp_path) == later


@pytest.mark.parametrize("damaged", [b"", b"soon", b"\xff", b"2026-03-01T12:00:00"])
def test_what_cannot_be_read_is_none(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / last_watchdog.NAME).write_bytes(damaged)
    assert last_watchdog.read(tmp_path) is None
