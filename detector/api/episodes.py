"""Remembered alerts: GET /api/alerts and below."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, Field

from detector import alerts, deliveries, frames, messages, ports
from detector.api import auth, exports, instants, paging, problems
from detector.policy import compiler
from detector.services import portions

SEVERITY = "severity"
USUAL_RANGE = timedelta(days=30)
SHOWN_DIGITS = 4
"""Of a phone number: viewers may know that somebody was told, not all that it takes to call."""
OWN_RECEIVERS = re.compile(r"memory|heartbeat|(sms|notify)(-.+)?")
"""Of alertmanager.yml: our own webhooks."""
UNKNOWN = "unknown_per_alert"
NOT_TOLD = "not known per alert: see alertmanager_notifications_total and _failed_total"
LONGEST_TEXT, MOST_WORDS = 500, 10


def _words(given: str) -> str:
    words = "".join(each if each.isalnum() else " " for each in given).split()
    if len(given) > LONGEST_TEXT or len(words) > MOST_WORDS or (given and not words):
        raise ValueError(
            f"1 to {MOST_WORDS} words of letters and digits, {LONGEST_TEXT} characters"
        )
    return given


Words = Annotated[str, AfterValidator(_words)]


class AlertsFilter(pydantic.BaseModel):
    """Which alerts are wanted, of all pages."""

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
        )


class AlertsQuery(AlertsFilter):
    """Which alerts are wanted."""

    cursor: paging.Cursor = None
    limit: int = Field(100, ge=1, le=1000, description="Alerts of a page.")

    def wanted(self) -> alerts.EpisodeFilter:
        """The same for the store."""
        return dataclasses.replace(super().wanted(), before_id=self.cursor, limit=self.limit)


class ExportQuery(AlertsFilter):
    """Which alerts are wanted, and as what."""

    format: exports.Format = Field(exports.Format.JSON, description="json or csv.")


class StatisticsQuery(pydantic.BaseModel):
    """Of which time."""

    model_config = pydantic.ConfigDict(extra="forbid")

    since: instants.Instant | None = Field(None, description="30 days before until, unless said.")
    until: instants.Instant | None = Field(None, description="Now, unless said.")


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


class Delivery(pydantic.BaseModel):
    """What one channel did to tell one person, or all of a receiver."""

    channel: str = Field(description="sms, notify-NAME, or a receiver of Alertmanager.")
    recipient: str = Field(description='The end of a number; "" for a receiver.')
    provider: str
    state: str = Field(
        description="As of messages; `unknown_per_alert` for a receiver of Alertmanager of which "
        "no event tells."
    )
    at: datetime | None
    reason: str
    of: alerts.State | None = Field(
        None, description="What Alertmanager told, as its events say; null for all others."
    )


class AlertWithTransitions(Alert):
    """One alert and its changes of state, oldest first."""

    transitions: list[Transition]


class AlertWithDeliveries(AlertWithTransitions):
    """And what was told of it, oldest first."""

    deliveries: list[Delivery]


class Times(pydantic.BaseModel):
    """Of some alerts."""

    mean: float
    median: float


class Tally(pydantic.BaseModel):
    """What became of some alerts; null where none tells."""

    name: str
    count: int = Field(description="How many began.")
    flapping: float = Field(description="Share that began within an hour of its last beginning.")
    without_action: float = Field(description="Share that nobody acknowledged, silenced, judged.")
    acknowledge_s: Times | None = Field(description="To the first acknowledgement.")
    resolve_s: Times | None = Field(description="To the end.")


class AlertStatistics(pydantic.BaseModel):
    """Of alerts that began in a time, tests apart."""

    since: datetime
    until: datetime
    sampled: float = Field(description="Share that was looked at; counts are of all.")
    total: Tally
    rules: list[Tally] = Field(description="Of the 20 most frequent rules.")
    severities: list[Tally]


class AlertPage(pydantic.BaseModel):
    """Alerts, newest start first."""

    alerts: list[Alert]
    next_cursor: str | None = Field(description="null on the last page.")


def router(
    store: ports.EpisodeStore,
    sent: ports.MessageStore | None,
    told: ports.DeliveryStore,
    guards: auth.Guards,
    *,
    clock: Callable[[], datetime],
) -> APIRouter:
    """The routes that read; `sent` tells of SMS where there are any, `told` of receivers of
    Alertmanager's own."""
    routes = APIRouter(prefix="/api/alerts", tags=["alerts"], dependencies=[Depends(guards.viewer)])

    @routes.get("")
    def list_alerts(query: Annotated[AlertsQuery, Query()]) -> AlertPage:
        """Alerts ever told of, newest start first."""
        page = store.list_episodes(query.wanted())
        return AlertPage(
            alerts=[shown(each) for each in page.episodes],
            next_cursor=None if page.next_id is None else paging.cursor_after(page.next_id),
        )

    @routes.get("/export", response_class=StreamingResponse)
    def export_alerts(query: Annotated[ExportQuery, Query()]) -> StreamingResponse:
        """All alerts that match, newest start first, as one file."""
        found = portions.pages(store, query.wanted())
        first = next(found)  # what is wrong with the store is told before the file begins
        rows = map(shown, itertools.chain(first, itertools.chain.from_iterable(found)))
        return exports.answer(query.format, Alert, rows)

    @routes.get("/statistics")
    def alert_statistics(query: Annotated[StatisticsQuery, Query()]) -> AlertStatistics:
        """The noisiest rules, and how long it takes to acknowledge and to resolve."""
        until = query.until or clock()
        since = query.since or until - USUAL_RANGE
        if since >= until:
            raise problems.Problem(422, f"since: {since.isoformat()}: must be before until")
        found = store.statistics(since, until)
        return AlertStatistics(
            since=since,
            until=until,
            sampled=found.sampled,
            total=_tally(found.total),
            rules=[_tally(each) for each in found.rules],
            severities=[_tally(each) for each in found.severities],
        )

    @routes.get("/{alert_id}")
    def show_alert(
        alert_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)],
    ) -> AlertWithDeliveries:
        """One alert with its changes of state and deliveries."""
        found = store.episode(alert_id)
        if found is None:
            raise problems.Problem(404, f"alert_id: {alert_id}: no alert has this id")
        key = messages.Key(found.fingerprint, found.starts_at)
        ours = () if sent is None else sent.about(key)
        return AlertWithDeliveries(
            **shown_whole(found).model_dump(),
            deliveries=[*map(_delivery, ours), *_by_alertmanager(found, told.about(key))],
        )

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


def _delivery(message: messages.Message) -> Delivery:
    is_number = message.recipient.startswith("+")
    return Delivery(
        channel="sms" if is_number else f"notify-{message.recipient}",
        recipient=f"...{message.recipient[-SHOWN_DIGITS:]}" if is_number else "",
        provider=message.provider,
        state=message.state.value,
        at=message.updated_at,
        reason=message.reason,
    )


def _by_alertmanager(
    episode: alerts.Episode, told: Sequence[deliveries.Delivery]
) -> Iterator[Delivery]:
    """What its events tell. What it counts is by kind of receiver, not by alert."""
    for each in told:
        yield Delivery(
            channel=each.receiver,
            recipient="",
            provider=each.integration,
            state=messages.State.SENT.value,
            at=each.at,
            reason="",
            of=each.state,
        )
    known = {each.receiver for each in told}
    for name in dict(episode.facts).get(alerts.RECEIVERS, "").split(", "):
        if name and name not in known and OWN_RECEIVERS.fullmatch(name) is None:
            yield Delivery(
                channel=name, recipient="", provider="", state=UNKNOWN, at=None, reason=NOT_TOLD
            )


def _tally(tally: alerts.Tally) -> Tally:
    return Tally(
        name=tally.name,
        count=tally.count,
        flapping=tally.flapping,
        without_action=tally.without_action,
        acknowledge_s=_times(tally.acknowledge_s),
        resolve_s=_times(tally.resolve_s),
    )


def _times(pair: tuple[float, float] | None) -> Times | None:
    return None if pair is None else Times(mean=pair[0], median=pair[1])


def _texts(labels: frames.Labels) -> dict[str, str]:
    return dict(labels)
