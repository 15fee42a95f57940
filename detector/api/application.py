"""The web application: routes over services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import fastapi
from prometheus_client import CollectorRegistry

from detector import __version__, alerts, links, ports, signing
from detector.api import (
    actions,
    anomalies,
    answers,
    auth,
    bodies,
    charts,
    episodes,
    events,
    limits,
    messages,
    metrics,
    parameters,
    policies,
    previews,
    probes,
    problems,
    receipts,
    reloads,
    silences,
    tokens,
    webhook,
)
from detector.policy import documents
from detector.services import (
    advising,
    answering,
    callers,
    collecting,
    heartbeats,
    ledger,
    memory,
    policy_states,
    previewing,
    publishing,
    raising,
    readings,
    reloading,
    silencing,
    status,
)

BODY_MAX_BYTES = 32 * 1024 * 1024
"""Some 10,000 alerts of 3 kB; Alertmanager's max_alerts keeps deliveries below it."""
BODY_DEADLINE = timedelta(seconds=10)
RATE = limits.Rate(burst=300, per_second=50)
"""Of one client. Alertmanager is none: it does not send again what is answered 429."""
REQUESTS_MAX = 100
"""At a time; FastAPI runs 40 of them, the others wait."""


@dataclass(frozen=True, slots=True)
class PolicyParts:
    """What the routes of policies stand on.

    previewer  at an instant
    interval   at which metrics are collected
    """

    store: ports.PolicyStore
    made: publishing.Publishing
    states: policy_states.PolicyStates
    previewer: Callable[[datetime], previewing.Previewer]
    readings: readings.Readings
    adviser: advising.Adviser
    interval: Callable[[], timedelta]


Tell: TypeAlias = Callable[[Sequence[alerts.Notification]], int]
"""Queues what is news; how many messages."""


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """What the routes need by which people do something about alerts.

    silencer  lists silences and ends them
    actions   of the addresses in messages
    """

    answers: answering.Answering
    raised: raising.Raising
    silences: silencing.Silencing
    silencer: ports.Silencer
    actions: actions.Actions


@dataclass(frozen=True, slots=True)
class MessageParts:
    """What the routes of messages need.

    tell      all who are told by SMS; None if nobody is
    teams     those of one team; services  one of `notify`; both by name
    """

    store: ports.MessageStore
    tell: Tell | None
    receive: receipts.Receive
    parsers: Mapping[str, receipts.Parse]
    signer: signing.Signer
    teams: Mapping[str, Tell | None] = field(default_factory=dict)
    services: Mapping[str, Tell] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToldParts:
    """Whom Alertmanager has told: what keeps it, and where it is kept."""

    kept: ledger.Ledger
    store: ports.DeliveryStore


@dataclass(frozen=True, slots=True)
class ChartParts:
    """What the route of pictures needs."""

    draw: Callable[[links.Target], bytes]
    signer: signing.Signer


def create_app(
    *,
    store: ports.EpisodeStore,
    anomaly_store: ports.AnomalyStore,
    token_store: ports.TokenStore,
    remembering: memory.Memory,
    status_source: status.StatusSource,
    registry: CollectorRegistry,
    api_token: auth.Token,
    webhook_token: auth.Token,
    clock: Callable[[], datetime],
    about: PolicyParts,
    beats: heartbeats.Heartbeats,
    late_after: timedelta,
    living: AnswerParts,
    told: ToldParts,
    sms: MessageParts | None = None,
    pictures: ChartParts | None = None,
    collect: Callable[[], tuple[collecting.Collected, ...]] | None = None,
    reload: Callable[[], reloading.Changes] | None = None,
    rate: limits.Rate = RATE,
    body_max_bytes: int = BODY_MAX_BYTES,
    body_deadline: timedelta = BODY_DEADLINE,
) -> fastapi.FastAPI:
    """All routes, each under /api for the role that it wants.

    late_after  how long no Watchdog may come before /-/watchdog says so
    """
    app = fastapi.FastAPI(
        title="Monitor/Drift Agent",
        version=__version__,
        description="Policies, remembered alerts and anomalies, and the state of the detector.",
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    problems.install(app)
    app.add_middleware(limits.RequestLimit, at_most=REQUESTS_MAX, exempt=probes.PATHS)
    exempt = (*probes.PATHS, webhook.PREFIX, receipts.PREFIX)
    app.add_middleware(limits.RateLimit, rate=rate, exempt=exempt)
    app.add_middleware(
        events.PassingOver, token=webhook_token, kept=told.kept, deadline=body_deadline
    )
    guards = auth.guards(api_token, callers.Callers(token_store, clock=clock))
    read = bodies.reader(max_bytes=body_max_bytes, deadline=body_deadline)
    guard = auth.webhook_guard(webhook_token)
    tells = webhook.Tells(sms.tell, sms.teams, sms.services) if sms else webhook.NOBODY
    app.include_router(webhook.router(remembering, tells, beats, guard, read))
    app.include_router(events.router(told.kept, guard, read))
    anything = bodies.reader(max_bytes=body_max_bytes, deadline=body_deadline, only_json=False)
    app.include_router(actions.router(living.actions, anything))
    if sms is not None:
        app.include_router(receipts.router(sms.signer, sms.parsers, sms.receive, anything))
    if pictures is not None:
        app.include_router(charts.router(pictures.signer, pictures.draw, clock=clock))
    for routes in (
        episodes.router(store, sms.store if sms else None, told.store, guards, clock=clock),
        answers.router(living.answers, living.raised, guards, read),
        silences.router(living.silencer, living.silences, guards, read),
        anomalies.router(anomaly_store, guards),
        previews.router(about.previewer, guards, read, interval=about.interval, clock=clock),
        policies.router(
            about.store,
            about.made,
            about.states,
            guards,
            read,
            lambda document: about.adviser.advice(document, clock()),
        ),
        metrics.router(about.readings, collect, guards, clock=clock),
        probes.status_router(status_source, guards),
        reloads.router(reload, guards),
        tokens.router(token_store, guards, read, clock=clock),
        *(() if sms is None else (messages.router(sms.store, guards),)),
    ):
        app.include_router(routes, dependencies=[fastapi.Depends(parameters.only_known(guards))])
    app.include_router(probes.router(status_source, registry, beats, late_after))
    _describe(app)
    return app


def _describe(app: fastapi.FastAPI) -> None:
    """Put the schemas that problems.RESPONSES and policies refer to into the OpenAPI document."""
    plain = app.openapi

    def whole() -> dict[str, object]:
        document = plain()
        schema = problems.ProblemDetails.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
        parts = document.setdefault("components", {}).setdefault("schemas", {})
        parts |= schema.pop("$defs")
        parts["ProblemDetails"] = schema
        parts |= documents.openapi_schemas(policies.SCHEMA_NAME)
        return document

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way
