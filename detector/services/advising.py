"""Advice on policies that ask for anomalies: what they will cost, and what serves better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from detector import frames, ports
from detector.models import budget
from detector.policy import documents
from detector.policy.conditions import anomaly, base
from detector.services import previews

LOOK_BACK, STEP = timedelta(days=1), timedelta(minutes=10)
MOST_SERIES = 2_000
"""Of more, what shape they have is not looked at: it is asked for while somebody waits."""
LEAST_SAMPLES = 12
"""A series of fewer says nothing of its shape."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A query that the detector scores.

    limits  its valid_range; None where there is no bound
    """

    name: str
    expr: str
    budget: budget.Budget
    limits: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Shapes:
    """How many series there are, and how many of them are of a kind that scores say little of.

    two_values  have had no more than two values, such as 0 and 1, and both of them
    only_rise   have risen and never fallen: counters
    """

    series: int
    two_values: int
    only_rise: int


class Adviser:
    """Looks at the queries that a policy's anomaly conditions ask of. Threads may share it."""

    def __init__(
        self, reader: ports.SeriesReader, queries: Callable[[], Mapping[str, Watched]]
    ) -> None:
        self._reader = reader
        self._queries = queries

    def advice(self, document: documents.Document, at: datetime) -> tuple[previews.Warned, ...]:
        """What to know before such a policy is saved. Raises UpstreamError."""
        queries = self._queries()
        shapes: dict[str, Shapes] = {}
        found: dict[tuple[int, previews.Doubt, str], previews.Warned] = {}
        for number, rule in enumerate(document.rules, 1):
            for condition in _anomalies(rule.condition):
                for doubt, text in self._of_condition(condition, queries, shapes, at):
                    found[number, doubt, text] = previews.Warned(number, doubt, text)
        return tuple(found.values())

    def _of_condition(
        self,
        condition: anomaly.Anomaly,
        queries: Mapping[str, Watched],
        shapes: dict[str, Shapes],
        at: datetime,
    ) -> Iterator[tuple[previews.Doubt, str]]:
        if condition.query is not None and condition.query not in queries:
            known = ", ".join(sorted(queries)) or "none"
            told = f"query {condition.query}: the detector scores none of this name: {known}"
            yield previews.Doubt.NO_QUERY, told
            return
        meant = queries.values() if condition.query is None else [queries[condition.query]]
        weekly, series = 0.0, 0
        for query in meant:
            if query.name not in shapes:
                shapes[query.name] = self._shapes(query, at)
            seen = shapes[query.name]
            weekly += _weekly(query.budget, seen.series)
            series += seen.series
            yield from _of_shapes(query, seen)
        if series:
            yield previews.Doubt.BUDGET, _budget(weekly, series, condition)

    def _shapes(self, query: Watched, at: datetime) -> Shapes:
        table = frames.SeriesTable()
        at_ms = round(at.timestamp() * 1000)
        now = self._reader.read_instant(query.expr, at_ms=at_ms, table=table)
        series = int(np.isfinite(now).sum())
        if not 0 < series <= MOST_SERIES:
            return Shapes(series, 0, 0)
        step_ms = STEP // timedelta(milliseconds=1)
        end_ms = at_ms // step_ms * step_ms
        frame = self._reader.read_range(
            query.expr,
            start_ms=end_ms - LOOK_BACK // timedelta(milliseconds=1),
            end_ms=end_ms,
            step_ms=step_ms,
            table=frames.SeriesTable(),
        )
        return shapes_of(frame.values, series)


def shapes_of(values: frames.Floats, series: int) -> Shapes:
    """The shapes of float64[T, S], NaN where a series has no sample; of `series` in all."""
    two_values = only_rise = 0
    for column in values.T:
        known = column[np.isfinite(column)]
        if len(known) < LEAST_SAMPLES:
            continue
        two_values += len(np.unique(known)) == 2
        steps = np.diff(known)
        only_rise += bool((steps >= 0).all() and (steps > 0).sum() > 1)
    return Shapes(series, two_values, only_rise)


def _anomalies(condition: base.Condition) -> Iterator[anomaly.Anomaly]:
    if isinstance(condition, anomaly.Anomaly):
        yield condition
    for _, inner in condition.parts():
        yield from _anomalies(inner)


def _weekly(each: budget.Budget, series: int) -> float:
    shared = 1 if each.per is budget.Per.QUERY else series
    return each.alarms * (timedelta(weeks=1) / each.period) * shared


def _budget(weekly: float, series: int, condition: anomaly.Anomaly) -> str:
    count = "one series" if series == 1 else f"{series:,} series"
    higher = condition.score is not None and condition.score > 1
    told = f"up to {weekly:,.3g} alarms a week on nothing: that is the budget of {count}"
    return f"{told}; a score of {condition.score:g} makes them fewer" if higher else told


def _of_shapes(query: Watched, seen: Shapes) -> Iterator[tuple[previews.Doubt, str]]:
    of = f"of the {seen.series} series of query {query.name}"
    plain = "a plain threshold (metric_threshold)"
    if seen.two_values:
        had = f"{seen.two_values} {of} had two values in the last day"
        yield previews.Doubt.TWO_VALUES, f"{had}: {plain} serves them better"
    if seen.only_rise:
        rose = f"{seen.only_rise} {of} only ever rose in the last day"
        yield previews.Doubt.ONLY_RISES, f"{rose}: watch their rate() instead, or {plain}"
    if query.limits != (None, None):
        bounds = " to ".join("…" if each is None else f"{each:g}" for each in query.limits)
        limits = f"query {query.name} has hard limits ({bounds})"
        told = f"{plain} tells that they are reached, a forecast that they will be"
        yield previews.Doubt.LIMIT, f"{limits}: {told}"
