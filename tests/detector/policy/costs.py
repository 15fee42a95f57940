"""Books of clouds: what sources tell of which days and when, and sums of them in plain Python.

A step is a minute in Prometheus and any number of days in the books: no measure looks at the clock.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from detector import frames
from detector.policy import compiler, documents, promql
from tests import conftest, remote
from tests.detector.policy import alerting, factories

DAY, WEEK = timedelta(days=1), timedelta(days=7)
RECORDING = conftest.ROOT / "rules" / "recording.yml"
Group = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Account:
    """What a source says of an account at one step.

    money    by day and by what costs (its labels but those of the account)
    settled  days that are told of, and whether they will not change any more
    """

    labels: Mapping[str, str]
    money: Mapping[date, Mapping[frames.Labels, float]]
    settled: Mapping[date, bool]


def account(name: str, told: Mapping[date, float], settled: Sequence[date] = ()) -> Account:
    """An account with one service, paid in dollars."""
    labels = {"provider": "aws", "account": name, "basis": "billed"}
    return Account(
        labels,
        {day: {service("ec2"): money} for day, money in told.items()},
        {day: day in settled for day in told},
    )


def service(name: str, currency: str = "USD") -> frames.Labels:
    """The labels of what costs."""
    return remote.labels("", service=name, region="eu", charge_type="usage", currency=currency)


def series_of(
    steps: Sequence[Sequence[Account]], exporters: Sequence[str]
) -> dict[frames.Labels, frames.Floats]:
    """What each of some exporters would show at each step, NaN where a series is not there."""
    found: dict[frames.Labels, frames.Floats] = {}

    def put(step: int, name: str, value: float, labels: Mapping[str, str]) -> None:
        for exporter in exporters:
            key = remote.labels(name, job="cloud", instance=exporter, **labels)
            found.setdefault(key, np.full(len(steps), np.nan))[step] = value

    for step, accounts in enumerate(steps):
        for each in accounts:
            for day, is_settled in each.settled.items():
                of_day = {**each.labels, "day": day.isoformat()}
                midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
                put(step, "cloud_cost_day_timestamp_seconds", midnight.timestamp(), of_day)
                put(step, "cloud_cost_settled", float(is_settled), of_day)
            for day, costs in each.money.items():
                for labels, money in costs.items():
                    of_day = {**each.labels, **dict(labels), "day": day.isoformat()}
                    put(step, "cloud_cost", money, of_day)
    return found


def weights(measure: str, told: Sequence[date]) -> dict[date, Fraction]:
    """How often each of these days is taken; none where the measure can't be told."""
    latest = max(told)
    of_month = [day for day in told if (day.year, day.month) == (latest.year, latest.month)]
    found = {day: Fraction(0) for day in told}
    if measure in ("daily", "jump"):
        found[latest] += 1
    if measure == "jump":
        if latest - WEEK not in told:
            return {}
        found[latest - WEEK] -= 1
    if measure in ("month_to_date", "projected_month"):
        for day in of_month:
            found[day] += 1
    if measure == "projected_month":
        last = [day for day in told if day > latest - WEEK]
        missing = calendar.monthrange(latest.year, latest.month)[1] - len(of_month)
        for day in last:
            found[day] += Fraction(missing, len(last))
    return found


def sums(
    accounts: Sequence[Account], measure: str, by: Sequence[str], *, settled: bool = False
) -> dict[Group, Fraction]:
    """A measure of the billed money, by the labels that its sums keep."""
    found: dict[Group, Fraction] = {}
    for each in accounts:
        told = [day for day, is_settled in each.settled.items() if is_settled or not settled]
        if not told or each.labels["basis"] != "billed":
            continue
        for day, weight in weights(measure, told).items():
            for labels, money in each.money.get(day, {}).items():
                of_all = {**each.labels, **dict(labels)}
                group = frozenset((name, of_all[name]) for name in (*by, "currency"))
                found[group] = found.get(group, Fraction(0)) + weight * Fraction(money)
    return found


@dataclass(slots=True)
class Trial:
    """A file of promtool's tests on the recorded sums: at which step what is to be what."""

    steps: Sequence[Sequence[Account]]
    exporters: Sequence[str] = ("x:9100",)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, step: int, expr: str, expected: Mapping[Group, float]) -> None:
        """That an expression gives these series at a step."""
        samples = [
            {"labels": promql_labels(group), "value": value} for group, value in expected.items()
        ]
        self.asked.append({"expr": expr, "eval_time": f"{step}m", "exp_samples": samples})

    def write(self, file: Path) -> Path:
        """As a file of tests."""
        test = {
            "interval": "1m",
            "input_series": [
                {"series": alerting.text_of(labels), "values": " ".join(alerting.trace(values))}
                for labels, values in series_of(self.steps, self.exporters).items()
            ],
            "promql_expr_test": self.asked,
        }
        tree = {"rule_files": [str(RECORDING)], "evaluation_interval": "1m", "tests": [test]}
        # As YAML too, but written a hundred times as fast.
        file.write_text(json.dumps(tree).replace("Infinity", ".inf"))
        return file


def promql_labels(group: Group) -> str:
    """A group as promtool reads it."""
    return promql.matchers(
        promql.Matcher(name, promql.MatchType.EQUAL, value) for name, value in sorted(group)
    )


def condition(measure: str, **more: Any) -> dict[str, Any]:
    """A cost condition that demands little."""
    bound = {"above": 1e-3} if measure == "jump" else {"threshold": 1e-3}
    return {"type": "cost", "measure": measure, **bound, **more}


def value(given: dict[str, Any]) -> str:
    """PromQL of all that a condition looks at."""
    document = documents.parse(factories.tree(given), "policy")
    universe = document.rules[0].condition.compiled(factories.GIVEN).universe
    assert universe is not None
    return f"({universe})"


def rounded(measure: str, **more: Any) -> str:
    """The same of a measure, to a whole number: a mean of seven days is not exact."""
    return f"round({value(condition(measure, **more))})"


def fires(given: dict[str, Any]) -> str:
    """PromQL of where a condition holds."""
    document = documents.parse(factories.tree(given), "policy")
    return compiler.rules(document, 1, factories.GIVEN)[0].expr


def days(first: str, last: str, money: float = 1.0) -> dict[date, float]:
    """The same money each day from the first to the last."""
    found, day = {}, date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        found[day] = money
        day += DAY
    return found
