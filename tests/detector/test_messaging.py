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


def test_each_service_of_notify_has_a_loop_of_its_own_beside_that_of_sms(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("json://127.0.0.1:1/canary\n")
    found = made(
        tmp_path,
        MDA_NOTIFY__CHAT__URL="json://127.0.0.1:1/canary",
        MDA_NOTIFY__OPS__URL_FILE=str(tmp_path / "url"),
        MDA_TEAMS__PAYMENTS__SMS="+447700900123",
    )
    assert found is not None
    assert [each.name for each in found.loops] == ["messages", "notify_chat", "notify_ops"]
    assert set(found.parts.services) == {"chat", "ops"}
    assert set(found.parts.teams) == {"payments"}


def test_a_team_may_be_told_by_sms_where_nobody_else_is(tmp_path: Path) -> None:
    found = made(tmp_path, SMS_TO="", MDA_TEAMS__PAYMENTS__SMS="+447700900123")
    assert found is not None
    assert found.parts.tell is None
    assert set(found.parts.teams) == {"payments"}


def test_a_service_may_be_told_where_nobody_is_told_by_sms(tmp_path: Path) -> None:
    given = {"SMS_TO": "", "SMS_API_KEY": ""}
    found = made(tmp_path, **given, MDA_NOTIFY__CHAT__URL="json://127.0.0.1:1")
    assert found is not None
    assert (found.parts.tell, found.parts.parsers) == (None, {})


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"MDA_NOTIFY__CHAT__URL": "canary://x"}, "notify.chat.url: not shown"),
        ({"MDA_NOTIFY__CHAT__URL_FILE": "/none"}, "notify.chat.url_file: /none: No such file"),
    ],
)
def test_a_service_that_cannot_be_is_refused_by_its_name(
    tmp_path: Path, given: dict[str, str], complaint: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        made(tmp_path, **given)
    assert str(caught.value).startswith(complaint)
    assert "canary" not in str(caught.value)
