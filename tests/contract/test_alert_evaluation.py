"""What every ports.AlertEvaluation holds: a real Prometheus and the fake."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from detector import alerts, ports
from detector.prometheus import alerts_api, connection
from tests import stack
from tests.conftest import MakePrometheus
from tests.fakes.evaluation import FakeAlertEvaluation

CONFIG = """\
global: {evaluation_interval: 1s, external_labels: {cluster: eu, "on": "12"}}
rule_files: [RULES]
"""
RULE = """\
groups:
  - name: one
    rules:
      - {alert: Busy, expr: vector(1) > LIMIT, for: FORs, labels: {severity: high, cluster: eu}}
"""
LABELS = (("alertname", "Busy"), ("cluster", "eu"), ("severity", "high"))
INTERVAL = timedelta(seconds=1)
LONG_S = 60
TIMEOUT_S = 30


class Rule(Protocol):
    """An alerting rule, and who tells of it."""

    evaluation: ports.AlertEvaluation

    def begin(self, *, for_s: int = 0) -> None:
        """Its condition holds from now on; it fires after so long."""

    def end(self) -> None:
        """Its condition holds no more."""


class FakeRule:
    def __init__(self) -> None:
        self.fake = FakeAlertEvaluation((("cluster", "eu"), ("on", "12")))
        self.evaluation: ports.AlertEvaluation = self.fake

    def begin(self, *, for_s: int = 0) -> None:
        now = datetime.now(UTC)
        self.fake.now = [alerts.Active(LABELS, now, is_firing=not for_s)]
        if not for_s:
            # It goes on: nobody asks for what is later.
            last = now + timedelta(hours=1)
            self.fake.past = [alerts.Run(LABELS, now, last, INTERVAL, is_begun=True, is_over=True)]

    def end(self) -> None:
        (run,) = self.fake.past
        last = datetime.now(UTC) - 2 * INTERVAL
        self.fake.now = []
        self.fake.past = [
            alerts.Run(LABELS, min(run.first, last), last, INTERVAL, is_begun=True, is_over=True)
        ]


class RealRule:
    def __init__(self, make: MakePrometheus, folder: pathlib.Path) -> None:
        self._rules = folder / "rules.yml"
        self._write(limit=2, for_s=0)
        self._server = make(CONFIG.replace("RULES", str(self._rules)))
        client = connection.Client(self._server.url, timeout=timedelta(seconds=10))
        self.evaluation: ports.AlertEvaluation = alerts_api.AlertsApi(client)
        self._for_s = 0

    def begin(self, *, for_s: int = 0) -> None:
        self._for_s = for_s
        self._write(limit=0, for_s=for_s)
        self._server.reload().raise_for_status()

    def end(self) -> None:
        self._write(limit=2, for_s=self._for_s)
        self._server.reload().raise_for_status()

    def _write(self, *, limit: int, for_s: int) -> None:
        self._rules.write_text(RULE.replace("LIMIT", str(limit)).replace("FOR", str(for_s)))


@pytest.fixture(params=["fake", "real"])
def rule(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Rule:
    if request.param == "fake":
        return FakeRule()
    return RealRule(request.getfixturevalue("prometheus"), tmp_path)


def until(told: Callable[[], object], what: str) -> None:
    stack.wait_until(told, TIMEOUT_S, what)


def test_of_nothing_nothing_is_told(rule: Rule) -> None:
    now = datetime.now(UTC)
    assert rule.evaluation.active() == ()
    assert rule.evaluation.firing() == frozenset()
    assert rule.evaluation.runs(now - timedelta(hours=1), now) == ()


def test_external_labels_are_told_as_text(rule: Rule) -> None:
    assert rule.evaluation.external_labels() == (("cluster", "eu"), ("on", "12"))


def test_an_alert_that_fires_has_the_labels_of_its_rule(rule: Rule) -> None:
    before = datetime.now(UTC)
    rule.begin()
    until(rule.evaluation.firing, "the alert to fire")
    (active,) = rule.evaluation.active()
    assert active == alerts.Active(LABELS, active.active_at, is_firing=True)
    assert before - INTERVAL < active.active_at < datetime.now(UTC) + INTERVAL
    assert rule.evaluation.firing() == {LABELS}


def test_one_that_is_pending_does_not_fire(rule: Rule) -> None:
    rule.begin(for_s=LONG_S)
    until(rule.evaluation.active, "the alert to be pending")
    (active,) = rule.evaluation.active()
    assert (active.labels, active.is_firing) == (LABELS, False)
    now = datetime.now(UTC)
    assert rule.evaluation.firing() == frozenset()
    assert rule.evaluation.runs(now - timedelta(hours=1), now + INTERVAL) == ()


def test_a_run_is_told_with_its_ends_as_far_as_they_are_seen(rule: Rule) -> None:
    evaluation, before = rule.evaluation, datetime.now(UTC)
    rule.begin()
    until(evaluation.firing, "the alert to fire")
    until(lambda: datetime.now(UTC) > before + 6 * INTERVAL, "some evaluations")
    since = before - timedelta(hours=1)
    (lasting,) = evaluation.runs(since, datetime.now(UTC))
    assert (lasting.labels, lasting.is_begun, lasting.is_over) == (LABELS, True, False)
    (later,) = evaluation.runs(lasting.first + 2 * INTERVAL, datetime.now(UTC))
    assert (later.first > lasting.first, later.is_begun, later.is_over) == (True, False, False)

    rule.end()
    until(lambda: not evaluation.firing(), "the alert to end")
    until(lambda: evaluation.runs(since, datetime.now(UTC))[0].is_over, "its end to be seen")
    assert evaluation.active() == ()
    (whole,) = evaluation.runs(since, datetime.now(UTC))
    assert (whole.first, whole.is_begun, whole.is_over) == (lasting.first, True, True)
    assert whole.last >= whole.first
    assert abs(whole.interval - INTERVAL) < INTERVAL / 2
    assert evaluation.runs(since, whole.first - INTERVAL) == ()
