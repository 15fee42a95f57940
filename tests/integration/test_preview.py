"""A preview is what ALERTS was: by promtool for policies of all kinds, and live."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import frames
from detector.policy import compiler, documents
from detector.prometheus import reader
from detector.services import previewing, previews
from tests import remote, stack
from tests.detector.policy import alerting, factories

STEP = timedelta(minutes=1)
STEPS = 240
PERIOD = previews.Period(0, (STEPS - 1) * 60_000, 60_000)
"""Of four hours from 1970 on, which is where promtool's time begins."""

M = {"type": "metric_threshold", "metric_name": "m", "operator": "gt", "threshold": 70}
N = {**M, "metric_name": "n"}
HELD = {**M, "resolve_when": {"operator": "lt", "threshold": 45}}
HELD_N = {**N, "threshold": 60, "resolve_when": {"operator": "lte", "threshold": 40}}
CHANGE = {"type": "rate_of_change", "metric_name": "m", "over": "7m"}
NIGHT = {"weekly": [{"days": ["thu"], "start": "01:00", "end": "02:30"}]}

POLICIES: list[list[dict[str, Any]]] = [
    [M],
    [{**HELD, "for": "2m"}],
    [{**HELD, "for": "90s", "keep_firing_for": "4m"}],
    [{**M, "operator": "lte", "threshold": 30, "keep_firing_for": "150s"}],
    [{**M, "operator": "ne"}],
    [{**HELD, "threshold": 85}, {**HELD, "for": "2m"}],
    [{**HELD, "threshold": 90}, {**HELD, "keep_firing_for": "3m"}, {**M, "threshold": 50}],
    [{"type": "any", "conditions": [HELD, HELD_N], "for": "1m"}],
    [{"type": "all", "conditions": [HELD, HELD_N], "for": "1m"}],
    [{"type": "all", "match_on": ["job"], "conditions": [HELD, {"type": "not", "condition": N}]}],
    [{"type": "not", "condition": HELD, "for": "3m"}],
    [{**HELD, "window": NIGHT, "for": "2m"}],
    [{**HELD, "window": {**NIGHT, "mode": "outside", "timezone": "Europe/Berlin"}}],
    [{"type": "any", "conditions": [{**HELD, "window": NIGHT}, N], "keep_firing_for": "2m"}],
    [{**M, "over_time": {"function": "avg", "range": "6m"}, "threshold": 60}],
    [{**HELD, "aggregate": {"function": "max", "by": ["job"]}, "for": "1m"}],
    [{**CHANGE, "operator": "gt", "threshold": 20}],
    [{**CHANGE, "measure": "percent", "operator": "lt", "threshold": -25}],
    [{**CHANGE, "measure": "slope", "operator": "gt", "threshold": 0.05, "for": "2m"}],
    [{"type": "absent", "metric_name": "m", "labels": {"instance": "gone"}, "for": "2m"}],
    [{"type": "absent", "metric_name": "m", "seen_within": "10m", "for": "1m"}],
    [{"type": "forecast", "metric_name": "m", "limit": 100, "within": "10m", "history": "10m"}],
    [{"type": "expression", "expr": "(m > 60) * NaN", "for": "1m"}],
    [{"type": "expression", "expr": "{__name__=~'m|other'} > 60 # of either"}],
    [{"type": "expression", "expr": "label_replace(m > 60, 'severity', 'x', '', '')"}, M],
]


def series() -> dict[frames.Labels, frames.Floats]:
    """Walks between 0 and 100, some of which are not there at times."""
    chance = np.random.default_rng(7)
    found = {}
    for name, instance, job in (
        ("m", "a", "j"),
        ("m", "b", "j"),
        ("m", "gone", "k"),
        ("n", "a", "j"),
        ("n", "b", "j"),
        ("n", "c", "k"),
        ("other", "d", "k"),
    ):
        values = np.empty(STEPS)
        at = 50.0
        for t in range(STEPS):
            at = float(np.clip(at + chance.normal(0, 9), 0, 100))
            values[t] = round(at, 2)
        found[remote.labels(name, instance=instance, job=job)] = values
    gone = found[remote.labels("m", instance="gone", job="k")]
    gone[:20] = gone[80:100] = gone[200:] = math.nan
    found[remote.labels("n", instance="a", job="j")][150:157] = math.nan
    return found


@pytest.fixture(scope="module")
def filled(stack_binaries: stack.Binaries, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("prometheus")
    server = stack.prometheus(stack_binaries.find("prometheus"), folder)
    server.start()
    samples = []
    for labels, values in series().items():
        for t, value in enumerate(values.tolist()):
            if value == value:
                samples.append((labels, value, t * 60_000))
            elif t and values[t - 1] == values[t - 1]:
                samples.append((labels, remote.STALE, t * 60_000))
    assert remote.push(server.url, samples).status_code == 204
    yield server
    server.kill9()


def reader_of(server: stack.Prometheus) -> reader.Reader:
    return reader.Reader(
        server.url,
        timeout=timedelta(seconds=30),
        auth=None,
        lookback=timedelta(minutes=5),
        clock=lambda: 0.0,
    )


def previewer(server: stack.Prometheus) -> previewing.Previewer:
    by = reader_of(server)
    return previewing.Previewer(
        by,
        factories.GIVEN,
        lambda period: by.metric_names(start_ms=period.start_ms, end_ms=period.end_ms),
    )


@pytest.mark.parametrize("per", [None, ["job"]])
def test_previews_of_all_conditions_are_what_the_rule_engine_fires(
    filled: stack.Prometheus, stack_binaries: stack.Binaries, tmp_path: Path, per: list[str] | None
) -> None:
    cases = []
    for conditions in POLICIES:
        document = documents.parse(factories.tree(*conditions, per=per), "p")
        rules = compiler.rules(document, 0, factories.GIVEN)
        found = previewer(filled).preview(document, PERIOD)
        spells = [spell for rule in found.rules for each in rule.series for spell in each.spells]
        alerts = alerting.alerts_of(spells, PERIOD.times_ms)
        assert any(alerts), conditions
        cases.append(alerting.Case(document, rules, STEP, series(), alerts))
    assert alerting.judged(Path(stack_binaries.find("promtool")), tmp_path, cases) == {}
