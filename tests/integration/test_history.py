"""Alerts that nobody told us of: real Prometheus, Alertmanager and PostgreSQL."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from detector import alerts
from detector.alertmanager import client
from detector.prometheus import alerts_api, connection
from detector.services import backfilling, observing
from detector.store import database, episodes, migrate
from tests import stack
from tests.conftest import MakeAlertmanager, MakePrometheus

CONFIG = """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {cluster: eu, region: north}
rule_files: [RULES]
alerting: {alertmanagers: [{static_configs: [{targets: [ALERTMANAGER]}]}]}
"""
RULE = """\
groups:
  - name: short
    rules:
      - {alert: Short, expr: vector(1) > 0, for: FORs, labels: {severity: high}}
"""
NONE = "groups: []\n"
TIMEOUT_S = 30


class Parts:
    """What is watched, and the store in which it is remembered."""

    def __init__(
        self,
        prometheus: MakePrometheus,
        alertmanager: MakeAlertmanager,
        database_url: str,
        folder: pathlib.Path,
    ) -> None:
        self.alertmanager = alertmanager()
        self.rules = folder / "rules.yml"
        self.rules.write_text(NONE)
        target = self.alertmanager.url.removeprefix("http://")
        text = CONFIG.replace("RULES", str(self.rules)).replace("ALERTMANAGER", target)
        self.prometheus = prometheus(text, flags=("--rules.alert.resend-delay=1s",))
        migrate.migrate(database_url)
        self.database = database.Database(database_url)
        self.store = episodes.PostgresEpisodeStore(self.database)
        http = connection.Client(self.prometheus.url, timeout=timedelta(seconds=10))
        self.evaluation = alerts_api.AlertsApi(http)
        self.source = client.Client(self.alertmanager.url)

    def observer(self) -> observing.Observer:
        filling = backfilling.Backfilling(self.store, self.evaluation)
        return observing.Observer(
            self.store, self.source, self.evaluation, filling, clock=lambda: datetime.now(UTC)
        )

    def evaluate(self, rules: str) -> None:
        self.rules.write_text(rules)
        self.prometheus.reload().raise_for_status()

    def only(self) -> alerts.Episode:
        (listed,) = self.store.list_episodes(alerts.EpisodeFilter()).episodes
        found = self.store.episode(listed.id)
        assert found is not None
        return found


@pytest.fixture
def parts(
    prometheus: MakePrometheus,
    alertmanager: MakeAlertmanager,
    database_url: str,
    tmp_path: pathlib.Path,
) -> Iterator[Parts]:
    made = Parts(prometheus, alertmanager, database_url, tmp_path)
    yield made
    made.database.close()


def test_alert_that_lived_while_the_detector_was_down_is_remembered_once(parts: Parts) -> None:
    began = datetime.now(UTC)
    parts.store.watched(began)
    parts.evaluate(RULE.replace("FOR", "0"))
    (held,) = stack.wait_until(parts.source.held, TIMEOUT_S, "the alert at Alertmanager")
    parts.evaluate(NONE)
    # As Prometheus says it of a rule whose expression holds no more: here the rule itself has gone.
    over = alerts.Posted(
        held.labels, held.annotations, held.starts_at, datetime.now(UTC), held.generator_url
    )
    parts.source.post([over])

    def made() -> tuple[alerts.Episode, ...]:
        parts.observer().turn()
        return parts.store.list_episodes(alerts.EpisodeFilter()).episodes

    stack.wait_until(made, TIMEOUT_S, "the episode")
    parts.observer().turn()
    episode = parts.only()
    assert (episode.labels, episode.fingerprint) == (held.labels, held.fingerprint)
    assert abs(episode.starts_at - held.starts_at) < timedelta(seconds=1.5)
    assert episode.ends_at is not None
    assert episode.starts_at <= episode.ends_at < datetime.now(UTC)
    assert episode.facts == (("source", "ALERTS"),)
    late = alerts.Notification(
        fingerprint=held.fingerprint,
        starts_at=held.starts_at,
        ends_at=over.ends_at,
        state=alerts.State.RESOLVED,
        labels=held.labels,
        annotations=held.annotations,
        generator_url=held.generator_url,
        receiver="memory",
    )
    parts.store.record([late], received_at=datetime.now(UTC))
    parts.observer().turn()
    told = parts.only()
    assert (told.starts_at, told.ends_at, told.facts) == (held.starts_at, over.ends_at, ())


def test_silenced_alert_that_was_pending_is_remembered_from_end_to_end(parts: Parts) -> None:
    now = datetime.now(UTC)
    matchers = (alerts.Matcher("alertname", "Short"),)
    hour = timedelta(hours=1)
    silence_id = parts.source.silence(
        alerts.NewSilence(matchers, now, now + hour, "ann", "planned work")
    )
    observer = parts.observer()
    parts.evaluate(RULE.replace("FOR", "3"))

    def silenced() -> bool:
        observer.turn()
        found = parts.store.list_episodes(alerts.EpisodeFilter(status=alerts.Status.SILENCED))
        return len(found.episodes) == 1

    stack.wait_until(silenced, TIMEOUT_S, "a silenced episode")
    pending, firing, muted = parts.only().transitions
    assert [each.state.value for each in (pending, firing)] == ["pending", "firing"]
    since = parts.only().starts_at - pending.received_at
    assert timedelta(seconds=2) <= since <= timedelta(seconds=5)
    assert (muted.state.value, muted.note) == ("silenced", f"silence {silence_id}")


def test_what_it_does_not_tell_is_no_external_label(parts: Parts) -> None:
    assert parts.evaluation.external_labels() == (("cluster", "eu"), ("region", "north"))
    prefix = f"{parts.prometheus.url}/nowhere"
    assert requests.get(f"{prefix}/api/v1/status/config", timeout=5).status_code == 404
    elsewhere = connection.Client(prefix, timeout=timedelta(seconds=10))
    assert alerts_api.AlertsApi(elsewhere).external_labels() == ()
