"""The API with a real store as a process of its own, to be killed: URL TOKEN_FILE PORT."""

from __future__ import annotations

import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import prometheus_client

from detector import config, log, signing, telemetry
from detector.api import application, auth, server
from detector.policy.conditions import base
from detector.services import (
    advising,
    heartbeats,
    ledger,
    memory,
    policy_states,
    previewing,
    publishing,
    readings,
    status,
)
from detector.store import anomalies, database, deliveries, episodes, migrate, policies, tokens
from tests import living
from tests.fakes.alerts import FakeAlertEnder
from tests.fakes.prometheus import FakeReader
from tests.fakes.rules import FakeRulePublisher


class AlwaysReady:
    """A StatusSource for tests that are not about status."""

    def reasons(self) -> tuple[str, ...]:
        return ()

    def status(self) -> status.Status:
        return status.Status(ready=True, reasons=())


def main(url: str, token_file: str, port: str) -> None:
    log.set_up("info", "logfmt")
    migrate.migrate(url)
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter(
        "detector_webhook_notifications_total", "By outcome.", ("outcome",), registry=registry
    )
    connections = database.Database(url)
    store = episodes.PostgresEpisodeStore(connections)
    token = auth.token_from_file(Path(token_file))
    kept, rules = policies.PostgresPolicyStore(connections), FakeRulePublisher()
    made = publishing.Publishing(
        kept,
        rules,
        alerts=FakeAlertEnder(),
        thresholds=config.Thresholds,
        clock=time.time,
        meters=telemetry.Telemetry(),
    )
    beats = heartbeats.Heartbeats(
        None,
        keep=lambda _: None,
        came_at=None,
        clock=lambda: datetime.now(UTC),
        meters=telemetry.Telemetry(),
    )
    told = deliveries.PostgresDeliveryStore(connections)
    app = application.create_app(
        store=store,
        beats=beats,
        late_after=timedelta(minutes=3),
        about=application.PolicyParts(
            store=kept,
            made=made,
            states=policy_states.PolicyStates(
                rules, store, policies=kept.all_policies, refused=lambda: made.refused
            ),
            previewer=lambda at: previewing.Previewer(
                FakeReader({}), base.Given(config.Thresholds(), at)
            ),
            readings=readings.Readings(FakeReader({}), thresholds=config.Thresholds),
            adviser=advising.Adviser(FakeReader({}), lambda: {}),
            interval=lambda: timedelta(minutes=1),
        ),
        living=living.parts(store, signing.Signer(b"key"), lambda: datetime.now(UTC)),
        told=application.ToldParts(ledger.Ledger(told, count=lambda _: None), told),
        anomaly_store=anomalies.PostgresAnomalyStore(connections),
        token_store=tokens.PostgresTokenStore(connections),
        remembering=memory.Memory(
            store,
            count=lambda outcome, count: counter.labels(outcome).inc(count),
            clock=lambda: datetime.now(UTC),
        ),
        status_source=AlwaysReady(),
        registry=registry,
        api_token=token,
        webhook_token=token,
        clock=lambda: datetime.now(UTC),
    )
    running = server.Server(app, f"127.0.0.1:{port}")
    running.start()
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    told_to_stop.wait()
    running.stop(timedelta(seconds=5))


if __name__ == "__main__":
    main(*sys.argv[1:])
