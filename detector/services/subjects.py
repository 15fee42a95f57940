"""What an alert is about: which series, in which unit, and what was expected of it.

Its labels tell: a query that is scored, or the rule of a policy; else the expression of the rule
that raised it, which stands in its generatorURL.
"""

from __future__ import annotations

import contextlib
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from detector import config, frames, presets, quantities
from detector.policy import catalogue, compiler, promql, revisions
from detector.policy.conditions import (
    base,
    comparing,
    cost,
    drift,
    forecast,
    metric_threshold,
    rate_of_change,
)

T = TypeVar("T")

KNOWN_FOR = timedelta(seconds=30)
"""So long policies are taken to be as they were read."""
LONGEST_EXPR = 20_000
"""Characters, as in a policy."""
NOT_OF_SERIES = frozenset({*compiler.OWN_LABELS, promql.NAME})
"""Labels that an alert has of its rule, whatever its series has."""
SCORE = "anomaly_score"
_BOUNDS = {">": "at most", ">=": "below", "<": "at least", "<=": "above", "==": "other than"}
_OF_NOTHING = re.compile(r"[\s(]*absent(_over_time)?\s*\(")
"""What it gives says nothing of the series that is missed."""
_COUNTED = ("count", "stddev")


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about.

    expr      PromQL of what is looked at, the alert's series among its series
    scale, unit  of its values as people read them
    query     that scores it; empty: nobody does
    score     the metric of the score that the alert stands on
    kind      of trouble, where the rule itself says
    expected  in words; empty where the score tells
    limit     that its values are compared with, scaled
    money, over  PromQL of the amount at stake, and what it may be; empty, None: no money
    """

    expr: str
    scale: float = 1.0
    unit: str = ""
    query: str = ""
    score: str = SCORE
    kind: str = ""
    expected: str = ""
    limit: float | None = None
    money: str = ""
    over: float | None = None

    def told(self, value: float, labels: Mapping[str, str]) -> str:
        """A value of `expr` in words."""
        currency = labels.get("currency", "")
        return quantities.quantity(value * self.scale, self.unit, currency=currency)


class Subjects:
    """Knows what alerts are about. Threads may share it.

    settings  as they are now
    policies  those that are kept
    """

    def __init__(
        self,
        settings: Callable[[], config.Settings],
        policies: Callable[[], Sequence[revisions.Policy]],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._policies, self._clock = settings, policies, clock
        self._known: tuple[datetime, dict[str, revisions.Policy]] | None = None

    def subject(self, labels: Mapping[str, str], generator_url: str) -> Subject | None:
        """What an alert with these labels is about; None if nobody knows. Raises StoreError."""
        rule = self._rule_condition(labels)
        scored = self._scored(labels, rule)
        if scored is not None:
            return scored
        if rule is not None:
            # Not compiled: thresholds of the settings have changed since it was published.
            with contextlib.suppress(base.NotCompiledError):
                found = _of_condition(rule, base.Given(self._settings().thresholds, self._clock()))
                if found is not None:
                    return found
        return _of_expr(expr_of(generator_url))

    def step(self, subject: Subject) -> timedelta:
        """How far its samples are apart."""
        settings = self._settings()
        for query in settings.all_queries():
            if query.name == subject.query:
                return settings.step_of(query)
        return settings.metric_collection_interval

    def _scored(self, labels: Mapping[str, str], rule: base.Condition | None) -> Subject | None:
        name, settings = labels.get("query"), self._settings()
        for query in settings.all_queries() if name and settings.anomaly_detection_enabled else ():
            if query.name != name:
                continue
            preset = _preset(query.name, settings)
            is_drift = isinstance(rule, drift.Drift)
            kind = "drift" if is_drift else labels.get("kind", "")
            if isinstance(rule, forecast.Forecast):
                kind = "forecast"
            return Subject(
                expr=settings.expr_of(query),
                scale=preset.scale if preset else 1.0,
                unit=preset.unit if preset else quantities.MONEY if "currency" in labels else "",
                query=query.name,
                score=drift.SCORE if is_drift else SCORE,
                kind=kind,
            )
        return None

    def _rule_condition(self, labels: Mapping[str, str]) -> base.Condition | None:
        """The condition of the policy's rule that these labels name, if it is as it was then."""
        name, number = labels.get(compiler.POLICY), labels.get(compiler.RULE, "")
        if name is None or not re.fullmatch(r"[0-9]{1,6}", number):
            return None
        policy = self._by_name().get(name)
        if policy is None or labels.get(compiler.REVISION) != str(policy.revision):
            return None
        document = policy.document
        if isinstance(document, revisions.Refused) or not 0 < int(number) <= len(document.rules):
            return None
        return document.rules[int(number) - 1].condition

    def _by_name(self) -> dict[str, revisions.Policy]:
        now = self._clock()
        if self._known is None or not now - self._known[0] < KNOWN_FOR:
            self._known = now, {each.document.name: each for each in self._policies()}
        return self._known[1]


class Places(Generic[T]):
    """Finds what belongs to an alert by labels: that whose labels are all among the alert's.

    Prometheus adds labels of the rule and of itself (external_labels) to those of the series.
    """

    def __init__(self, items: Iterable[tuple[frames.Labels, T]]) -> None:
        self._by_names: dict[tuple[str, ...], dict[tuple[str, ...], tuple[frames.Labels, T]]] = {}
        for labels, item in items:
            own = tuple(pair for pair in labels if pair[0] not in NOT_OF_SERIES)
            names = tuple(name for name, _ in own)
            values = tuple(value for _, value in own)
            self._by_names.setdefault(names, {})[values] = own, item

    def find(self, labels: Mapping[str, str]) -> tuple[frames.Labels, T] | None:
        """The labels and the item that say most of what the alert says; None if none fits."""
        for names in sorted(self._by_names, key=len, reverse=True):
            found = self._by_names[names].get(tuple(labels.get(name, "") for name in names))
            if found is not None:
                return found
        return None


def expr_of(generator_url: str) -> str:
    """The expression that Prometheus' page of a rule shows; empty if this is no such page.

    >>> expr_of("http://prometheus:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1")
    'up == 0'
    """
    try:
        found = urllib.parse.parse_qs(urllib.parse.urlsplit(generator_url).query)
    except ValueError:
        return ""
    return found.get("g0.expr", [""])[0]


def _preset(name: str, settings: config.Settings) -> presets.PresetQuery | None:
    every = (each for preset in settings.presets for each in presets.PRESETS[preset])
    return next((each for each in every if each.name == name), None)


def _of_condition(rule: base.Condition, given: base.Given) -> Subject | None:
    """None where the expression of its alert says as much."""
    if isinstance(rule, cost.Cost):
        return _of_cost(rule, given)
    if not isinstance(
        rule, metric_threshold.MetricThreshold | rate_of_change.RateOfChange | forecast.Forecast
    ):
        return None
    expr = rule.bare(given)
    compared = promql.comparison_of(expr.fire)
    if rule.metric_name is None or expr.universe is None or compared is None:
        return None
    kind = "forecast" if isinstance(rule, forecast.Forecast) else ""
    unit = _unit(rule, catalogue.metric_of(rule.metric_name).unit)
    return _limited(expr.universe, compared.operator, compared.threshold, unit, kind)


def _unit(rule: base.Condition, unit: str) -> str:
    if isinstance(rule, metric_threshold.MetricThreshold):
        functions = [each and each.function for each in (rule.over_time, rule.aggregate)]
        return "" if any(each in _COUNTED for each in functions) else unit
    if isinstance(rule, rate_of_change.RateOfChange):
        if rule.measure is rate_of_change.Measure.PERCENT:
            return "%"
        is_rate = rule.measure in (rate_of_change.Measure.SLOPE, rate_of_change.Measure.RATE)
        return f"{unit} a second".strip() if is_rate else unit
    return unit


def _of_cost(rule: cost.Cost, given: base.Given) -> Subject:
    money = rule.money()
    if rule.measure is cost.Measure.JUMP:
        risen = [
            *([] if rule.above_percent is None else [f"{rule.above_percent:g} %"]),
            *([] if rule.above is None else [quantities.quantity(rule.above, quantities.MONEY)]),
        ]
        expected = f"a rise of at most {' and '.join(risen)} within a week"
        return Subject(money.expr, unit=quantities.MONEY, expected=expected, money=money.expr)
    operator = comparing.SYMBOLS[comparing.Operator(rule.operator)]
    return _limited(money.expr, operator, rule.limit(), quantities.MONEY, money=money)


def _of_expr(expr: str) -> Subject | None:
    if not expr or len(expr) > LONGEST_EXPR or _OF_NOTHING.match(expr):
        return None
    try:
        compared = promql.comparison_of(expr)
    except ValueError:
        return None
    if compared is None or len(compared.value) > LONGEST_EXPR:
        return Subject(expr)
    return _limited(compared.value, compared.operator, compared.threshold, "")


def _limited(
    expr: str,
    operator: str,
    limit: float,
    unit: str,
    kind: str = "",
    money: base.Money | None = None,
) -> Subject:
    bound = _BOUNDS.get(operator, "")
    expected = f"{bound} {quantities.quantity(limit, unit)}".strip()
    return Subject(
        expr,
        unit=unit,
        kind=kind,
        expected=expected,
        limit=limit,
        money="" if money is None else money.expr,
        over=None if money is None else money.limit,
    )
