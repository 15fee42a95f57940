"""With the environment alone: a spike arrives by mail, Slack and SMS, somebody acknowledges it, it
ends, and all of that is remembered."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from detector.stack import debian
from tests import stack
from tests.e2e import live
from tests.e2e.conftest import QUERY, STEP_S, Injected
from tests.e2e.test_closed_loop import Driver
from tests.fakes.mail import Mailbox
from tests.fakes.slack import FakeSlack
from tests.fakes.sms import FakeVonage

ANN = "+491701234567"


@pytest.fixture
def servers() -> Iterator[tuple[Mailbox, FakeSlack, FakeVonage]]:
    with Mailbox() as smtp, FakeSlack() as slack, FakeVonage() as vonage:
        yield smtp, slack, vonage


class Desk:
    """Somebody at the API."""

    def __init__(self, running: live.LiveStack) -> None:
        self._running = running

    def put(self, alert_id: int, **given: Any) -> dict[str, Any]:
        token = (self._running.home / "token").read_text().strip()
        answer = requests.put(
            f"{self._running.url('detector')}/api/alerts/{alert_id}",
            json=given,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def has_raised(self) -> bool:
        """Whether the detector heeds what was said of the query's alerts."""
        answer = requests.get(f"{self._running.url('detector')}/metrics", timeout=10)
        return f'detector_query_raised_series{{query="{QUERY}"}} 1.0' in answer.text


@pytest.mark.timeout(540)
def test_a_spike_arrives_everywhere_is_acknowledged_ends_and_is_remembered(
    servers: tuple[Mailbox, FakeSlack, FakeVonage], stack_binaries: stack.Binaries
) -> None:
    smtp, slack, vonage = servers
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-arrive-"))
    home.chmod(0o755)
    injected = Injected(home / "textfile")
    listens = f"127.0.0.1:{stack.free_port()}"
    environ = {
        "METRIC_COLLECTION_INTERVAL": str(STEP_S),
        "EXPORTER_COLLECTORS__TEXTFILE__DIRECTORY": str(home / "textfile"),
        "MDA_QUERIES": json.dumps(
            [{"name": QUERY, "expr": "injected_value", "min_deviation": 0.5}]
        ),
        "MDA_LISTEN_ADDRESS": listens,
        "MDA_PUBLIC_URL": f"http://{listens}",
        "EMAIL_SMTP_SERVER": "127.0.0.1",
        "EMAIL_SMTP_PORT": str(smtp.port),
        "EMAIL_USERNAME": "monitor@example.org",
        "EMAIL_PASSWORD": "canary-mail-password",
        "EMAIL_FROM": "monitor@example.org",
        "EMAIL_TO": "oncall@example.org",
        "SLACK_WEBHOOK_URL": slack.url,
        "SMS_API_KEY": vonage.key,
        "SMS_API_SECRET": vonage.secret,
        "SMS_FROM_NUMBER": "+4930123456",
        "SMS_TO": ANN,
        "MDA_SMS__URL": vonage.url,
    }
    running = live.LiveStack(home, environ, stack_binaries)
    running.start()
    try:
        driver, desk = Driver(running, injected), Desk(running)
        driver.until("the query to be sure", 240, driver.is_sure)
        driver.until("a quiet score", 60, lambda: 0 <= driver.score() < 1)
        driver.raise_alert()
        (firing,) = driver.until("the stored episode", 120, lambda: driver.episodes(state="firing"))

        def ours(texts: list[str]) -> list[str]:
            return [text for text in texts if QUERY in text]

        (mail,) = driver.until("a mail", 120, lambda: ours([str(m) for m in smtp.messages()]))
        (post,) = driver.until("Slack", 60, lambda: ours([json.dumps(m) for m in slack.messages]))
        (sms,) = driver.until("an SMS", 60, lambda: [t for t in vonage.taken if QUERY in str(t)])
        sms.status = "delivered"
        vonage.call_back(sms, sms.form["callback"])
        acknowledged = desk.put(firing["id"], action="acknowledge", note="looking")
        driver.shift = 0.0
        (over,) = driver.until("its end", 180, lambda: driver.episodes(state="resolved"))
        whole = running.api(f"/api/alerts/{over['id']}")
        desk.put(over["id"], action="feedback", feedback="false_alarm")
        driver.until("a raised threshold", 90, desk.has_raised)
    finally:
        running.stop()

    assert sms.form["to"] == ANN.removeprefix("+")
    assert acknowledged["status"] == "acknowledged"
    for text in (mail, post):
        assert "/alerts/ack/" in text
        assert "/api/charts/" in text
    assert [each["state"] for each in whole["transitions"]] == [
        "pending",
        "firing",
        "acknowledged",
        "resolved",
    ]
    assert whole["transitions"][2]["note"] == "looking"
    assert whole["owner"]
    assert float(whole["facts"]["score"].split()[0]) > 1
    assert whole["facts"]["expected"]
    told = {each["channel"]: each["state"] for each in whole["deliveries"]}
    has_recorder = stack_binaries.suite is debian.Suite.NEXT
    by_alertmanager = "sent" if has_recorder else "unknown_per_alert"
    assert told == {"sms": "delivered", "email": by_alertmanager, "slack": by_alertmanager}
