"""Messages by Apprise, from a real Alertmanager through the outbox of the real detector."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from detector import config
from detector.stack import addresses, render
from tests import conftest, faults, stack
from tests.fakes import services as fake_services

pytestmark = pytest.mark.usefixtures("compiled_kernels")
CANARY = "s3cret-canary"


class Detector(stack.Detector):
    """Tells two services by Apprise, of which one refuses all; scores nothing."""

    def __init__(self, prometheus: stack.Prometheus, database_url: str, services: str) -> None:
        at = services.replace("http://", "json://")
        self.given = {
            "ANOMALY_DETECTION_ENABLED": "false",
            "MDA_NOTIFY__CHAT__URL": f"{at}/{CANARY}",
            "MDA_NOTIFY__BROKEN__URL": f"{at}/{CANARY}/refused",
        }
        super().__init__(prometheus, database_url, **self.given)

    def messages(self, recipient: str) -> list[dict[str, Any]]:
        """As the API tells them, oldest first."""
        token = (self.home / "token").read_text().strip()
        answer = requests.get(
            f"{self.url}/api/messages",
            params={"recipient": recipient},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found[::-1]


@pytest.fixture
def services() -> Iterator[faults.Receiver]:
    with fake_services.services({f"/{CANARY}/refused"}) as found:
        yield found


@pytest.fixture
def detector(
    prometheus: conftest.MakePrometheus, database_url: str, services: faults.Receiver
) -> Iterator[Detector]:
    served = Detector(prometheus(), database_url, services.url)
    served.start()
    yield served
    served.kill9()


@pytest.fixture
def routed(
    detector: Detector, alertmanager: conftest.MakeAlertmanager, tmp_path: pathlib.Path
) -> stack.Server:
    here = addresses.Addresses(
        "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", detector.url.removeprefix("http://")
    )
    environ = detector.given | {"MDA_WEBHOOK_TOKEN_FILE": str(detector.home / "webhook_token")}
    rendered = render.render(config.load(None, environ), here, tmp_path)
    text = rendered.alertmanager.read_text()
    return alertmanager(text.replace("group_wait: 30s", "group_wait: 0s"))


def post(server: stack.Server, name: str, *, ends_at: str | None = None) -> None:
    alert = {
        "labels": {"alertname": name, "severity": "high", "instance": "web-1"},
        "annotations": {"summary": "CPU is 93 % busy", "description": "for 5 minutes"},
        "startsAt": "2026-11-30T12:00:00Z",
    } | ({} if ends_at is None else {"endsAt": ends_at})
    requests.post(f"{server.url}/api/v2/alerts", json=[alert], timeout=10).raise_for_status()


def test_a_service_of_apprise_is_told_once_and_what_it_refuses_is_not_sent_again(
    detector: Detector,
    routed: stack.Server,
    services: faults.Receiver,
    tally: conftest.Tally,
) -> None:
    def taken(path: str) -> list[faults.Received]:
        return [each for each in services.received if each.path == path]

    post(routed, "HostHighCpu")
    stack.wait_until(lambda: taken(f"/{CANARY}"), 30, "the message")
    (received,) = taken(f"/{CANARY}")
    assert json.loads(received.body)["message"] == (
        "FIRING high HostHighCpu: CPU is 93 % busy, web-1, since 12:00 UTC\nfor 5 minutes"
    )
    stack.wait_until(lambda: detector.messages("chat")[0]["state"] == "sent", 10, "the answer")
    routed.kill9()  # it forgets whom it has told
    routed.start()
    post(routed, "HostHighCpu")
    stack.wait_until(lambda: taken(f"/{CANARY}/refused"), 30, "the message that is refused")
    time.sleep(5)
    (chat,) = detector.messages("chat")
    (broken,) = detector.messages("broken")
    assert (chat["state"], chat["provider"], chat["price"]) == ("sent", "notify-chat", 0)
    assert broken["state"] == "sending"  # until it has been asked, which it cannot be
    assert CANARY not in json.dumps([chat, broken])
    assert CANARY not in (detector.folder / f"detector-{detector.url[-5:]}.log").read_text()
    sent = len(taken(f"/{CANARY}")) + len(taken(f"/{CANARY}/refused"))
    tally("a message by Apprise", sent=2, received=sent, doubled=sent - 2, lost=0)


def test_a_webhook_for_a_service_that_is_not_named_is_refused(detector: Detector) -> None:
    token = (detector.home / "webhook_token").read_text().strip()
    answers = [
        requests.post(
            f"{detector.url}/api/webhooks/{path}",
            json={"version": "4", "alerts": []},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        for path in ("notify/other", "sms/payments", "sms", "notify/chat")
    ]
    assert [each.status_code for each in answers] == [404, 404, 404, 200]
    assert answers[0].json()["detail"] == "notify.other: no service of this name"
