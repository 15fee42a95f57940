"""The kinds of condition, by the word that stands as `type` in a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import Field

from detector.policy.conditions import (
    absent,
    all_of,
    anomaly,
    any_of,
    base,
    cost,
    drift,
    expression,
    forecast,
    metric_threshold,
    not_of,
    rate_of_change,
)

AnyCondition: TypeAlias = Annotated[
    metric_threshold.MetricThreshold
    | anomaly.Anomaly
    | drift.Drift
    | rate_of_change.RateOfChange
    | forecast.Forecast
    | absent.Absent
    | cost.Cost
    | expression.Expression
    | all_of.AllOf
    | any_of.AnyOf
    | not_of.NotOf,
    Field(discriminator="type"),
]

TYPES: Mapping[str, type[base.Condition]] = {
    "metric_threshold": metric_threshold.MetricThreshold,
    "anomaly": anomaly.Anomaly,
    "drift": drift.Drift,
    "rate_of_change": rate_of_change.RateOfChange,
    "forecast": forecast.Forecast,
    "absent": absent.Absent,
    "cost": cost.Cost,
    "expression": expression.Expression,
    "all": all_of.AllOf,
    "any": any_of.AnyOf,
    "not": not_of.NotOf,
}


class _Namespace:
    """What the conditions that hold conditions call this module."""

    AnyCondition = AnyCondition


for _joined in (all_of.AllOf, any_of.AnyOf, not_of.NotOf):
    _joined.model_rebuild(_types_namespace={"table": _Namespace})
