"""A metric above, below, at or beside a threshold."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

import pydantic
from pydantic import Field

from detector import config
from detector.policy import catalogue, promql, sections
from detector.policy.conditions import base, comparing, selecting


class OverTime(StrEnum):
    """What is made of each series' samples of a stretch of time."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    LAST = "last"
    STDDEV = "stddev"
    QUANTILE = "quantile"


class Across(StrEnum):
    """What is made of several series."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    STDDEV = "stddev"
    QUANTILE = "quantile"


class _Summary(sections.Section):
    quantile: float | None = Field(None, ge=0, le=1)

    @pydantic.model_validator(mode="after")
    def _quantile_where_needed(self) -> _Summary:
        needed = getattr(self, "function", None) == "quantile"
        if needed and self.quantile is None:
            raise ValueError("quantile: a number from 0 to 1 is needed")
        if not needed and self.quantile is not None:
            raise ValueError("quantile: only for function quantile")
        return self


class TimeSummary(_Summary):
    """One value of each series' samples in the last `range`."""

    function: OverTime
    range: sections.Range


class SeriesSummary(_Summary):
    """One value of all series that are alike in the labels `by`, or in all but `without`."""

    function: Across
    by: tuple[config.LabelName, ...] | None = None
    without: tuple[config.LabelName, ...] | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> SeriesSummary:
        if self.by is not None and self.without is not None:
            raise ValueError("by or without is allowed, not both")
        return self


class MetricThreshold(comparing.Compared):
    """A metric of the catalogue, or of Prometheus, compared with a number."""

    type: Literal["metric_threshold"]
    metric_name: sections.MetricName
    operator: comparing.Operator
    threshold: sections.Finite | None = None
    over_time: TimeSummary | None = None
    aggregate: SeriesSummary | None = None

    def bare(self, given: base.Given) -> base.Expr:
        threshold = self._threshold(given)
        comparing.check_resolution(self.operator, threshold, self.resolve_when)
        metric = catalogue.metric_of(self.metric_name)
        value = selecting.selector(metric.series, self.labels)
        if self.over_time is not None:
            value = _over_time(value, self.over_time)
        if self.aggregate is not None:
            value = _across(value, self.aggregate)
        if metric.scale != 1:
            value = f"{promql.number(metric.scale)} * {value}"
        return comparing.expr(value, self.operator, threshold, self.resolve_when)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        value = comparing.value_at(level, self.operator, self._threshold(given), self.resolve_when)
        summary = self.over_time and self.over_time.function
        across = self.aggregate and self.aggregate.function
        for function in (summary, across):
            if function in ("sum", "count", "stddev"):
                raise base.NotStagedError(
                    f"what {function} gives depends on how many samples there are"
                )
        metric = catalogue.metric_of(self.metric_name)
        labels = selecting.example(self.labels)
        if self.aggregate is not None:
            for name in self.aggregate.by or ():
                labels.setdefault(name, "example")
        raw = comparing.unscaled(value, metric.scale, exact=level is base.Level.EDGE)
        return (base.Staged(metric.series, labels, raw),)

    @property
    def reach(self) -> timedelta:
        return self.over_time.range if self.over_time is not None else timedelta(0)

    @property
    def fires_at_edge(self) -> bool:
        return self.operator in comparing.WITH_EDGE

    def _threshold(self, given: base.Given) -> float:
        if self.threshold is not None:
            return self.threshold
        limit = catalogue.metric_of(self.metric_name).limit
        if limit is None:
            named = [name for name, each in catalogue.CATALOGUE.items() if each.limit]
            raise base.NotCompiledError(
                f"a number is needed: only {', '.join(named)} have one in the settings",
                ("threshold",),
            )
        return float(getattr(given.thresholds, limit))


def _over_time(value: str, summary: TimeSummary) -> str:
    first = "" if summary.quantile is None else f"{promql.number(summary.quantile)}, "
    return f"{summary.function}_over_time({first}{value}[{promql.duration(summary.range)}])"


def _across(value: str, summary: SeriesSummary) -> str:
    first = "" if summary.quantile is None else f"{promql.number(summary.quantile)}, "
    grouping = ""
    if summary.by is not None:
        grouping = f" by ({', '.join(summary.by)}) "
    elif summary.without is not None:
        grouping = f" without ({', '.join(summary.without)}) "
    return f"{summary.function}{grouping}({first}{value})"
