"""All that an alert passes, real but for what stands outside: mail, Slack, the provider of SMS, and
who listens for heartbeats."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
import sqlalchemy as sa
import yaml

from detector import config
from detector.stack import addresses, render
from detector.stack.receivers import base
from tests import conftest, faults, stack
from tests.fakes.mail import Mailbox
from tests.fakes.sms import FakeVonage

PEOPLE_WAIT = {"group_wait": "1s", "group_interval": "1s"}
RECIPIENT = "+491701234567"


class Outside:
    """Stand-ins that keep what reaches them; `answers` of Slack and of the heartbeat URL may be
    replaced."""

    def __init__(self) -> None:
        self.smtp, self.vonage = Mailbox(), FakeVonage()
        self.answers: dict[str, faults.Planned] = {
            "slack": faults.Planned(200, body=b"ok"),
            "heartbeat": faults.Planned(200, body=b"OK"),
        }
        self.slack = faults.Receiver(lambda _: self.answers["slack"])
        self.heartbeat = faults.Receiver(lambda _: self.answers["heartbeat"])

    @contextlib.contextmanager
    def open(self) -> Iterator[Outside]:
        with self.smtp, self.vonage, self.slack, self.heartbeat:
            yield self


class World:
    """A detector and an Alertmanager on the shipped configuration, rendered from an environment.

    more    settings besides those of the channels
    people  intervals of the routes to people
    version  of the Alertmanager
    """

    def __init__(
        self,
        outside: Outside,
        prometheus: stack.Prometheus,
        alertmanager: conftest.MakeAlertmanager,
        database_url: str,
        folder: pathlib.Path,
        *,
        more: Mapping[str, str] | None = None,
        people: Mapping[str, str] = PEOPLE_WAIT,
        version: base.Version = base.OLDEST,
    ) -> None:
        self.outside, self.prometheus = outside, prometheus
        self.engine = sa.create_engine(database_url)
        self.environ = {
            "EMAIL_SMTP_SERVER": "127.0.0.1",
            "EMAIL_SMTP_PORT": str(outside.smtp.port),
            "EMAIL_USERNAME": "monitor",
            "EMAIL_PASSWORD": "canary-email-password",
            "EMAIL_FROM": "monitor@example.org",
            "EMAIL_TO": "oncall@example.org",
            "SLACK_WEBHOOK_URL": f"{outside.slack.url}/services/canary-slack",
            "SMS_API_KEY": outside.vonage.key,
            "SMS_API_SECRET": outside.vonage.secret,
            "SMS_FROM_NUMBER": "+491700000001",
            "SMS_TO": RECIPIENT,
            "MDA_SMS__URL": outside.vonage.url,
            "MDA_PUBLIC_URL": "http://127.0.0.1:1",
            "HEARTBEAT_URL": f"{outside.heartbeat.url}/canary-heartbeat",
            "ANOMALY_DETECTION_ENABLED": "false",
            **(more or {}),
        }
        port = stack.free_port()
        self.detector = stack.Detector(
            prometheus,
            database_url,
            MDA_ALERTMANAGER__URL=f"http://127.0.0.1:{port}",
            **self.environ,
        )
        self.detector.start()
        here = addresses.Addresses(
            exporter="127.0.0.1:1",
            prometheus=prometheus.url.removeprefix("http://"),
            alertmanager=f"127.0.0.1:{port}",
            detector=self.detector.url.removeprefix("http://"),
        )
        token = {"MDA_WEBHOOK_TOKEN_FILE": str(self.detector.home / "webhook_token")}
        self.rendered = folder / "rendered"
        settings = config.load(None, self.environ | token)
        found = render.render(settings, here, self.rendered, version=version)
        tree = yaml.safe_load(found.alertmanager.read_text())
        tree["route"].update(people)
        self.alertmanager = alertmanager(
            yaml.safe_dump(tree), [f"--enable-feature={each}" for each in found.features], port
        )

    def close(self) -> None:
        self.detector.kill9()
        self.engine.dispose()

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """As Prometheus does."""
        url = f"{self.alertmanager.url}/api/v2/alerts"
        requests.post(url, json=alerts, timeout=60).raise_for_status()

    def api(self, path: str, **wanted: str) -> Any:
        """A GET of the detector's API as an admin."""
        token = (self.detector.home / "token").read_text().strip()
        answer = requests.get(
            f"{self.detector.url}{path}",
            params=wanted,
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )
        answer.raise_for_status()
        return answer.json()

    def webhook(self, name: str, body: Mapping[str, Any]) -> requests.Response:
        """A POST as Alertmanager makes it."""
        token = (self.detector.home / "webhook_token").read_text().strip()
        return requests.post(
            f"{self.detector.url}/api/webhooks/{name}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )

    def messages(self, **wanted: str) -> list[dict[str, Any]]:
        """SMS as the API tells them, oldest first."""
        found: list[dict[str, Any]] = self.api("/api/messages", limit="1000", **wanted)["messages"]
        return found[::-1]

    def count(self, query: str, **given: str) -> int:
        """What a SELECT count(...) of the database says."""
        with self.engine.begin() as connection:
            return int(connection.scalar(sa.text(query), given) or 0)

    def let_pass(self, span: timedelta) -> None:
        """Make what was handed over older."""
        older = "UPDATE messages SET handed_at = handed_at - :span, due_at = due_at - :span"
        with self.engine.begin() as connection:
            connection.execute(sa.text(older), {"span": span})

    def sms_texts(self) -> list[str]:
        """Of what the provider has taken, in order."""
        return [each.form["text"] for each in self.outside.vonage.taken]


def alert(
    name: str = "HostHighCpu",
    *,
    ended: bool = False,
    summary: str = "CPU is 93 % busy",
    **labels: str,
) -> dict[str, Any]:
    """An alert of today's midnight as Prometheus posts it; high unless said."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "severity": "high", **labels},
        "annotations": {"summary": summary, "description": f"description of {name}"},
        "startsAt": f"{now:%Y-%m-%d}T00:00:00Z",
        "endsAt": (now + timedelta(hours=-0.0003 if ended else 1)).isoformat(),
    }
