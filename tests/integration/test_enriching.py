"""Annotations at a real Alertmanager, of alerts that a real Prometheus raises, by the detector."""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from detector import alerts
from detector.alertmanager import client
from tests import stack
from tests.conftest import MakeAlertmanager, MakePrometheus
from tests.fakes.mail import Mailbox, Taken
from tests.fakes.slack import FakeSlack
from tests.integration import test_messages as messages

PROMETHEUS = """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {monitor: here}
rule_files: ["{rules}"]
alerting:
  alertmanagers: [{static_configs: [{targets: ["{alertmanager}"]}]}]
scrape_configs:
  - job_name: self
    static_configs: [{targets: ["127.0.0.1:{port}"]}]
"""
RULES = """\
groups:
  - name: test
    rules:
      - alert: SelfIsUp
        expr: 100 * up > {limit}
        for: 8s
        labels: {severity: high}
        annotations: {summary: "it answers"}
"""
LOUD, QUIET = 50, 500
"""After a reload Prometheus knows of no Alertmanager for some seconds: it must not fire at once."""
RESEND_EVERY_S = 40
RESENDS = [f"--rules.alert.resend-delay={RESEND_EVERY_S}s"]
GROUP_WAIT_S = 25
"""The first message goes out after some turns of the detector, before Prometheus repeats itself."""


class World:
    """The alert's way: Prometheus, Alertmanager, mail, and the detector beside it."""

    def __init__(
        self,
        prometheus: MakePrometheus,
        alertmanager: MakeAlertmanager,
        database_url: str,
        mailbox: Mailbox,
        slack: FakeSlack,
        folder: pathlib.Path,
    ) -> None:
        self.mailbox = mailbox
        text = messages.config(mailbox, slack, group_wait=f"{GROUP_WAIT_S}s")
        self.alertmanager = alertmanager(text)
        self.client = client.Client(self.alertmanager.url)
        self.rules = folder / "rules.yml"
        self.set_limit(QUIET)
        config = PROMETHEUS.replace("{rules}", str(self.rules))
        config = config.replace("{alertmanager}", self.alertmanager.url.removeprefix("http://"))
        self.prometheus = prometheus(config, RESENDS)
        port = stack.free_port()
        url = f"http://127.0.0.1:{port}"
        self.detector = stack.Detector(
            self.prometheus,
            database_url,
            ANOMALY_DETECTION_ENABLED="false",
            MDA_ALERTMANAGER__URL=self.alertmanager.url,
            MDA_LISTEN_ADDRESS=f"127.0.0.1:{port}",
            MDA_PUBLIC_URL=url,
        )
        self.detector.url = url
        self.detector._is_ready = stack.http_ready(f"{url}/-/healthy")

    def set_limit(self, limit: int) -> None:
        self.rules.write_text(RULES.replace("{limit}", str(limit)))

    def warm_up(self) -> None:
        """Start the detector, and have it read a first value, for which it compiles kernels."""
        self.detector.start()
        instance = self.prometheus.url.removeprefix("http://")
        labels = (("alertname", "First"), ("instance", instance), ("job", "self"))
        page = f"{self.prometheus.url}/graph?g0.expr=up"
        now = datetime.now(UTC)
        self.client.post([alerts.Posted(labels, (), now, now + timedelta(hours=1), page)])
        stack.wait_until(lambda: self.has("value", of="First"), 100, "a first value")

    def mails(self) -> list[Taken]:
        """Those about the rule's alert."""
        return [each for each in self.mailbox.taken if "SelfIsUp" in each.message["subject"]]

    def raise_alert(self) -> None:
        """From now on the rule's condition holds."""
        self.set_limit(LOUD)
        assert self.prometheus.reload().ok

    def end_alert(self) -> None:
        """It holds no more, and Prometheus says so; as it knows of no Alertmanager for some seconds
        after a reload (its issue 13064), it may do so only when it repeats itself."""
        self.set_limit(QUIET)
        assert self.prometheus.reload().ok
        stack.wait_until(lambda: self.held() is None, 2 * RESEND_EVERY_S, "the alert to end")

    def held(self, of: str = "SelfIsUp") -> alerts.Held | None:
        found = [each for each in self.client.held() if ("alertname", of) in each.labels]
        assert len(found) <= 1
        return found[0] if found else None

    def has(self, name: str, of: str = "SelfIsUp") -> bool:
        held = self.held(of)
        return held is not None and name in dict(held.annotations)


@pytest.fixture
def world(
    prometheus: MakePrometheus,
    alertmanager: MakeAlertmanager,
    database_url: str,
    tmp_path: pathlib.Path,
) -> Iterator[World]:
    with Mailbox(tmp_path) as mailbox, FakeSlack() as slack:
        made = World(prometheus, alertmanager, database_url, mailbox, slack, tmp_path)
        yield made
        made.detector.kill9()


def test_a_mail_tells_the_value_and_what_has_ended_stays_so(world: World) -> None:
    world.warm_up()
    world.raise_alert()
    stack.wait_until(lambda: world.has("value"), 60, "annotations")
    assert world.mails() == []
    first = world.held()
    assert first is not None
    given = dict(first.annotations)
    assert (given["value"], given["expected"], given["summary"]) == (
        "100",
        "at most 50",
        "it answers",
    )
    assert dict(first.labels)["monitor"] == "here"
    stack.wait_until(lambda: world.mails(), GROUP_WAIT_S + 20, "mail")
    text = world.mails()[0].part("text/plain")
    assert "100 (expected at most 50)" in text
    chart = re.search(r'<img src="([^"]+)"', world.mails()[0].part("text/html"))
    assert chart is not None
    picture = requests.get(chart[1], timeout=30)
    assert picture.status_code == 200, picture.text
    assert picture.content.startswith(b"\x89PNG")

    stack.wait_until(lambda: not world.has("value"), 2 * RESEND_EVERY_S, "Prometheus to repeat it")
    stack.wait_until(lambda: world.has("value"), 10, "annotations to be put back")
    again = world.held()
    assert again is not None
    assert (again.fingerprint, again.labels) == (first.fingerprint, first.labels)
    assert again.starts_at == first.starts_at
    assert first.fingerprint == alerts.fingerprint_of(first.labels)

    world.end_alert()
    until = time.monotonic() + 15
    while time.monotonic() < until:
        assert world.held() is None
        time.sleep(0.2)


def test_without_the_detector_alerts_go_their_way(world: World) -> None:
    world.warm_up()
    world.raise_alert()
    stack.wait_until(lambda: world.has("value"), 60, "annotations")
    world.detector.kill9()
    stack.wait_until(lambda: not world.has("value"), 2 * RESEND_EVERY_S, "Prometheus to repeat it")
    assert world.held() is not None
    stack.wait_until(lambda: world.mails(), GROUP_WAIT_S + 20, "mail")
    assert "it answers" in world.mails()[0].part("text/plain")
    world.end_alert()


def test_a_start_that_is_exact_stays_so(alertmanager: MakeAlertmanager) -> None:
    """Alertmanager tells starts to the millisecond, and the webhook tells them exactly."""
    server = alertmanager()
    holder = client.Client(server.url)
    starts_at = datetime.now(UTC).replace(microsecond=123_456) - timedelta(minutes=1)
    labels = (("alertname", "Exact"),)
    ends_at = starts_at + timedelta(minutes=10)
    holder.post([alerts.Posted(labels, (), starts_at, ends_at)])
    (held,) = holder.held()
    later = held.starts_at + timedelta(milliseconds=1)
    holder.post([alerts.Posted(labels, (("a", "b"),), later, held.ends_at)])
    (after,) = holder.held()
    assert (after.starts_at, after.annotations) == (held.starts_at, (("a", "b"),))
    assert after.ends_at == held.ends_at
