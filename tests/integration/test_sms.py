"""SMS from a real Alertmanager by the real detector to a provider that fails on plan: counts of
sent, received, doubled and lost."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from detector.api import auth
from tests import conftest, faults, stack
from tests.fakes.sms import FakeTwilio, FakeVonage

pytestmark = pytest.mark.usefixtures("compiled_kernels")

ALERTMANAGER_CONFIG = """\
route:
  receiver: sms
  group_by: ["..."]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: sms
    webhook_configs:
      - url: {url}/api/webhooks/sms
        http_config: {authorization: {credentials_file: {token_file}}}
"""
CHANGING = {"client-ref", "callback"}
"""Fields of a form that differ from message to message."""


class Detector(stack.Detector):
    """Sends SMS by Vonage, and by Twilio after a no; scores nothing."""

    def __init__(
        self,
        prometheus: stack.Prometheus,
        postgres: stack.Postgres,
        vonage: FakeVonage,
        twilio: FakeTwilio,
    ) -> None:
        super().__init__(
            prometheus,
            postgres.url,
            ANOMALY_DETECTION_ENABLED="false",
            SMS_API_KEY=vonage.key,
            SMS_API_SECRET=vonage.secret,
            SMS_FROM_NUMBER="+491700000001",
            SMS_TO="+491701234567",
            MDA_SMS__URL=vonage.url,
            MDA_SMS__FALLBACK=(
                f'[{{"provider": "twilio", "api_key": "{twilio.sid}", "api_secret": '
                f'"{twilio.token}", "from_number": "+15005550006", "url": "{twilio.url}"}}]'
            ),
            MDA_PUBLIC_URL="http://127.0.0.1:1",
        )
        self.home.mkdir()
        self.webhook_token = self.home / "webhook_token"
        auth.make_token_file(self.webhook_token)
        self.engine = sa.create_engine(postgres.url)

    def messages(self, **wanted: str) -> list[dict[str, Any]]:
        """As the API tells them, oldest first."""
        token = (self.home / "token").read_text().strip()
        answer = requests.get(
            f"{self.url}/api/messages",
            params={"limit": "1000", **wanted},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found[::-1]

    def let_pass(self, span: timedelta) -> None:
        """Make what was handed over older."""
        with self.engine.begin() as connection:
            older = "UPDATE messages SET handed_at = handed_at - :span, due_at = due_at - :span"
            connection.execute(sa.text(older), {"span": span})


@pytest.fixture
def vonage() -> Iterator[FakeVonage]:
    with FakeVonage() as fake:
        yield fake


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with FakeTwilio() as fake:
        yield fake


@pytest.fixture
def detector(
    prometheus: conftest.MakePrometheus,
    own_postgres: stack.Postgres,
    vonage: FakeVonage,
    twilio: FakeTwilio,
) -> Iterator[Detector]:
    served = Detector(prometheus(), own_postgres, vonage, twilio)
    served.start()
    yield served
    served.kill9()
    served.engine.dispose()


@pytest.fixture
def routed(detector: Detector, alertmanager: conftest.MakeAlertmanager) -> stack.Server:
    text = ALERTMANAGER_CONFIG.replace("{url}", detector.url)
    return alertmanager(text.replace("{token_file}", str(detector.webhook_token)))


def post(server: stack.Server, *names: str, ended: bool = False) -> None:
    now = datetime.now(UTC)
    ends_at = now - timedelta(seconds=1) if ended else now + timedelta(hours=1)
    alerts = [
        {
            "labels": {"alertname": "HostHighCpu", "severity": "high", "instance": name},
            "annotations": {"summary": "CPU is 93 % busy"},
            "startsAt": f"{now:%Y-%m-%d}T00:00:00Z",
            "endsAt": ends_at.isoformat(),
        }
        for name in names
    ]
    requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()


def forms(provider: FakeVonage) -> list[dict[str, str]]:
    return [dict(each.form) for each in provider.taken]


def callback_of(detector: Detector, form: dict[str, str]) -> str:
    return form["callback"].replace("http://127.0.0.1:1", detector.url)


def test_an_alert_arrives_once_with_its_receipt_and_its_end(
    detector: Detector, routed: stack.Server, vonage: FakeVonage
) -> None:
    post(routed, "web-1")
    stack.wait_until(lambda: vonage.taken, 30, "the SMS")
    (form,) = forms(vonage)
    assert {name: value for name, value in form.items() if name not in CHANGING} == {
        "api_key": vonage.key,
        "api_secret": vonage.secret,
        "from": "491700000001",
        "to": "491701234567",
        "text": "FIRING high HostHighCpu: CPU is 93 % busy, web-1, since 00:00 UTC",
        "type": "text",
        "status-report-req": "true",
    }
    stack.wait_until(lambda: detector.messages(state="sent"), 10, "the answer to be kept")
    vonage.taken[0].status = "delivered"
    vonage.call_back(vonage.taken[0], callback_of(detector, form))
    (message,) = detector.messages()
    assert (message["state"], message["provider"], message["price"]) == (
        "delivered",
        "vonage",
        0.0333,
    )
    routed.kill9()  # it forgets whom it has told
    routed.start()
    post(routed, "web-1")
    post(routed, "web-1", ended=True)
    stack.wait_until(lambda: len(vonage.taken) > 1, 30, "the SMS of the end")
    time.sleep(3)
    assert [form["text"][:8] for form in forms(vonage)] == ["FIRING h", "RESOLVED"]


def test_a_no_goes_to_the_next_provider_and_silence_to_nobody(
    detector: Detector, routed: stack.Server, vonage: FakeVonage, twilio: FakeTwilio
) -> None:
    vonage.plan(faults.Planned(500))
    post(routed, "web-1")
    stack.wait_until(lambda: twilio.taken, 30, "the SMS at the next provider")
    vonage.plan_silence(takes=True)
    post(routed, "web-2")
    stack.wait_until(lambda: vonage.taken, 30, "the SMS that is not answered")
    detector.kill9()  # between sending and the answer
    detector.let_pass(timedelta(minutes=2))
    detector.start()
    stack.wait_until(lambda: len(detector.messages(state="sent")) == 2, 30, "both to be known")
    assert (len(vonage.taken), len(twilio.taken)) == (1, 1)


def test_what_cannot_be_told_is_unknown_and_not_sent_again(
    detector: Detector, routed: stack.Server, vonage: FakeVonage
) -> None:
    vonage.plan_silence(takes=False)
    post(routed, "web-1")
    stack.wait_until(lambda: detector.messages(state="sending"), 30, "the SMS to be handed over")
    detector.kill9()
    vonage.secret = "another"  # so the records cannot be asked for
    detector.let_pass(timedelta(minutes=11))
    detector.start()
    (message,) = stack_wait(lambda: detector.messages(state="unknown"))
    assert message["reason"] == "vonage cannot tell whether it has taken it: not sent again"
    assert vonage.taken == []
    assert 'detector_messages_total{state="unknown"} 1.0' in detector.metrics()


def stack_wait(found: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    stack.wait_until(found, 40, "messages of this state")
    return found()


def test_servers_are_killed_all_the_time_and_nothing_is_lost_or_doubled(
    detector: Detector,
    routed: stack.Server,
    vonage: FakeVonage,
    twilio: FakeTwilio,
    own_postgres: stack.Postgres,
    tally: conftest.Tally,
) -> None:
    names = [f"web-{number}" for number in range(24)]
    for number, name in enumerate(names):
        if number % 6 == 1:
            vonage.plan(faults.Planned(503))
        post(routed, name)
        if number % 8 == 3:
            detector.kill9()
            detector.start()
        if number == 12:
            own_postgres.kill9()
            post(routed, *names[:3])
            own_postgres.restart()
        if number == 18:
            routed.kill9()
            routed.start()
            post(routed, *names[: number + 1])

    def is_over() -> bool:
        with contextlib.suppress(sa.exc.OperationalError):
            detector.let_pass(timedelta(minutes=1))
        found = detector.messages()
        return len(found) >= len(names) and all(each["state"] == "sent" for each in found)

    stack.wait_until(is_over, 90, "all to be sent")
    arrived = Counter(
        next(name for name in reversed(names) if f" {name}," in form["text"])
        for form in (*forms(vonage), *({"text": each.form["Body"]} for each in twilio.taken))
    )
    doubled = sum(count - 1 for count in arrived.values())
    lost = len(set(names) - set(arrived))
    tally(
        "SMS while servers are killed",
        sent=len(names),
        received=sum(arrived.values()),
        doubled=doubled,
        lost=lost,
    )


def test_secrets_are_told_nowhere(
    detector: Detector, routed: stack.Server, vonage: FakeVonage, twilio: FakeTwilio
) -> None:
    vonage.plan(faults.Planned(401, body=f"no {vonage.secret}".encode()))
    twilio.token = "another"
    post(routed, "web-1")
    (failed,) = stack_wait(lambda: detector.messages(state="failed"))
    log = detector.child.program.log_path.read_text()
    for text in (str(failed), log, detector.metrics()):
        assert "canary" not in text
    assert "twilio" in failed["reason"]
