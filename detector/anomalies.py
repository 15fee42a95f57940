"""Anomalies of single series: what is remembered of one, and what is asked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from detector import frames

ID_BITS = 52
"""Of an incident's id: the most that every JSON reader keeps exact is 53."""


class State(StrEnum):
    """Whether it still lasts."""

    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Key:
    """What an anomaly is known by, however often it is told of."""

    query: str
    labels: frames.Labels
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Residual:
    """How far a value was from one reference: `times` its usual difference, below it if negative.

    >>> Residual("average of the last 20 points", 38.2, 4.5).text
    '38 times the usual difference from the average of the last 20 points'
    """

    reference: str
    times: float
    value: float

    @property
    def text(self) -> str:
        """The same in words."""
        times = abs(self.times)
        number = f"{times:.0f}" if times >= 10 else f"{times:.1f}"
        return f"{number} times the usual difference from the {self.reference}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which features spoke in one sample.

    residuals  largest first
    rises      how far each member of the ensemble stood above its level, those that were ready
    record     what the score was made from (models.decisions), empty where it was not kept
    """

    residuals: tuple[Residual, ...] = ()
    rises: Mapping[str, float] = field(default_factory=dict)
    record: bytes = field(default=b"", repr=False)


UNEXPLAINED = Explanation()


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly as it stands at last_at; ended_at is None while it lasts.

    peak_at, peak_score
        where its score was highest; if that was never above 1, where it opened
    value, expected, lower, upper, explanation
        at peak_at; NaN, all but the explanation, where the sample was missing
    last_score  0 where the sample was missing, and peak_score likewise
    """

    query: str
    labels: frames.Labels
    opened_at: datetime
    ended_at: datetime | None
    kind: str
    peak_at: datetime
    peak_score: float
    value: float
    expected: float
    lower: float
    upper: float
    last_at: datetime
    last_score: float
    explanation: Explanation = UNEXPLAINED

    @property
    def key(self) -> Key:
        """What it is known by."""
        return Key(self.query, self.labels, self.opened_at)

    @property
    def state(self) -> State:
        """Whether it still lasts."""
        return State.OPEN if self.ended_at is None else State.ENDED


def score_of_sample(score: float) -> float:
    """The same; 0 of a missing sample, which has none: NaN is nobody's highest score.

    >>> score_of_sample(float("nan"))
    0.0
    """
    return 0.0 if math.isnan(score) else score


def without_record(anomaly: Anomaly) -> Anomaly:
    """The same without what its score was made from."""
    if not anomaly.explanation.record:
        return anomaly
    return replace(anomaly, explanation=replace(anomaly.explanation, record=b""))


def with_record(anomaly: Anomaly, before: Anomaly | None) -> Anomaly:
    """The same with the record of earlier news of it, if that is of the same peak."""
    if before is None or anomaly.explanation.record or before.peak_at != anomaly.peak_at:
        return anomaly
    return replace(anomaly, explanation=before.explanation)


IncidentId: TypeAlias = int


def incident_id(first: Key) -> IncidentId:
    """The id of the incident that this anomaly begins: the same one whenever it is asked for."""
    parts = [
        first.query,
        first.opened_at.isoformat(),
        *(part for pair in first.labels for part in pair),
    ]
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return (int.from_bytes(hashlib.sha256(text).digest()[:8]) >> (64 - ID_BITS)) or 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """An anomaly in the store, with its id there and the incident it belongs to."""

    id: int
    anomaly: Anomaly
    incident: IncidentId


@dataclass(frozen=True, slots=True)
class Cause:
    """Label values that carry a deviation.

    labels    one value, or several that must all hold
    same      other values that the same series have
    score     coverage times the log of lift: 0 says nothing, ranking goes by it
    coverage  ratio of the deviation that these series hold
    lift      coverage over their share of all series
    series    how many have these values, and how many of them deviate
    """

    labels: frames.Labels
    score: float
    coverage: float
    lift: float
    series: int
    deviating: int
    same: frames.Labels = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """Anomalies that belong together; ended_at is None while one of them lasts.

    first_query, first_labels  of the member that opened first
    """

    id: IncidentId
    opened_at: datetime
    ended_at: datetime | None
    members: int
    peak_score: float
    first_query: str
    first_labels: frames.Labels
    causes: tuple[Cause, ...] = ()

    @property
    def state(self) -> State:
        """Whether it still lasts."""
        return State.OPEN if self.ended_at is None else State.ENDED


@dataclass(frozen=True, slots=True)
class Filter:
    """Which anomalies or incidents are wanted; None and () mean any.

    query, labels, kind  of anomalies; of incidents, that one member must have all of
    since      had not ended before it
    until      opened before it
    before_id  keyset paging: the page after the one with this id
    limit      rows of a page, 1 to 1000
    """

    query: str | None = None
    labels: frames.Labels = ()
    kind: str | None = None
    state: State | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Anomalies, newest opening first; next_id is None on the last page."""

    anomalies: tuple[Remembered, ...]
    next_id: int | None


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Incidents, newest opening first; next_id is None on the last page."""

    incidents: tuple[Incident, ...]
    next_id: int | None
