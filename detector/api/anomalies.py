"""Remembered anomalies and incidents: GET /api/anomalies, /api/incidents, /api/incidents/{id}."""

import math
from datetime import datetime
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from detector import anomalies, errors, frames, ports
from detector.api import auth, instants, paging, problems
from detector.services import replaying


class AnomaliesQuery(pydantic.BaseModel):
    """Which anomalies are wanted; of incidents, what one member must be like."""

    model_config = pydantic.ConfigDict(extra="forbid")

    query: str | None = Field(None, min_length=1, max_length=200, description="Name of the query.")
    label: list[paging.Label] = Field(
        [], max_length=50, description="name:value that the series must have; may be repeated."
    )
    kind: str | None = Field(None, min_length=1, max_length=50, description="Such as spike or dip.")
    state: anomalies.State | None = Field(None, description="open or ended.")
    since: instants.Instant | None = Field(None, description="Had not ended before it (RFC 3339).")
    until: instants.Instant | None = Field(None, description="Opened before it (RFC 3339).")
    cursor: paging.Cursor = None
    limit: int = Field(100, ge=1, le=1000, description="Rows of a page.")

    def wanted(self) -> anomalies.Filter:
        """The same for the store."""
        return anomalies.Filter(
            query=self.query,
            labels=paging.pairs(self.label),
            kind=self.kind,
            state=self.state,
            since=self.since,
            until=self.until,
            before_id=self.cursor,
            limit=self.limit,
        )


class Residual(pydantic.BaseModel):
    """How far the value was from one reference."""

    reference: str
    reference_value: float
    times: float = Field(description="Its usual difference; negative: the value is below.")


class Explanation(pydantic.BaseModel):
    """Which features spoke at the peak."""

    text: str = Field(description="The largest residual in words; empty if it is not known.")
    residuals: list[Residual] = Field(description="Largest first.")
    rises: dict[str, float] = Field(description="Of each member above its usual level.")


class Anomaly(pydantic.BaseModel):
    """One anomaly of one series; value, expected, lower, upper are those at its peak, null where
    the sample was missing."""

    id: int
    incident_id: int
    query: str
    labels: dict[str, str]
    state: anomalies.State
    kind: str
    opened_at: datetime
    ended_at: datetime | None = Field(description="null while it lasts.")
    peak_at: datetime = Field(description="If no score is above 1: where it opened.")
    peak_score: float = Field(description="0 where the sample was missing.")
    value: float | None
    expected: float | None
    lower: float | None
    upper: float | None
    last_at: datetime = Field(description="The newest step at which it was seen.")
    last_score: float
    explanation: Explanation


class Replay(pydantic.BaseModel):
    """The score of the peak made again from what it was made from, beside what is remembered."""

    anomaly: Anomaly
    samples: int = Field(description="Samples of the series before this one.")
    kind: str
    reason: str = Field(description="What made it an anomaly, in words.")
    score: float
    expected: float | None
    lower: float | None
    upper: float | None
    rises: dict[str, float] = Field(description="Of each member above its usual level.")
    engine: str = Field(description="Names the arithmetic that the anomaly was scored by.")
    engine_now: str = Field(description="That of this replay.")
    same: bool = Field(description="kind, score, expected, lower, upper are those of the peak.")


class AnomalyPage(pydantic.BaseModel):
    """Anomalies, newest opening first."""

    anomalies: list[Anomaly]
    next_cursor: str | None = Field(description="null on the last page.")


class LabelValue(pydantic.BaseModel):
    """A label and its value."""

    name: str
    value: str


class Cause(pydantic.BaseModel):
    """Label values that carry the deviation; all of `labels` hold together."""

    labels: dict[str, str]
    score: float = Field(description="coverage * ln(lift): the ranking goes by it.")
    coverage: float = Field(description="Ratio of the deviation that these series hold.")
    lift: float = Field(description="Coverage over their share of all series.")
    series: int = Field(description="Series that have these values.")
    deviating: int = Field(description="Those of them that deviate.")
    same: list[LabelValue] = Field(description="Other values of the very same series.")


class Incident(pydantic.BaseModel):
    """Anomalies that belong together; `first_*` is the member that opened first."""

    id: int
    state: anomalies.State
    opened_at: datetime
    ended_at: datetime | None = Field(description="null while a member lasts.")
    members: int
    peak_score: float
    first_query: str
    first_labels: dict[str, str]
    causes: list[Cause] = Field(description="Likeliest first.")


class IncidentWithMembers(Incident):
    """One incident and its members, the first 1,000, oldest opening first."""

    anomalies: list[Anomaly]


class IncidentPage(pydantic.BaseModel):
    """Incidents, newest opening first."""

    incidents: list[Incident]
    next_cursor: str | None = Field(description="null on the last page.")


AnomalyId = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]


def router(store: ports.AnomalyStore, guards: auth.Guards) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api", tags=["anomalies"], dependencies=[Depends(guards.viewer)])

    @routes.get("/anomalies")
    def list_anomalies(query: Annotated[AnomaliesQuery, Query()]) -> AnomalyPage:
        """Anomalies remembered, newest opening first."""
        page = store.list_anomalies(query.wanted())
        return AnomalyPage(
            anomalies=[_anomaly(each) for each in page.anomalies], next_cursor=_cursor(page.next_id)
        )

    @routes.get("/anomalies/{anomaly_id}")
    def show_anomaly(anomaly_id: AnomalyId) -> Anomaly:
        """One anomaly."""
        found = store.anomaly(anomaly_id)
        if found is None:
            raise _no_anomaly(anomaly_id)
        return _anomaly(found[0])

    @routes.get("/anomalies/{anomaly_id}/replay")
    def replay_anomaly(anomaly_id: AnomalyId) -> Replay:
        """Why it was an anomaly: its peak scored again from the series' state before it."""
        try:
            found = replaying.replay(store, anomaly_id)
        except errors.NotEnoughData as error:
            raise problems.Problem(404, str(error)) from error
        if found is None:
            raise _no_anomaly(anomaly_id)
        return Replay(
            anomaly=_anomaly(found.remembered),
            samples=found.samples,
            kind=found.kind,
            reason=found.reason,
            score=found.score,
            expected=_number(found.expected),
            lower=_number(found.lower),
            upper=_number(found.upper),
            rises=dict(found.rises),
            engine=found.engine,
            engine_now=found.engine_now,
            same=found.is_same,
        )

    @routes.get("/incidents")
    def list_incidents(query: Annotated[AnomaliesQuery, Query()]) -> IncidentPage:
        """Incidents, newest opening first; query, label and kind are what one member has."""
        page = store.list_incidents(query.wanted())
        return IncidentPage(
            incidents=[_incident(each) for each in page.incidents],
            next_cursor=_cursor(page.next_id),
        )

    @routes.get("/incidents/{incident_id}")
    def show_incident(
        incident_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)],
    ) -> IncidentWithMembers:
        """One incident with its members, what they deviate by, and the likeliest causes."""
        found = store.incident(incident_id)
        if found is None:
            raise problems.Problem(404, f"incident_id: {incident_id}: no incident has this id")
        incident, members = found
        return IncidentWithMembers(
            **_incident(incident).model_dump(), anomalies=[_anomaly(each) for each in members]
        )

    return routes


def _no_anomaly(anomaly_id: int) -> problems.Problem:
    return problems.Problem(404, f"anomaly_id: {anomaly_id}: no anomaly has this id")


def _cursor(next_id: int | None) -> str | None:
    return None if next_id is None else paging.cursor_after(next_id)


def _anomaly(row: anomalies.Remembered) -> Anomaly:
    anomaly = row.anomaly
    return Anomaly(
        id=row.id,
        incident_id=row.incident,
        query=anomaly.query,
        labels=_texts(anomaly.labels),
        state=anomaly.state,
        kind=anomaly.kind,
        opened_at=anomaly.opened_at,
        ended_at=anomaly.ended_at,
        peak_at=anomaly.peak_at,
        peak_score=anomaly.peak_score,
        value=_number(anomaly.value),
        expected=_number(anomaly.expected),
        lower=_number(anomaly.lower),
        upper=_number(anomaly.upper),
        last_at=anomaly.last_at,
        last_score=anomaly.last_score,
        explanation=_explanation(anomaly.explanation),
    )


def _number(found: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(found) else found


def _explanation(explanation: anomalies.Explanation) -> Explanation:
    told = explanation.residuals
    return Explanation(
        text=told[0].text if told else "",
        residuals=[
            Residual(reference=each.reference, reference_value=each.value, times=each.times)
            for each in told
        ],
        rises=dict(explanation.rises),
    )


def _incident(incident: anomalies.Incident) -> Incident:
    return Incident(
        id=incident.id,
        state=incident.state,
        opened_at=incident.opened_at,
        ended_at=incident.ended_at,
        members=incident.members,
        peak_score=incident.peak_score,
        first_query=incident.first_query,
        first_labels=_texts(incident.first_labels),
        causes=[_cause(each) for each in incident.causes],
    )


def _cause(cause: anomalies.Cause) -> Cause:
    return Cause(
        labels=_texts(cause.labels),
        score=cause.score,
        coverage=cause.coverage,
        lift=cause.lift,
        series=cause.series,
        deviating=cause.deviating,
        same=[LabelValue(name=name, value=value) for name, value in cause.same],
    )


def _texts(labels: frames.Labels) -> dict[str, str]:
    return dict(labels)
