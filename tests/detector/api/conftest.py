"""The application on a real server, over the fake store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import fastapi
import prometheus_client
import pytest
import requests

from detector import access, config, errors, links, signing, telemetry
from detector.api import application, auth, limits, server
from detector.policy.conditions import base
from detector.services import (
    advising,
    collecting,
    delivering,
    heartbeats,
    issuing,
    ledger,
    memory,
    policy_states,
    previewing,
    publishing,
    readings,
    reloading,
    status,
    telling,
)
from tests import living
from tests.factories import T0, at, new_token
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.alerts import FakeAlertEnder
from tests.fakes.anomalies import FakeAnomalyStore
from tests.fakes.deliveries import FakeDeliveryStore
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.heartbeats import FakeHeartbeatSender
from tests.fakes.manual import FakeLinkStore, FakeManualStore
from tests.fakes.messages import FakeMessageStore
from tests.fakes.policies import FakePolicyStore
from tests.fakes.prometheus import FakeReader
from tests.fakes.provider import FakeProvider
from tests.fakes.rules import FakeRulePublisher
from tests.fakes.tokens import FakeTokenStore

API_TOKEN = "canary-api-token-0123456789"
NAMES = frozenset({"up", "node_load1", "m"})
"""Metrics that Prometheus has."""
WEBHOOK_TOKEN = "canary-webhook-token-0123456789"
RATE = limits.Rate(burst=100_000, per_second=100_000)
"""More than any test but those of limits sends."""
SIGNER = signing.Signer(b"canary-signing-key")
LATE_AFTER = timedelta(minutes=3)
BODY_MAX_BYTES = 1_000_000
BODY_DEADLINE = timedelta(seconds=1)


class FakeStatus:
    """A status.StatusSource that says what it is told."""

    def __init__(self) -> None:
        self.now = status.Status(ready=True, reasons=())
        self.answer: Callable[[], status.Status] = lambda: self.now

    def reasons(self) -> tuple[str, ...]:
        return self.now.reasons

    def status(self) -> status.Status:
        return self.answer()


class FakeClock:
    """Stands at T0 until it is put on or back."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, duration: timedelta) -> None:
        self.now += duration


@dataclasses.dataclass
class Served:
    """A running server and what stands behind it."""

    url: str
    port: int
    app: fastapi.FastAPI
    running: server.Server
    store: FakeEpisodeStore
    anomalies: FakeAnomalyStore
    tokens: FakeTokenStore
    clock: FakeClock
    source: FakeStatus
    counted: dict[str, int]
    reloads: list[reloading.Changes | errors.ConfigError]
    drawn: list[bytes | Exception]
    policies: FakePolicyStore
    rules: FakeRulePublisher
    reader: FakeReader
    collected: list[tuple[collecting.Collected, ...] | errors.ConflictError]
    messages: FakeMessageStore
    delivering: delivering.Delivering
    outside: FakeHeartbeatSender
    beats: heartbeats.Heartbeats
    alertmanager: FakeAlertmanager
    manual: FakeManualStore
    links: FakeLinkStore
    living: application.AnswerParts
    deliveries: FakeDeliveryStore
    events: dict[str, int]

    def ask(
        self, method: str, path: str, body: object = None, **parameters: object
    ) -> requests.Response:
        """Any request with the API token; bytes as they are, all else as JSON."""
        return requests.request(
            method,
            self.url + path,
            params=parameters,  # type: ignore[arg-type]
            data=body if isinstance(body, bytes) else None,
            json=None if isinstance(body, bytes) else body,
            headers={"Authorization": f"Bearer {API_TOKEN}"},
            timeout=10,
        )

    def token(self, role: access.Role, name: str = "", expires: float | None = None) -> str:
        """The text of a new token of the store; expires: so many seconds after T0."""
        text = issuing.draw()
        assert self.tokens.create(new_token(text, name or role, role, expires=expires))
        return text

    def send(
        self, method: str, path: str, token: str | None = None, body: object = None
    ) -> requests.Response:
        """The answer to who bears this token; a body goes as JSON, bytes as they are."""
        return requests.request(
            method,
            self.url + path,
            data=body if isinstance(body, bytes) else None,
            json=None if isinstance(body, bytes) else body,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=10,
        )

    def reload(self) -> requests.Response:
        """POST with the API token; answered by what is first in `reloads`."""
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        return requests.post(f"{self.url}/api/reload", headers=headers, timeout=10)

    def get(self, path: str, **parameters: object) -> requests.Response:
        """GET with the API token."""
        return requests.get(
            self.url + path,
            params=parameters,  # type: ignore[arg-type]
            headers={"Authorization": f"Bearer {API_TOKEN}"},
            timeout=10,
        )

    def post(self, body: object, **headers: str) -> requests.Response:
        """POST to the webhook with its token; bytes as they are, all else as JSON."""
        return requests.post(
            f"{self.url}/api/webhooks/alertmanager",
            data=body if isinstance(body, bytes) else None,
            json=None if isinstance(body, bytes) else body,
            headers={"Authorization": f"Bearer {WEBHOOK_TOKEN}"} | headers,
            timeout=10,
        )


@pytest.fixture
def served() -> Iterator[Served]:
    store, source, counted = FakeEpisodeStore(), FakeStatus(), dict[str, int]()

    def count(outcome: str, number: int) -> None:
        counted[outcome] = counted.get(outcome, 0) + number

    reloads: list[reloading.Changes | errors.ConfigError] = []

    def reload() -> reloading.Changes:
        found = reloads.pop(0)
        if isinstance(found, errors.ConfigError):
            raise found
        return found

    remembered, tokens, clock = FakeAnomalyStore(), FakeTokenStore(), FakeClock()
    policies, rules, reader = FakePolicyStore(), FakeRulePublisher(), FakeReader({}, names=NAMES)
    collected: list[tuple[collecting.Collected, ...] | errors.ConflictError] = []

    def collect() -> tuple[collecting.Collected, ...]:
        found = collected.pop(0) if collected else ()
        if isinstance(found, errors.ConflictError):
            raise found
        return found

    made = publishing.Publishing(
        policies,
        rules,
        alerts=FakeAlertEnder(),
        thresholds=config.Thresholds,
        clock=lambda: at(0).timestamp(),
        meters=telemetry.Telemetry(),
    )
    messages, provider, meters = FakeMessageStore(), FakeProvider(), telemetry.Telemetry()
    style = telling.Style(parts=3, part_price=0.5, provider=provider.name)
    told = telling.Telling(
        messages, style, recipients=["+491701234567"], stand_ins=[], clock=clock, meters=meters
    )
    delivered = delivering.Delivering(
        messages,
        [provider],
        style,
        recipients=["+491701234567"],
        daily_cap=100,
        keep=timedelta(days=1),
        clock=clock,
        meters=meters,
    )
    outside = FakeHeartbeatSender()
    beats = heartbeats.Heartbeats(
        outside, keep=lambda _: None, came_at=None, clock=clock, meters=meters
    )
    alertmanager, manual, used = FakeAlertmanager(clock), FakeManualStore(), FakeLinkStore()
    lived = living.parts(store, SIGNER, clock, alertmanager=alertmanager, manual=manual, used=used)
    delivered_by, events = FakeDeliveryStore(), dict[str, int]()

    def count_event(outcome: str) -> None:
        events[outcome] = events.get(outcome, 0) + 1

    drawn: list[bytes | Exception] = []

    def draw(_: links.Target) -> bytes:
        picture = drawn.pop(0)
        if isinstance(picture, Exception):
            raise picture
        return picture

    app = application.create_app(
        store=store,
        anomaly_store=remembered,
        token_store=tokens,
        remembering=memory.Memory(store, count=count, clock=lambda: datetime.now(UTC)),
        status_source=source,
        registry=prometheus_client.CollectorRegistry(),
        api_token=auth.Token(API_TOKEN),
        webhook_token=auth.Token(WEBHOOK_TOKEN),
        clock=clock,
        about=application.PolicyParts(
            store=policies,
            made=made,
            states=policy_states.PolicyStates(
                rules, store, policies=policies.all_policies, refused=lambda: made.refused
            ),
            previewer=lambda at: previewing.Previewer(reader, base.Given(config.Thresholds(), at)),
            readings=readings.Readings(reader, thresholds=config.Thresholds),
            adviser=advising.Adviser(reader, lambda: {}),
            interval=lambda: timedelta(minutes=1),
        ),
        beats=beats,
        late_after=LATE_AFTER,
        living=lived,
        told=application.ToldParts(ledger.Ledger(delivered_by, count=count_event), delivered_by),
        sms=application.MessageParts(
            store=messages,
            tell=told.tell,
            receive=delivered.receive,
            parsers={provider.name: provider.receipt},
            signer=SIGNER,
        ),
        pictures=application.ChartParts(draw, SIGNER),
        collect=collect,
        reload=reload,
        rate=RATE,
        body_max_bytes=BODY_MAX_BYTES,
        body_deadline=BODY_DEADLINE,
    )
    running = server.Server(app, "127.0.0.1:0")
    url = running.start()
    port = int(url.rsplit(":", 1)[1])
    yield Served(
        url=url,
        port=port,
        app=app,
        running=running,
        store=store,
        anomalies=remembered,
        tokens=tokens,
        clock=clock,
        source=source,
        counted=counted,
        reloads=reloads,
        drawn=drawn,
        policies=policies,
        rules=rules,
        reader=reader,
        collected=collected,
        messages=messages,
        delivering=delivered,
        outside=outside,
        beats=beats,
        alertmanager=alertmanager,
        manual=manual,
        links=used,
        living=lived,
        deliveries=delivered_by,
        events=events,
    )
    assert running.stop(timedelta(seconds=5))
