"""What is measured: GET /api/metrics and POST /api/metrics/collect."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from detector import errors
from detector.api import auth
from detector.services import collecting, readings

OFF = "anomaly detection is turned off: nothing is collected"


class Value(pydantic.BaseModel):
    """A series and its value."""

    labels: dict[str, str]
    value: float


class Metric(pydantic.BaseModel):
    """A name that policies use, and its values now."""

    name: str
    metric: str = Field(description="Of Prometheus.")
    unit: str
    help: str
    threshold: float | None = Field(description="Of policies that name none; null: there is none.")
    series: int
    values: list[Value] = Field(description="The highest first, 100 at most.")


class Metrics(pydantic.BaseModel):
    """The catalogue, or the metric that was asked for."""

    metrics: list[Metric]


class Collected(pydantic.BaseModel):
    """What became of one query."""

    query: str
    samples: int = Field(description="That came in; 0 where the newest step had been read already.")
    scores: int = Field(description="That went out.")
    series: int
    duration_s: float
    error: str


class Collection(pydantic.BaseModel):
    """What came in and went out."""

    samples: int
    scores: int
    queries: list[Collected]


def router(
    known: readings.Readings,
    collect: Callable[[], tuple[collecting.Collected, ...]] | None,
    guards: auth.Guards,
    *,
    clock: Callable[[], datetime],
) -> APIRouter:
    """The routes: viewers read, operators have it collected.

    collect  None where nothing is scored
    """
    routes = APIRouter(prefix="/api/metrics", tags=["metrics"])

    @routes.get("", dependencies=[Depends(guards.viewer)])
    def list_metrics(
        name: Annotated[
            str | None,
            Query(min_length=1, max_length=200, description="Only this one, or any of Prometheus."),
        ] = None,
    ) -> Metrics:
        """The names that policies use, what they mean, and what they are now. 404 with the nearest
        names for one that is not known."""
        at = clock()
        found = list(known.all_metrics(at)) if name is None else [known.one_metric(name, at)]
        return Metrics(metrics=[_metric(each) for each in found])

    @routes.post("/collect", dependencies=[Depends(guards.operator)])
    def collect_now() -> Collection:
        """Read and score all queries now, and tell what came in and out. 409 while that is under
        way, and where nothing is scored."""
        if collect is None:
            raise errors.ConflictError(OFF)
        found = collect()
        return Collection(
            samples=sum(each.samples for each in found),
            scores=sum(each.scores for each in found),
            queries=[
                Collected(
                    query=each.query,
                    samples=each.samples,
                    scores=each.scores,
                    series=each.series,
                    duration_s=each.duration_s,
                    error=each.error,
                )
                for each in found
            ],
        )

    return routes


def _metric(reading: readings.Reading) -> Metric:
    return Metric(
        name=reading.name,
        metric=reading.metric.series,
        unit=reading.metric.unit,
        help=reading.metric.help,
        threshold=reading.threshold,
        series=reading.series,
        values=[Value(labels=dict(labels), value=value) for labels, value in reading.values],
    )
