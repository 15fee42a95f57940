"""What will be used up soon, if it goes on as it does."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pydantic

from detector import config
from detector.policy import catalogue, promql, sections
from detector.policy.conditions import base, comparing, selecting

EXHAUSTION = "anomaly_exhaustion_seconds"


class Forecast(selecting.Selecting):
    """A limit that is reached within some time.

    metric_name  a straight line through its last `history` reaches the `limit`
    query        the detector's own forecast of the query, which has its limit (`exhaustion`)
    """

    type: Literal["forecast"]
    metric_name: sections.MetricName | None = None
    query: config.Name | None = None
    within: sections.Range
    limit: sections.Finite | None = None
    operator: Literal[comparing.Operator.GTE, comparing.Operator.LTE] = comparing.Operator.GTE
    history: sections.Range = timedelta(hours=1)

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> Forecast:
        if (self.metric_name is None) == (self.query is None):
            raise ValueError("metric_name or query is needed, not both")
        if (self.metric_name is None) != (self.limit is None):
            raise ValueError("limit: a number is needed with metric_name, and only there")
        return self

    def bare(self, given: base.Given) -> base.Expr:
        within_s = promql.number(self.within.total_seconds())
        if self.metric_name is None:
            series = selecting.selector(EXHAUSTION, self.labels, selecting.of_query(self.query))
            fire = f"{series} <= {within_s}"
            return base.Expr(fire, fire, None)
        metric = catalogue.metric_of(self.metric_name)
        series = selecting.selector(metric.series, self.labels)
        value = f"predict_linear({series}[{promql.duration(self.history)}], {within_s})"
        if metric.scale != 1:
            value = f"{promql.number(metric.scale)} * {value}"
        return comparing.expr(value, self.operator, self._limit(), None)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        within_s = self.within.total_seconds()
        if self.metric_name is None:
            labels = selecting.example(self.labels, selecting.of_query(self.query))
            left = comparing.value_at(level, comparing.Operator.LTE, within_s, None)
            return (base.Staged(EXHAUSTION, labels, left),)
        if level in (base.Level.EDGE, base.Level.HELD):
            raise base.NotStagedError("a line through samples is not exact to the last digit")
        metric = catalogue.metric_of(self.metric_name)
        sign = 1.0 if self.operator is comparing.Operator.GTE else -1.0
        span = max(abs(self._limit()), 1.0) / metric.scale
        limit = self._limit() / metric.scale
        labels = selecting.example(self.labels)
        if level is base.Level.QUIET:
            return (base.Staged(metric.series, labels, limit - sign * span),)
        # It starts half of the way below the limit and would pass it in a quarter of the time.
        return (
            base.Staged(metric.series, labels, limit - sign * span / 2, sign * 2 * span / within_s),
        )

    @property
    def reach(self) -> timedelta:
        return self.history if self.metric_name is not None else timedelta(0)

    @property
    def fires_at_edge(self) -> bool:
        return True

    def _limit(self) -> float:
        assert self.limit is not None  # noqa: S101 - validated: it comes with a metric_name
        return self.limit
