"""Series that should be there and are not."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pydantic

from detector.policy import catalogue, promql, sections
from detector.policy.conditions import base, selecting


class Absent(selecting.Selecting):
    """No series of a metric passes the filters; or, with `seen_within`, one that did is gone.

    seen_within  a series counts as gone if it was there in this time and is not now
    """

    type: Literal["absent"]
    metric_name: sections.MetricName
    seen_within: sections.Range | None = None

    @pydantic.field_validator("seen_within")
    @classmethod
    def _outlasts_for(
        cls, within: timedelta | None, given: pydantic.ValidationInfo
    ) -> timedelta | None:
        wait = given.data.get("for_", timedelta(0))
        if within is not None and within <= wait:
            raise ValueError(
                f"more than for ({promql.duration(wait)}) is allowed, else nothing fires"
            )
        return within

    def bare(self, given: base.Given) -> base.Expr:
        series = selecting.selector(catalogue.metric_of(self.metric_name).series, self.labels)
        if self.seen_within is None:
            fire = f"absent({series})"
            return base.Expr(fire, fire, None)
        seen = f"last_over_time({series}[{promql.duration(self.seen_within)}])"
        fire = f"{seen} unless {series}"
        return base.Expr(fire, fire, seen)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        if level in (base.Level.EDGE, base.Level.HELD):
            raise base.NotStagedError("a series is there or not")
        series = catalogue.metric_of(self.metric_name).series
        value = None if level is base.Level.MET else 1.0
        return (base.Staged(series, selecting.example(self.labels), value),)

    @property
    def needs_series(self) -> bool:
        return self.seen_within is not None

    @property
    def reach(self) -> timedelta:
        return timedelta(0) if self.seen_within is None else self.seen_within

    @property
    def settles(self) -> timedelta:
        return timedelta(0)
