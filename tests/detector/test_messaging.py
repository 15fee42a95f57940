"""What sends SMS, as the settings have it."""

from __future__ import annotations

import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detector import config, errors, messaging, telemetry
from detector.store import database

GIVEN = {
    "SMS_TO": "+491701234567",
    "SMS_API_KEY": "key",
    "SMS_API_SECRET": "canary-secret",
    "SMS_FROM_NUMBER": "+491700000001",
}


def made(home: Path, **more: str) -> messaging.Messaging | None:
    return messaging.messaging(
        config.load(None, {"MDA_HOME": str(home), **GIVEN, **more}),
        database.Database("postgresql://nobody@127.0.0.1:1/mda"),
        telemetry.Telemetry(),
        clock=time.time,
        instant=lambda: datetime.now(UTC),
    )


def test_without_recipients_there_is_none(tmp_path: Path) -> None:
    assert made(tmp_path, SMS_TO="") is None
    assert list(tmp_path.iterdir()) == []


def test_the_key_of_receipts_is_made_once_for_its_owner(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    assert first is not None
    assert second is not None
    assert first.parts.signer == second.parts.signer
    assert stat.S_IMODE((tmp_path / "callback_key").stat().st_mode) == 0o600


def test_a_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "callback_key").write_text("\n")
    with pytest.raises(errors.ConfigError, match=r"callback_key: 32 characters are needed"):
        made(tmp_path)
