"""A preview is what ALERTS was: by promtool for policies of all kinds, and live."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from detector import config, errors, frames
from detector.policies import preview
from detector.policy import compiler, documents
from detector.prometheus import reader
from detector.services import previewing, previews
from tests import conftest, remote, stack
from tests.detector import test_cli
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
def filled(
    stack_binaries: stack.Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[stack.Prometheus]:
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


def test_doubts_are_told_of_what_a_server_has(filled: stack.Prometheus) -> None:
    late = {**M, "labels": {"instance": "gone"}}
    conditions: list[dict[str, Any]] = [
        {**M, "metric_name": "othr"},
        {**M, "labels": {"instance": "nowhere"}},
        {**M, "threshold": -1},
        late,
        {"type": "expression", "expr": "nowhere > 1"},
        {"type": "expression", "expr": "{__name__=~'m|n'} > 70"},
    ]
    tree = factories.tree(*conditions)
    for rule in tree["rules"]:
        rule["priority"] = 1
    found = previewer(filled).preview(documents.parse(tree, "p"), PERIOD)
    made = series()
    m, n = (
        np.array([made[remote.labels(name, instance=each, job="j")] > 70 for each in "ab"])
        for name in "mn"
    )
    refused = int((m & n).any(axis=0).sum())
    assert [(warned.rule, warned.text[:60]) for warned in found.warnings] == [
        (1, "metric othr: Prometheus had none of this name in this time: "),
        (2, "it matches nothing: no series was there in 3.98 hours: look "),
        (3, "it holds for everything: for each of the 3 series that it lo"),
        (4, "the series that it looks at begin at 1970-01-01 00:20 UTC: t"),
        (5, "metric nowhere: Prometheus had none of this name in this tim"),
        (6, f"Prometheus refuses it at {refused} of 240 evaluations: it gives two series"[:60]),
    ]
    assert found.warnings[0].text.endswith("did you mean other?")
    assert [rule.looked_at for rule in found.rules] == [0, 0, 3, 1, None, None]


def test_policies_of_files_are_previewed_up_to_the_present(
    filled: stack.Prometheus, tmp_path: Path
) -> None:
    file = tmp_path / "p.json"
    tree = factories.tree(HELD)
    file.write_text(json.dumps([tree, {**tree, "name": "Other"}]))
    settings = config.Settings.model_validate({"prometheus": {"url": filled.url}})
    now = datetime.fromtimestamp(PERIOD.end_ms / 1000 + 59, UTC)
    options = preview.Options((file,), days=1 / 8)
    found = preview.run(settings, options, now=now)
    period = previews.Period(PERIOD.end_ms - 3 * 3_600_000, PERIOD.end_ms, 60_000)
    assert [each.found for each in found] == [
        previewer(filled).preview(documents.parse({**tree, "name": name}, "p"), period)
        for name in (tree["name"], "Other")
    ]
    assert found[0].found.rules[0].times > 1
    file.write_text(
        json.dumps(factories.tree({"type": "expression", "expr": "m / ignoring (instance) n > 1"}))
    )
    with pytest.raises(
        errors.UpstreamError, match=r"p.json: High CPU Alert: query refused: .*many"
    ):
        preview.run(settings, options, now=now)


LIVE_STEP_S, LIVE_STEPS = 2, 34
LIVE_CONFIG = """\
global: {{scrape_interval: 1m, evaluation_interval: 2s}}
rule_files: ["{folder}/*.yml"]
"""
ALMOST_TEN = "9999ms"
"""A rule is evaluated up to a step later than a preview: both see the same samples so far back."""


def live_policies(closes: datetime) -> list[dict[str, Any]]:
    """Policies; the rules of one count until a minute that is soon to come, and from then on."""
    hours = [{"start": f"{closes - timedelta(hours=1):%H:%M}", "end": f"{closes:%H:%M}"}]
    until, later = ({"weekly": hours, "mode": mode} for mode in ("inside", "outside"))
    conditions: dict[str, list[dict[str, Any]]] = {
        "held": [{**HELD, "for": "4s", "keep_firing_for": "6s"}],
        "graver and milder": [{**HELD, "threshold": 85}, {**HELD, "for": "2s"}],
        "any": [{"type": "any", "conditions": [HELD, HELD_N], "for": "2s"}],
        "all": [{"type": "all", "conditions": [HELD, HELD_N], "keep_firing_for": "4s"}],
        "hours": [{**M, "threshold": 5, "window": until}, {**M, "window": later}],
        "average": [{**M, "threshold": 55, "over_time": {"function": "avg", "range": ALMOST_TEN}}],
        "gone": [{"type": "absent", "metric_name": "m", "seen_within": "19999ms", "for": "2s"}],
        "refused": [{"type": "expression", "expr": "{__name__=~'m|n'} > 50", "for": "2s"}],
    }
    return [factories.tree(*each, name=name) for name, each in conditions.items()]


def live_samples(start_s: int) -> list[remote.Sample]:
    """Waves, one of which is not there for a while; all end."""
    found = []
    for number, (labels, _) in enumerate(series().items()):
        for place in range(LIVE_STEPS + 1):
            value = 50 + 48 * math.sin(place * math.tau / (11 + number % 3) - number / 5)
            is_away = dict(labels)["instance"] == "gone" and 12 <= place < 18
            is_there = place < LIVE_STEPS and not is_away
            time_ms = (start_s + place * LIVE_STEP_S) * 1000
            found.append((labels, value if is_there else remote.STALE, time_ms))
    return found


Shown = set[tuple[str, str, str, frames.Labels]]
"""Policy, number of the rule, state, labels of the series."""


def live_alerts(server: stack.Prometheus, times_s: list[int]) -> list[Shown]:
    """What the server has written of each evaluation, which is less than a step after its time."""
    found: list[Shown] = []
    for at_s in times_s:
        shown: Shown = set()
        for each in server.query("ALERTS", time=f"{at_s + LIVE_STEP_S - 0.001:.3f}"):
            labels = each["metric"]
            own = (labels["policy"], labels["policy_rule"], labels["alertstate"])
            rest = {k: v for k, v in labels.items() if k not in ("__name__", *compiler.OWN_LABELS)}
            shown.add((*own, frames.labels_from_pairs(rest.items())))
        found.append(shown)
    return found


def previewed_alerts(summary: dict[str, Any], times_s: list[int]) -> list[Shown]:
    """The same, of what `mda policy preview --json` tells."""
    found: list[Shown] = [set() for _ in times_s]
    for policy in summary["policies"]:
        for rule in policy["rules"]:
            for each in rule["series"]:
                labels = frames.labels_from_pairs(each["labels"].items())
                for spell in each["spells"]:
                    for place, at_s in enumerate(times_s):
                        since, fires, until = (
                            math.inf if text is None else datetime.fromisoformat(text).timestamp()
                            for text in (spell["since"], spell["firing"], spell["until"])
                        )
                        if since <= at_s < until:
                            state = "firing" if at_s >= fires else "pending"
                            found[place].add((policy["policy"], str(rule["rule"]), state, labels))
    return found


def test_a_preview_is_what_a_server_fired_live(
    prometheus: conftest.MakePrometheus, tmp_path: Path
) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    server = prometheus(LIVE_CONFIG.format(folder=folder))
    env = {"MDA_PROMETHEUS__URL": server.url}
    closes = datetime.fromtimestamp((int(time.time()) + 79) // 60 * 60, UTC)
    file = tmp_path / "policies.json"
    file.write_text(json.dumps(live_policies(closes)))
    ran = test_cli.run(tmp_path, "policy", "validate", str(file), "--out", str(folder), **env)
    assert ran.returncode == 0, ran.stderr
    assert server.reload().status_code == 200

    start_s = (int(time.time()) + 4) // LIVE_STEP_S * LIVE_STEP_S
    times_s = [start_s + place * LIVE_STEP_S for place in range(LIVE_STEPS)]
    assert remote.push(server.url, live_samples(start_s)).status_code == 204
    stack.wait_until(lambda: time.time() > times_s[-1] + 2 * LIVE_STEP_S, 90, "all evaluations")
    lived = live_alerts(server, times_s)
    assert missed_evaluations(server) == []

    days = (time.time() - start_s + 20) / 86_400
    asked: tuple[str, ...] = ("--days", f"{days:.6f}", "--step", f"{LIVE_STEP_S}s", "--json")
    ran = test_cli.run(tmp_path, "policy", "preview", str(file), *asked, **env)
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)
    assert previewed_alerts(summary, times_s) == lived
    times = {
        each["policy"]: sum(rule["times"] for rule in each["rules"]) for each in summary["policies"]
    }
    assert all(times.values()), times
    assert "refused" in [each["kind"] for each in summary["policies"][-1]["warnings"]]

    asked = (*asked[:-1], "--png", "p.png")
    ran = test_cli.run(tmp_path, "policy", "preview", str(file), *asked, COLUMNS="100", **env)
    assert ran.returncode == 0, ran.stderr
    assert {len(line) for line in ran.stdout.splitlines() if "│" in line} <= {*range(89, 101)}
    assert "\nwarning  rule 1: Prometheus refuses it at " in ran.stdout
    assert re.search(r"^read (\d+) of \1 evaluations$", ran.stderr, re.MULTILINE)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def missed_evaluations(server: stack.Prometheus) -> list[str]:
    """Counters of evaluations that it had no time for."""
    lines = requests.get(f"{server.url}/metrics", timeout=10).text.splitlines()
    name = "prometheus_rule_group_iterations_missed_total{"
    return [line for line in lines if line.startswith(name) and not line.endswith(" 0")]
