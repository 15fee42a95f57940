"""Apprise against a json:// service on loopback."""

from __future__ import annotations

import sys

import pytest

from detector import errors, messages
from detector.notify import apprise_url
from tests import faults
from tests.detector.notify import kinds
from tests.fakes import sms


def made(url: str) -> apprise_url.AppriseUrl:
    return apprise_url.AppriseUrl(url=url.replace("http://", "json://"), read_timeout=kinds.SHORT)


def test_the_text_arrives_at_the_recipients_own_url() -> None:
    with kinds.answering(faults.Planned(200)) as server:
        outcome = made(f"{server.url}/sms/{{recipient}}").send(kinds.outgoing())
        (received,) = server.received

    assert outcome == messages.Accepted("")
    assert received.path == "/sms/+491701234567"
    assert sms.said_in_json(received) == {
        "version": "1.0",
        "title": "",
        "message": kinds.TEXT,
        "type": "info",
    }


def test_two_messages_do_not_wait_for_each_other() -> None:
    with kinds.answering(faults.Planned(200)) as server:
        provider = made(server.url)
        for _ in range(3):
            assert provider.send(kinds.outgoing()) == messages.Accepted("")
        assert len(server.received) == 3


def test_the_reason_is_what_apprise_logs() -> None:
    with kinds.answering(faults.Planned(403)) as server:
        outcome = made(server.url).send(kinds.outgoing())
    assert outcome == messages.Unclear(
        "Apprise failed: Failed to send JSON POST notification: error=403."
    )


@pytest.mark.parametrize("url", ["canary", "canary://secret@host", "json://", "jsn://canary"])
def test_a_url_that_apprise_does_not_know_is_refused_and_not_shown(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(errors.ConfigError, match="apprise: api_secret: not shown") as raised:
        apprise_url.AppriseUrl(url=url)
    assert "canary" not in str(raised.value) + caplog.text


def test_a_service_that_fails_by_its_own_code_leaves_it_unclear() -> None:
    with kinds.answering(faults.Planned(200)) as server:
        provider = made(f"{server.url}/{{recipient}}")
        outcome = provider.send(kinds.outgoing(text=7))
    assert isinstance(outcome, messages.Unclear)


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(errors.ConfigError, match=r"pip install 'monitor-drift-agent\[apprise\]'"):
        made("http://127.0.0.1:1")


def test_it_neither_can_be_asked_nor_calls_back() -> None:
    provider = made("http://127.0.0.1:1")
    assert provider.find(kinds.outgoing()) is messages.Lookup.NEVER_TELLS
    assert provider.receipt({"status": "delivered", "messageId": "1"}) is None
