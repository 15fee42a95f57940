"""What is told and drawn of an alert, read from a real Prometheus."""

from __future__ import annotations

import pathlib
from datetime import UTC, datetime, timedelta

from detector import alerts, checks, config, frames, links
from detector.services import charting, facts, subjects
from tests import stack
from tests.conftest import MakePrometheus
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.anomalies import FakeAnomalyStore
from tests.fakes.episodes import FakeEpisodeStore

PROMETHEUS = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: self
    static_configs: [{targets: ["127.0.0.1:{port}"]}]
"""
RULES = """\
groups:
  - name: test
    rules:
      - {record: orders, expr: up * 1.25}
      - {record: anomaly_score, expr: up * 7.24, labels: {query: orders}}
      - {record: anomaly_expected, expr: up * 5, labels: {query: orders}}
      - {record: anomaly_lower, expr: up * 4, labels: {query: orders}}
      - {record: anomaly_upper, expr: up * 6, labels: {query: orders}}
"""
LABELS = {"alertname": "AnomalyDetected", "query": "orders", "job": "self", "severity": "warning"}


def now() -> datetime:
    return datetime.now(UTC)


def test_an_anomaly_is_told_and_drawn(prometheus: MakePrometheus, tmp_path: pathlib.Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    server = prometheus(PROMETHEUS.replace("{rules}", str(rules)))
    settings = config.load(
        None,
        {
            "MDA_PROMETHEUS__URL": server.url,
            "MDA_QUERIES": '[{"name": "orders", "expr": "orders * 2 / 2", "step": "1s"}]',
        },
    )
    stack.wait_until(lambda: server.query("anomaly_upper"), 20, "scores")
    instance = server.url.removeprefix("http://")
    labels = frames.labels_from_pairs({**LABELS, "instance": instance, "monitor": "x"}.items())
    generator = f"{server.url}/graph?g0.expr=anomaly_score+%3E+1&g0.tab=1"
    began = now()
    held = alerts.Held(
        alerts.fingerprint_of(labels),
        began,
        began + timedelta(hours=1),
        began,
        labels,
        (),
        generator,
    )
    reader = checks.connect(settings)
    about = subjects.Subjects(lambda: settings, lambda: (), clock=now)
    told = facts.Facts(about, reader, FakeAnomalyStore(), None, clock=now).tell([held])
    assert told.failures == ()
    (given,) = told.annotations.values()
    assert given.pop("graph_url").startswith(f"{server.url}/graph?g0.expr=%28orders+")
    assert given == {"value": "1.25", "expected": "5", "lower": "4", "upper": "6", "score": "7.2"}

    alertmanager = FakeAlertmanager(now)
    alertmanager.post([alerts.Posted(labels, (), began, held.ends_at, generator)])
    drawn = charting.Charts(FakeEpisodeStore(), alertmanager, about, reader, clock=now)
    target = links.Target(held.fingerprint, began, began + timedelta(days=1))
    assert drawn.picture(target).startswith(b"\x89PNG")
