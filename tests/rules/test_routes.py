"""alertmanager.yml: who is told of what, and that every receiver really delivers."""

from __future__ import annotations

import http.server
import json
import pathlib
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import yaml

from detector import config
from detector.stack import addresses, render
from tests import conftest, stack
from tests.rules import routing

CONFIG = conftest.ROOT / "alertmanager.yml"
PEOPLE = ["email", "slack"]


def test_amtool_finds_no_fault(stack_binaries: stack.Binaries) -> None:
    assert "SUCCESS" in routing.amtool(stack_binaries, "check-config", str(CONFIG))


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["severity=critical"], ["memory", *PEOPLE, "sms"]),
        (["severity=warning", "alertname=AnomalyDetected"], ["memory", *PEOPLE, "sms"]),
        (["severity=high", "policy=High CPU Alert"], ["memory", *PEOPLE, "sms"]),
        (["severity=warning", "alertname=SmsNotSent"], ["memory", *PEOPLE]),
        (["severity=medium"], ["memory", *PEOPLE]),
        (["severity=low"], ["memory"]),
        (["severity=info"], ["memory"]),
        (["alertname=Foreign"], ["memory"]),
        (["alertname=Watchdog", "severity=none"], ["heartbeat"]),
    ],
)
def test_the_memory_hears_of_all_and_people_of_what_is_grave(
    stack_binaries: stack.Binaries, labels: list[str], receivers: list[str]
) -> None:
    assert routing.receivers(stack_binaries, CONFIG, *labels) == receivers


def test_no_secret_stands_in_the_file() -> None:
    secret_keys = re.compile(r"password|secret|token|api_url|credentials|_key")
    inline = [
        (key, value)
        for key, value in scalars(yaml.safe_load(CONFIG.read_text()))
        if secret_keys.search(key) and not key.endswith("_file")
    ]
    assert inline == []


def scalars(node: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of a YAML tree with the key that it stands under."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from scalars(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from scalars(value, key)
    else:
        yield key, node


@dataclass
class Sinks:
    """What arrived: HTTP requests as (path, authorization, body, when), and mails."""

    http: list[tuple[str, str, dict[str, Any], float]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def alerts(self, path: str = "/api/webhooks/alertmanager") -> list[tuple[str, str]]:
        """(alertname, status) of each alert that came to the webhook, in order."""
        return [
            (alert["labels"]["alertname"], alert["status"])
            for at, _, body, _ in list(self.http)
            if at == path
            for alert in body["alerts"]
        ]


@pytest.fixture
def sinks() -> Iterator[tuple[Sinks, int, int]]:
    """The sinks with their HTTP and SMTP ports."""
    arrived = Sinks()
    servers = (http_sink(arrived), smtp_sink(arrived))
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in servers]
    for thread in threads:
        thread.start()
    yield arrived, servers[0].server_address[1], servers[1].server_address[1]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


def http_sink(arrived: Sinks) -> _Tcp:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            authorization = self.headers.get("Authorization", "")
            arrived.http.append((self.path, authorization, body, time.monotonic()))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None: ...

    return _Tcp(("127.0.0.1", 0), Handler)


def smtp_sink(arrived: Sinks) -> _Tcp:
    """The least of RFC 5321 and of RFC 4954's PLAIN that a client needs."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 sink")
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-sink")
                    self.say("250 AUTH PLAIN")
                elif verb == "AUTH":
                    arrived.logins.append(line)
                    self.say("235 2.7.0 ok")
                elif verb == "DATA":
                    self.say("354 go on")
                    arrived.mails.append(self.text())
                    self.say("250 ok")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def text(self) -> str:
            lines = iter(self.rfile.readline, b".\r\n")
            return b"".join(lines).decode()

    return _Tcp(("127.0.0.1", 0), Handler)


SHORTER = {"group_wait": "1s", "group_interval": "1s"}


@pytest.fixture
def routed(
    sinks: tuple[Sinks, int, int],
    stack_binaries: stack.Binaries,
    alertmanager: conftest.MakeAlertmanager,
    tmp_path: pathlib.Path,
) -> tuple[Sinks, stack.Server]:
    """A real Alertmanager on our configuration, rendered onto the sinks; people wait 1 s."""
    arrived, http_port, smtp_port = sinks
    environ = {
        "EMAIL_SMTP_SERVER": "127.0.0.1",
        "EMAIL_SMTP_PORT": str(smtp_port),
        "EMAIL_USERNAME": "monitor",
        "EMAIL_PASSWORD": "mail-canary",
        "EMAIL_FROM": "monitor@example.org",
        "EMAIL_TO": "oncall@example.org",
        "SLACK_WEBHOOK_URL": f"http://127.0.0.1:{http_port}/slack-canary",
        "SMS_TO": "+491701234567",
    }
    here = addresses.Addresses(
        "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", f"127.0.0.1:{http_port}"
    )
    tools = render.Tools(amtool=stack_binaries.find("amtool"))
    rendered = render.render(config.load(None, environ), here, tmp_path, tools)
    tree = yaml.safe_load(rendered.alertmanager.read_text())
    tree["route"].update(SHORTER)
    return arrived, alertmanager(yaml.safe_dump(tree))


def post(server: stack.Server, *alerts: dict[str, Any]) -> None:
    answer = requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=5)
    answer.raise_for_status()


def alert(name: str, severity: str, ends_at: str | None = None, **labels: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "labels": {"alertname": name, "severity": severity, **labels},
        "annotations": {"summary": f"summary of {name}", "description": "what happened"},
    }
    return body | ({"endsAt": ends_at} if ends_at else {})


def test_every_receiver_delivers(routed: tuple[Sinks, stack.Server]) -> None:
    arrived, server = routed
    post(server, alert("HostHighCpu", "high", instance="a:9100"))
    stack.wait_until(lambda: arrived.mails and len(arrived.http) >= 3, 20, "mail, Slack, webhooks")
    assert "summary of HostHighCpu" in arrived.mails[0]
    assert arrived.logins[0].startswith("AUTH PLAIN")
    slack = [body for path, _, body, _ in arrived.http if path == "/slack-canary"]
    shown = slack[0]["attachments"][0]
    assert shown["title"] == "[HIGH] HostHighCpu"
    assert "summary of HostHighCpu" in shown["text"]
    assert shown["fallback"].startswith("[HIGH] HostHighCpu")
    webhook = [each for each in arrived.http if each[0] == "/api/webhooks/alertmanager"]
    sms = [each for each in arrived.http if each[0] == "/api/webhooks/sms"]
    for _, authorization, body, _ in (webhook[0], sms[0]):
        assert re.fullmatch(r"Bearer \S{20,}", authorization)
        assert body["version"] == "4"


def test_the_memory_is_told_within_seconds_of_beginning_and_end(
    routed: tuple[Sinks, stack.Server],
) -> None:
    arrived, server = routed
    began = time.monotonic()
    post(server, alert("HostHighCpu", "warning"))
    stack.wait_until(lambda: arrived.alerts(), 20, "the alert")
    assert time.monotonic() - began < 3
    post(server, alert("HostHighCpu", "warning", ends_at="2020-01-01T00:00:00Z"))
    stack.wait_until(lambda: ("HostHighCpu", "resolved") in arrived.alerts(), 20, "its end")


def test_the_graver_alert_of_a_series_silences_only_its_milder_twin(
    routed: tuple[Sinks, stack.Server],
) -> None:
    arrived, server = routed
    same = {"query": "host_disk", "instance": "a:9100", "device": "sda"}
    post(server, alert("AnomalySevere", "critical", **same))
    stack.wait_until(lambda: ("AnomalySevere", "firing") in arrived.alerts(), 20, "the graver one")
    post(
        server,
        alert("AnomalyDetected", "warning", **same),
        alert("AnomalyDetected", "warning", **(same | {"device": "sdb"})),
    )
    stack.wait_until(
        lambda: ("AnomalyDetected", "firing") in arrived.alerts(), 20, "the other disk"
    )
    answer = requests.get(f"{server.url}/api/v2/alerts", timeout=5).json()
    inhibited = [each["labels"]["device"] for each in answer if each["status"]["inhibitedBy"]]
    assert inhibited == ["sda"]
    told = [
        each["labels"]["device"]
        for path, _, body, _ in arrived.http
        if path == "/api/webhooks/alertmanager"
        for each in body["alerts"]
        if each["labels"]["alertname"] == "AnomalyDetected"
    ]
    assert told == ["sdb"]


@pytest.mark.parametrize("is_open", [True, False])
def test_what_can_wait_is_told_in_business_hours_only(
    sinks: tuple[Sinks, int, int],
    alertmanager: conftest.MakeAlertmanager,
    tmp_path: pathlib.Path,
    is_open: bool,
) -> None:
    arrived, http_port, _ = sinks
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    later = week[(datetime.now(UTC).weekday() + 3) % 7]
    hours = {"start": "00:00", "end": "24:00", "severities": ["medium"]}
    file = tmp_path / "mda.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "slack": {"webhook_url": f"http://127.0.0.1:{http_port}/slack"},
                "business_hours": hours | {"days": week if is_open else [later]},
            }
        )
    )
    here = addresses.Addresses(
        "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", f"127.0.0.1:{http_port}"
    )
    rendered = render.render(config.load(file, {}), here, tmp_path)
    tree = yaml.safe_load(rendered.alertmanager.read_text())
    tree["route"].update(SHORTER)
    server = alertmanager(yaml.safe_dump(tree))
    post(server, alert("CanWait", "medium"), alert("Cannot", "high"))

    def told() -> list[str]:
        return sorted(
            body["attachments"][0]["fallback"]
            for path, _, body, _ in list(arrived.http)
            if path == "/slack"
        )

    expected = 2 if is_open else 1
    stack.wait_until(lambda: len(told()) >= expected and len(arrived.alerts()) == 2, 20, "alerts")
    time.sleep(0 if is_open else 3)
    assert len(told()) == expected
    assert {name for name, _ in arrived.alerts()} == {"CanWait", "Cannot"}
