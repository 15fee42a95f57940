"""How fast a metric changes, or by how much it has changed."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from detector.policy import catalogue, promql, sections
from detector.policy.conditions import base, comparing, selecting


class Measure(StrEnum):
    """What is compared.

    difference  the value now less the value a window ago
    percent     the same, in percent of the value then; nothing where that was zero
    slope       per second, of the line through the window's samples
    rate        per second, of a counter, whose resets are seen through
    increase    over the window, of a counter
    """

    DIFFERENCE = "difference"
    PERCENT = "percent"
    SLOPE = "slope"
    RATE = "rate"
    INCREASE = "increase"


_FUNCTIONS = {Measure.SLOPE: "deriv", Measure.RATE: "rate", Measure.INCREASE: "increase"}
_START = 1000.0
"""Where the series of tests begin; any number above zero would do."""


class RateOfChange(comparing.Compared):
    """The change of a metric over a window, compared with a number."""

    type: Literal["rate_of_change"]
    metric_name: sections.MetricName
    measure: Measure = Measure.DIFFERENCE
    over: sections.Range
    operator: comparing.Operator
    threshold: sections.Finite

    def bare(self, given: base.Given) -> base.Expr:
        comparing.check_resolution(self.operator, self.threshold, self.resolve_when)
        metric = catalogue.metric_of(self.metric_name)
        value = self._value(selecting.selector(metric.series, self.labels))
        if metric.scale != 1 and self.measure is not Measure.PERCENT:
            value = f"{promql.number(metric.scale)} * {value}"
        return comparing.expr(value, self.operator, self.threshold, self.resolve_when)

    def _value(self, series: str) -> str:
        over = promql.duration(self.over)
        if self.measure in _FUNCTIONS:
            return f"{_FUNCTIONS[self.measure]}({series}[{over}])"
        before = f"{series} offset {over}"
        if self.measure is Measure.DIFFERENCE:
            return f"({series} - {before})"
        return f"100 * ({series} - {before}) / abs({before} != 0)"

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        if level in (base.Level.EDGE, base.Level.HELD):
            raise base.NotStagedError("a slope that is measured is not exact to the last digit")
        if self.operator in (comparing.Operator.EQ, comparing.Operator.NE):
            raise base.NotStagedError("a slope that is measured is not exact to the last digit")
        if self.measure is Measure.PERCENT:
            raise base.NotStagedError("what a change is in percent depends on where it began")
        metric = catalogue.metric_of(self.metric_name)
        value = comparing.value_at(level, self.operator, self.threshold, self.resolve_when)
        per_second = value / metric.scale
        if self.measure in (Measure.DIFFERENCE, Measure.INCREASE):
            per_second /= self.over.total_seconds()
        if per_second < 0 and self.measure in (Measure.RATE, Measure.INCREASE):
            raise base.NotStagedError("a counter never falls")
        labels = selecting.example(self.labels)
        return (base.Staged(metric.series, labels, _START, per_second),)

    @property
    def reach(self) -> timedelta:
        return self.over
