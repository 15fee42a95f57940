"""Remembered alerts: GET /api/alerts and GET /api/alerts/{id}."""

from datetime import datetime
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, Field

from detector import alerts, frames, ports
from detector.api import auth, instants, paging, problems
from detector.policy import compiler

SEVERITY = "severity"
LONGEST_TEXT, MOST_WORDS = 500, 10


def _words(given: str) -> str:
    words = "".join(each if each.isalnum() else " " for each in given).split()
    if len(given) > LONGEST_TEXT or len(words) > MOST_WORDS or (given and not words):
        raise ValueError(
            f"1 to {MOST_WORDS} words of letters and digits, {LONGEST_TEXT} characters"
        )
    return given


Words = Annotated[str, AfterValidator(_words)]


class AlertsQuery(pydantic.BaseModel):
    """Which alerts are wanted."""

    model_config = pydantic.ConfigDict(extra="forbid")

    state: alerts.State | None = Field(None, description="firing or resolved.")
    status: alerts.Status | None = Field(
        None, description="firing, acknowledged, silenced, inhibited or resolved."
    )
    label: list[paging.Label] = Field(
        [], max_length=50, description="name:value that the alert must have; may be repeated."
    )
    severity: str = Field("", max_length=200, description="Its label severity.")
    policy: str = Field("", max_length=200, description="Its label policy.")
    owner: str = Field("", max_length=200, description="Who acknowledged it last.")
    feedback: alerts.Feedback | None = Field(None, description="true, false_alarm or planned.")
    q: Words = Field(
        "", description="Words, each of which begins a word of its labels or annotations."
    )
    since: instants.Instant | None = Field(None, description="Had not ended before it (RFC 3339).")
    until: instants.Instant | None = Field(None, description="Started before it (RFC 3339).")
    cursor: paging.Cursor = None
    limit: int = Field(100, ge=1, le=1000, description="Alerts of a page.")

    def wanted(self) -> alerts.EpisodeFilter:
        """The same for the store."""
        named = ((SEVERITY, self.severity), (compiler.POLICY, self.policy))
        return alerts.EpisodeFilter(
            state=self.state,
            status=self.status,
            labels=(*paging.pairs(self.label), *(pair for pair in named if pair[1])),
            owner=self.owner,
            feedback=self.feedback,
            text=self.q,
            since=self.since,
            until=self.until,
            before_id=self.cursor,
            limit=self.limit,
        )


class Alert(pydantic.BaseModel):
    """One alert from its start to its end."""

    id: int
    fingerprint: str
    state: alerts.State
    starts_at: datetime
    ends_at: datetime | None = Field(description="null while it fires.")
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str
    received_at: datetime = Field(description="First heard of.")
    updated_at: datetime = Field(description="First heard of what it says now.")
    status: alerts.Status = Field(description="Its state, and while it fires, who hears of it.")
    owner: str = Field(description='Who acknowledged it; "" for nobody.')
    feedback: alerts.Feedback | None = Field(description="What a person says that it was.")
    facts: dict[str, str] = Field(description="value, expected, kind, score and the like.")


class Transition(pydantic.BaseModel):
    """A change of state, and when it was heard of; or what a person said of it meanwhile."""

    state: alerts.Status
    received_at: datetime
    by: str = Field(description='Who did it; "" where no person did.')
    note: str
    feedback: alerts.Feedback | None = Field(description="null for a change of state.")


class AlertWithTransitions(Alert):
    """One alert and its changes of state, oldest first."""

    transitions: list[Transition]


class AlertPage(pydantic.BaseModel):
    """Alerts, newest start first."""

    alerts: list[Alert]
    next_cursor: str | None = Field(description="null on the last page.")


def router(store: ports.EpisodeStore, guards: auth.Guards) -> APIRouter:
    """The two routes."""
    routes = APIRouter(prefix="/api/alerts", tags=["alerts"], dependencies=[Depends(guards.viewer)])

    @routes.get("")
    def list_alerts(query: Annotated[AlertsQuery, Query()]) -> AlertPage:
        """Alerts ever told of, newest start first."""
        page = store.list_episodes(query.wanted())
        return AlertPage(
            alerts=[shown(each) for each in page.episodes],
            next_cursor=None if page.next_id is None else paging.cursor_after(page.next_id),
        )

    @routes.get("/{alert_id}")
    def show_alert(
        alert_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)],
    ) -> AlertWithTransitions:
        """One alert with its changes of state."""
        found = store.episode(alert_id)
        if found is None:
            raise problems.Problem(404, f"alert_id: {alert_id}: no alert has this id")
        return shown_whole(found)

    return routes


def shown_whole(episode: alerts.Episode) -> AlertWithTransitions:
    """With its history."""
    changes = [
        Transition(
            state=each.state,
            received_at=each.received_at,
            by=each.by,
            note=each.note,
            feedback=each.feedback,
        )
        for each in episode.transitions
    ]
    return AlertWithTransitions(**shown(episode).model_dump(), transitions=changes)


def shown(episode: alerts.Episode) -> Alert:
    """As lists have it."""
    return Alert(
        id=episode.id,
        fingerprint=episode.fingerprint,
        state=episode.state,
        starts_at=episode.starts_at,
        ends_at=episode.ends_at,
        labels=_texts(episode.labels),
        annotations=_texts(episode.annotations),
        generator_url=episode.generator_url,
        received_at=episode.received_at,
        updated_at=episode.updated_at,
        status=episode.status,
        owner=episode.owner,
        feedback=episode.feedback,
        facts=_texts(episode.facts),
    )


def _texts(labels: frames.Labels) -> dict[str, str]:
    return dict(labels)
