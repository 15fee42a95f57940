"""`mda alerts test` against a real Alertmanager and the real detector: each hop, or the one that
is missing."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from detector import config
from detector.stack import addresses, render
from tests import conftest, faults, stack
from tests.fakes import services as fake_services
from tests.fakes.sms import FakeVonage

pytestmark = pytest.mark.usefixtures("compiled_kernels")


@pytest.fixture
def services() -> Iterator[faults.Receiver]:
    with fake_services.services({"/v2/enqueue"}) as found:
        yield found


@pytest.fixture
def vonage() -> Iterator[FakeVonage]:
    with FakeVonage() as fake:
        yield fake


class Stack:
    """Alertmanager and detector, and the command that tests them."""

    def __init__(self, detector: stack.Detector, given: dict[str, str], folder: pathlib.Path):
        self.detector, self.given, self.folder = detector, given, folder
        self.alertmanager: stack.Server

    def test(self, channel: str, *more: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, hops, and what was said of an error."""
        ran = subprocess.run(
            [sys.executable, "-m", "detector", "alerts", "test", channel, "--json", *more],
            cwd=self.folder,
            env=self.given | {"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ran.returncode, json.loads(ran.stdout or "[]"), ran.stderr


@pytest.fixture
def running(
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    database_url: str,
    services: faults.Receiver,
    vonage: FakeVonage,
    tmp_path: pathlib.Path,
) -> Iterator[Stack]:
    given = {
        "ANOMALY_DETECTION_ENABLED": "false",
        "MDA_NOTIFY__CHAT__URL": f"{services.url.replace('http', 'json')}/chat",
        "SLACK_WEBHOOK_URL": f"{services.url}/slack",
        "PAGERDUTY_ROUTING_KEY": "canary",
        "MDA_PAGERDUTY__URL": f"{services.url}/v2/enqueue",
        "SMS_API_KEY": vonage.key,
        "SMS_API_SECRET": vonage.secret,
        "SMS_FROM_NUMBER": "+491700000001",
        "SMS_TO": "+491701234567",
        "MDA_SMS__URL": vonage.url,
        "MDA_PUBLIC_URL": "http://127.0.0.1:1",
    }
    detector = stack.Detector(prometheus(), database_url, **given)
    given |= {"MDA_HOME": str(detector.home), "MDA_LISTEN_ADDRESS": detector.url[7:]}
    detector.start()
    token = str(detector.home / "webhook_token")
    here = addresses.Addresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", detector.url[7:])
    settings = config.load(None, given | {"MDA_WEBHOOK_TOKEN_FILE": token})
    rendered = render.render(settings, here, tmp_path / "rendered")
    found = Stack(detector, given, tmp_path)
    found.alertmanager = alertmanager(rendered.alertmanager.read_text())
    given["MDA_ALERTMANAGER__URL"] = found.alertmanager.url
    yield found
    detector.kill9()


def names(hops: list[dict[str, Any]]) -> list[str]:
    return [hop["name"] for hop in hops if hop["is_seen"]]


def test_every_hop_of_each_kind_of_channel_is_seen_and_nobody_else_is_told(
    running: Stack, services: faults.Receiver, vonage: FakeVonage
) -> None:
    first = ["accepted", "held"]
    code, hops, said = running.test("slack")
    assert (code, names(hops)) == (0, [*first, "notified by slack", "remembered"]), said + str(hops)
    assert set(hops[1]["text"].removeprefix("for ").split(", ")) == {"memory", "slack"}
    assert {each.path for each in services.received} == {"/slack"}

    outbox = [*first, "notified by webhook", "queued", "handed over", "remembered"]
    code, hops, said = running.test("notify-chat")
    assert (code, names(hops)) == (0, outbox), said + str(hops)
    (chat, *_) = [each for each in services.received if each.path == "/chat"]
    assert "This is test message" in json.loads(chat.body)["message"]

    with ThreadPoolExecutor(1) as phone:
        phone.submit(call_back, running, vonage)
        code, hops, said = running.test("sms")
    delivered = [*outbox[:-1], "delivered", "remembered"]
    assert (code, names(hops)) == (0, delivered), said + str(hops)
    assert vonage.taken[0].form["text"].startswith("FIRING info TestMessage: This is test message")
    assert hops[-2]["text"] == "+491701234567 by vonage"
    assert {each.path for each in services.received} == {"/slack", "/chat"}


def call_back(running: Stack, vonage: FakeVonage) -> None:
    """Say that the first SMS has arrived, as soon as it is known to have been sent."""
    token = (running.detector.home / "token").read_text().strip()

    def sent() -> bool:
        answer = requests.get(
            f"{running.detector.url}/api/messages?state=sent&recipient=%2B491701234567",
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )
        return bool(answer.json()["messages"])

    stack.wait_until(sent, 60, "the SMS")
    vonage.taken[0].status = "delivered"
    url = vonage.taken[0].form["callback"].replace("http://127.0.0.1:1", running.detector.url)
    vonage.call_back(vonage.taken[0], url)


def test_a_test_message_ends_by_itself(running: Stack, services: faults.Receiver) -> None:
    running.test("slack")

    def is_over() -> bool:
        held = requests.get(f"{running.alertmanager.url}/api/v2/alerts", timeout=5).json()
        return held == [] and len(services.received) == 2

    stack.wait_until(is_over, 30, "the end to be told")
    assert b"resolved" in services.received[1].body.lower()


def test_the_hop_that_is_missing_is_told_with_exit_code_1(running: Stack) -> None:
    code, hops, _ = running.test("pagerduty", "--timeout", "20")
    assert (code, names(hops)) == (1, ["accepted", "held"])
    assert hops[-1]["name"] == "notified by pagerduty"
    assert hops[-1]["text"] == "it was refused: Alertmanager's log says why"

    running.detector.kill9()
    code, hops, _ = running.test("slack", "--timeout", "3")
    assert (code, names(hops)) == (1, ["accepted", "held", "notified by slack"])
    assert "is it running?" in hops[-1]["text"]


def test_a_channel_that_is_not_there_is_one_line_with_exit_code_2(running: Stack) -> None:
    code, _, said = running.test("emial")
    assert code == 2
    assert said == (
        "mda: alerts test: 'emial': no receiver of Alertmanager's: "
        "notify-chat, pagerduty, slack, sms\n"
    )
    code, _, said = running.test("memory")
    assert (code, "no route of Alertmanager's leads" in said) == (2, True)


def test_without_an_alertmanager_it_is_one_line_with_exit_code_1(running: Stack) -> None:
    running.alertmanager.kill9()
    began = time.monotonic()
    code, hops, said = running.test("slack")
    assert (code, hops, said.count("\n")) == (1, [], 1)
    assert "does not answer" in said
    assert time.monotonic() - began < 20
