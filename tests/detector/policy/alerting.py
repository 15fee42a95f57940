"""promtool as the judge of what rules fire: ALERTS at every evaluation of made-up series."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml

from detector import frames
from detector.policy import compiler, documents, firing, promql

Alerts = frozenset[frames.Labels]
"""Labels of the series of ALERTS, alertstate among them, at one evaluation."""


@dataclass(frozen=True, slots=True)
class Case:
    """Rules of a policy, series by labels with a value or NaN a step, and ALERTS at each step."""

    document: documents.Document
    rules: Sequence[compiler.AlertingRule]
    step: timedelta
    series: Mapping[frames.Labels, frames.Floats]
    alerts: Sequence[Alerts]


def alerts_of(spells: Iterable[firing.Spell], times_ms: frames.Ints) -> list[Alerts]:
    """What ALERTS shows at each of these times."""
    shown: list[set[frames.Labels]] = [set() for _ in times_ms]
    for spell in spells:
        for place, at_ms in enumerate(times_ms.tolist()):
            is_over = spell.until_ms is not None and at_ms >= spell.until_ms
            if at_ms >= spell.since_ms and not is_over:
                fires = spell.firing_ms is not None and at_ms >= spell.firing_ms
                labels = {**dict(spell.labels), "alertstate": "firing" if fires else "pending"}
                shown[place].add(frames.labels_from_pairs(labels.items()))
    return [frozenset(each) for each in shown]


def judged(judge: Path, folder: Path, cases: Sequence[Case]) -> dict[int, str]:
    """What promtool says against each case that it refuses, by place. One run a case: a newer
    promtool does not say which of several files it speaks of."""
    found = {}
    for number, case in enumerate(cases):
        rules, file = folder / "rules.yml", folder / "rules_test.yml"
        rules.write_text(compiler.file_text([compiler.grouped(case.document.name, 0, case.rules)]))
        file.write_text(yaml.safe_dump(_tree(case, rules.name), width=10_000))
        argv: list[str | Path] = [judge, "test", "rules", file]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if ran.returncode:
            found[number] = ran.stdout + ran.stderr
    return found


def _tree(case: Case, rule_file: str) -> dict[str, object]:
    step = promql.duration(case.step)
    asked = [
        {
            "expr": "ALERTS",
            "eval_time": promql.duration(t * case.step),
            "exp_samples": [
                {"labels": f"ALERTS{text_of(labels)}", "value": 1} for labels in sorted(shown)
            ],
        }
        for t, shown in enumerate(case.alerts)
    ]
    test = {
        "interval": step,
        "input_series": [
            {"series": text_of(labels), "values": " ".join(trace(values))}
            for labels, values in case.series.items()
        ],
        "promql_expr_test": asked,
    }
    return {"rule_files": [rule_file], "evaluation_interval": step, "tests": [test]}


def text_of(labels: frames.Labels) -> str:
    """A series as promtool reads it."""
    return (dict(labels).get("__name__", "")) + promql.matchers(
        promql.Matcher(name, promql.MatchType.EQUAL, value)
        for name, value in labels
        if name != "__name__"
    )


def trace(values: frames.Floats) -> Iterable[str]:
    """A value each step; where a series ends a stale marker, or it would stand for longer."""
    was_there = False
    for value in values.tolist():
        is_there = value == value
        yield promql.number(value) if is_there else "stale" if was_there else "_"
        was_there = is_there
