"""The simulation of rules shows the ALERTS that the real rule engine writes, step by step."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from detector import config, frames
from detector.policy import actions, compiler, documents, firing
from detector.policy.conditions import base
from tests import remote, stack
from tests.detector.policy import alerting, factories

CASES = 60
STEPS = 40
STEP_CHOICES = (timedelta(seconds=15), timedelta(minutes=1), timedelta(minutes=2))

PER_CHOICES = (None, ("instance",), (), ("severity", "job"))


class Told(base.Condition):
    """A condition that holds exactly where a series of its own is there."""

    fire_name: str
    hold_name: str

    def bare(self, given: base.Given) -> base.Expr:
        fire = f'{{__name__=~"{self.fire_name}|{self.fire_name}_too"}}'
        return base.Expr(fire, fire if self.hold_name == "" else self.hold_name, None)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        raise base.NotStagedError("its series come from the test")


def made(seed: int) -> tuple[alerting.Case, int | None]:
    """Rules and series that chance makes, with what the simulation says of them, and the first step
    at which a rule is refused; there promtool gives up."""
    chance = np.random.default_rng(seed)
    step = STEP_CHOICES[seed % len(STEP_CHOICES)]
    per = PER_CHOICES[int(chance.integers(len(PER_CHOICES)))]
    series: dict[frames.Labels, frames.Floats] = {}
    rules = []
    for number in range(1, int(chance.integers(1, 4)) + 1):
        fire, hold = f"f{number}", f"h{number}" if chance.random() < 0.7 else ""
        names = [fire, hold] if hold else [fire]
        if chance.random() < 0.1:
            names.append(f"{fire}_too")
        for name in names:
            for _ in range(int(chance.integers(1, 5))):
                series[_labels(chance, name)] = _presence(chance)
        waits = [int(chance.integers(0, 6)) * step * 0.8 for _ in range(2)]
        condition: Any = Told.model_validate(
            {
                "for": waits[0] if chance.random() < 0.6 else timedelta(0),
                "keep_firing_for": waits[1] if chance.random() < 0.6 else timedelta(0),
                "fire_name": fire,
                "hold_name": hold,
            }
        )
        rules.append(
            documents.Rule.model_construct(
                condition=condition,
                action=actions.Alert(type="alert"),
                priority=int(chance.integers(1, 3)),
            )
        )
    document = documents.Document.model_construct(
        name=f"p {seed} {{{{", description="", enabled=True, rules=tuple(rules), per=per
    )
    found = compiler.rules(document, 1, factories.GIVEN)
    times_ms = np.arange(STEPS, dtype=np.int64) * (step // timedelta(milliseconds=1))
    fired = firing.simulate(
        times_ms, [_evaluated(rule, document, series) for rule in found], per=per
    )
    refused = np.any([each.refused for each in fired], axis=0)
    case = alerting.Case(
        document,
        found,
        step,
        series,
        alerting.alerts_of([spell for each in fired for spell in each.spells], times_ms),
    )
    return case, int(np.argmax(refused)) if refused.any() else None


def _evaluated(
    rule: compiler.AlertingRule,
    document: documents.Document,
    series: dict[frames.Labels, frames.Floats],
) -> firing.Evaluated:
    condition: base.Condition = document.rules[rule.number - 1].condition
    assert isinstance(condition, Told)
    fire = _vector(series, {condition.fire_name, f"{condition.fire_name}_too"})
    hold = _vector(series, {condition.hold_name}) if condition.hold_name else None
    return firing.Evaluated(rule, fire, hold)


def _vector(series: dict[frames.Labels, frames.Floats], names: set[str]) -> firing.Vector:
    found = {
        labels: values for labels, values in series.items() if dict(labels)["__name__"] in names
    }
    present = np.array([~np.isnan(values) for values in found.values()]).reshape(-1, STEPS)
    return firing.Vector(tuple(found), present.T)


def _labels(chance: np.random.Generator, name: str) -> frames.Labels:
    """Labels of which some are also set by the alert; that alone seldom tells two series apart."""
    found = {"instance": "abc"[int(chance.integers(3))], "job": "jk"[int(chance.integers(2))]}
    if found["job"] == "k":
        found |= {"severity": "other", "alertstate": "firing", "policy_rule": "1"}
    if chance.random() < 0.02:
        found["severity"] = "high"
    return remote.labels(name, **found)


def _presence(chance: np.random.Generator) -> frames.Floats:
    """Stretches of being there and not, of very different lengths."""
    values, is_there = np.empty(0), bool(chance.random() < 0.5)
    while len(values) < STEPS:
        length = int(chance.integers(1, (3, 6, 15)[int(chance.integers(3))]))
        values = np.append(values, np.full(length, 1.0 if is_there else np.nan))
        is_there = not is_there
    return values[:STEPS]


def test_alerts_of_rules_made_by_chance_are_those_of_the_rule_engine(
    tmp_path: Path, stack_binaries: stack.Binaries
) -> None:
    made_up = [made(seed) for seed in range(CASES)]
    said = alerting.judged(
        Path(stack_binaries.find("promtool")), tmp_path, [case for case, _ in made_up]
    )
    refused = {number: step for number, (_, step) in enumerate(made_up) if step is not None}
    assert len(refused) < CASES / 2
    assert {number: _refusal(text, made_up[number][0].step) for number, text in said.items()} == (
        refused
    )
    shown = [len(each) for case, step in made_up if step is None for each in case.alerts]
    assert sum(shown) > 3_000


def _refusal(text: str, step: timedelta) -> int | str:
    """The step at which promtool met an error of a rule; what else it said."""
    found = re.search(r"time: (\S+), err: vector contains metrics with the same labelset", text)
    if found is None:
        return text
    at = config.parse_duration(found[1])
    assert isinstance(at, timedelta)
    return at // step
