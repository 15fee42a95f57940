"""Each secret is a canary; deliveries work and fail; then nothing that was produced holds one."""

from __future__ import annotations

import pathlib
import stat
from collections.abc import Iterator, Mapping

import pytest
import requests

from tests import conftest, faults, stack
from tests.integration import world
from tests.integration.world import alert

pytestmark = pytest.mark.usefixtures("compiled_kernels")

DATABASE_PASSWORD = "canary-database-9c2e"
PROMETHEUS_PASSWORD = "canary-prometheus-41d7"
TWILIO_SID = "AC" + "0123456789abcdef" * 2
FALLBACK_TOKEN = "canary-twilio-token-b3a0"
READ_PATHS = (
    *("/api/alerts", "/api/alerts/1", "/api/messages", "/api/messages/1/events", "/api/tokens"),
    *("/api/anomalies", "/api/incidents", "/api/policies", "/api/status", "/api/whoami"),
    *("/api/metrics", "/metrics", "/-/ready", "/-/watchdog", "/openapi.json"),
)


@pytest.fixture
def outside() -> Iterator[world.Outside]:
    with world.Outside().open() as opened:
        opened.vonage.key = "canary-vonage-key-5e"
        yield opened


@pytest.fixture
def whole(
    outside: world.Outside,
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    own_postgres: stack.Postgres,
    tmp_path: pathlib.Path,
) -> Iterator[world.World]:
    more = {
        "MDA_LOG__LEVEL": "debug",
        "MDA_PROMETHEUS__USERNAME": "mda",
        "MDA_PROMETHEUS__PASSWORD": PROMETHEUS_PASSWORD,
        "MDA_SMS__FALLBACK": (
            f'[{{"provider": "twilio", "api_key": "{TWILIO_SID}", '
            f'"api_secret": "{FALLBACK_TOKEN}", "from_number": "+15005550006", '
            f'"url": "http://127.0.0.1:{stack.free_port()}"}}]'
        ),
    }
    url = own_postgres.url.replace("mda@", f"mda:{DATABASE_PASSWORD}@")
    made = world.World(outside, prometheus(), alertmanager, url, tmp_path, more=more)
    yield made
    made.close()


def secrets_of(whole: world.World) -> dict[str, str]:
    """What must be nowhere, by what it is."""
    home = whole.detector.home
    return {
        "EMAIL_PASSWORD": whole.environ["EMAIL_PASSWORD"],
        "SLACK_WEBHOOK_URL": "canary-slack",
        "HEARTBEAT_URL": "canary-heartbeat",
        "SMS_API_KEY": whole.outside.vonage.key,
        "SMS_API_SECRET": whole.outside.vonage.secret,
        "sms.fallback": FALLBACK_TOKEN,
        "DATABASE_URL": DATABASE_PASSWORD,
        "prometheus.password": PROMETHEUS_PASSWORD,
        "token": (home / "token").read_text().strip(),
        "webhook_token": (home / "webhook_token").read_text().strip(),
        "callback_key": (home / "callback_key").read_text().strip(),
    }


def beat(whole: world.World, evaluated_at: str) -> int:
    """The status that a Watchdog is answered."""
    told = {
        "status": "firing",
        "labels": {"alertname": "Watchdog", "severity": "none"},
        "annotations": {"evaluated_at": evaluated_at},
        "startsAt": "2026-11-30T00:00:00Z",
        "fingerprint": "0",
    }
    body = {"version": "4", "receiver": "heartbeat", "alerts": [told], "truncatedAlerts": 0}
    return whole.webhook("heartbeat", body).status_code


def answers_of(whole: world.World) -> Mapping[str, str]:
    """Every answer of the API, as an admin, heads and all; and what a wrong token is told."""
    token = (whole.detector.home / "token").read_text().strip()
    found = {}
    for path in READ_PATHS:
        for bearer in (token, "wrong-token-0123456789"):
            answer = requests.get(
                whole.detector.url + path,
                headers={"Authorization": f"Bearer {bearer}"},
                timeout=20,
            )
            found[f"{path} as {bearer[:5]}"] = f"{answer.headers} {answer.text}"
    return found


def test_no_secret_is_in_anything_that_is_produced(
    whole: world.World, own_postgres: stack.Postgres, prometheus: conftest.MakePrometheus
) -> None:
    outside = whole.outside
    # All works.
    whole.post(alert(instance="web-works"))
    assert beat(whole, "1") == 200
    stack.wait_until(lambda: outside.smtp.taken and outside.slack.received, 60, "mail and Slack")
    stack.wait_until(lambda: whole.messages(state="sent"), 60, "the SMS")
    # Each says no, and what we talk to by ourselves says all that it was told.
    echo = " ".join(secrets_of(whole).values()).encode()
    outside.answers["slack"] = faults.Planned(404, {}, b"no_service")
    outside.answers["heartbeat"] = faults.Planned(500, {}, echo)
    outside.smtp.refusals += ["535 5.7.8 who are you"] * 3
    outside.vonage.plan(faults.Planned(401, {}, echo))
    whole.post(alert(instance="web-refused"))
    assert beat(whole, "2") == 503
    stack.wait_until(lambda: not outside.smtp.refusals, 60, "mail to be refused")
    stack.wait_until(lambda: len(outside.slack.received) > 1, 60, "Slack to refuse")
    stack.wait_until(lambda: not outside.vonage._plan, 60, "the SMS to be refused")
    # Nobody is there.
    outside.slack.__exit__()
    outside.heartbeat.__exit__()
    whole.post(alert(instance="web-alone"))
    assert beat(whole, "3") == 503
    stack.wait_until(lambda: failures(whole, "slack") >= 2, 60, "Slack to be away")
    own_postgres.kill9()
    assert whole.webhook("alertmanager", {"version": "4", "alerts": []}).status_code in (200, 503)
    down = answers_of(whole)
    own_postgres.start()
    stack.wait_until(lambda: whole.messages() is not None, 60, "PostgreSQL again")
    # Restarted with a setting that is wrong beside them.
    whole.detector.stop()
    whole.detector.start()

    produced = {f"down {name}": text for name, text in down.items()}
    produced |= answers_of(whole)
    for name, url in (
        ("alertmanager", whole.alertmanager.url),
        ("prometheus", whole.prometheus.url),
    ):
        for path in ("/metrics", "/api/v2/status", "/api/v1/status/config"):
            produced[f"{name} {path}"] = requests.get(url + path, timeout=10).text
    for server in (whole.detector, whole.alertmanager, whole.prometheus, own_postgres):
        log = server.child.program.log_path
        produced[f"log of {server.child.program.name}"] = log.read_text(errors="replace")
    for file in whole.rendered.rglob("*"):
        if file.is_file() and stat.S_IMODE(file.stat().st_mode) != 0o600:
            produced[f"rendered {file.name}"] = file.read_text()
    for number, mail in enumerate(outside.smtp.taken):
        produced[f"mail {number}"] = mail.content.decode(errors="replace")
    for number, slack in enumerate(outside.slack.received):
        produced[f"Slack {number}"] = slack.body.decode()
    for number, sms in enumerate(whole.sms_texts()):
        produced[f"SMS {number}"] = sms
    for number, heard in enumerate(outside.heartbeat.received):
        produced[f"heartbeat {number}"] = heard.body.decode()

    found = {
        f"{secret} in {name}"
        for name, text in produced.items()
        for secret, value in secrets_of(whole).items()
        if value in text
    }
    assert sorted(found) == []
    assert len(produced) > 50


def failures(whole: world.World, integration: str) -> float:
    """Requests of Alertmanager that failed."""
    line = f'alertmanager_notification_requests_failed_total{{integration="{integration}"'
    text = requests.get(f"{whole.alertmanager.url}/metrics", timeout=10).text
    return sum(float(each.split()[-1]) for each in text.splitlines() if each.startswith(line))
