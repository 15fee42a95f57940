"""Where Alertmanager's event recorder delivers: POST /api/webhooks/events.

The body is one event, a protobuf message as JSON (0.33: eventrecorder/eventrecorderpb). What was
told to people is in those that have `data.notification`; all others are passed over.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detector import alerts, deliveries
from detector.api import auth, bodies, episodes, instants, problems, webhook
from detector.services import ledger

PATH = f"{webhook.PREFIX}events"
LARGEST = 2**64 - 1
_OF_NO_MESSAGE = re.compile(rb'"data": ?\{ ?"alert(?:Created|Grouped|Resolved)"')
"""No label can say so: in a text of JSON the quotes would be escaped."""


def _fingerprint(given: str) -> str:
    """As Alertmanager's API writes it; here it is a decimal number."""
    number = int(given)
    if number > LARGEST:
        raise ValueError(f"at most {LARGEST}")
    return f"{number:016x}"


class EventDetails(pydantic.BaseModel):
    """What an alert is; protobuf leaves out what is false, 0 or empty."""

    fingerprint: Annotated[
        str, Field(pattern=r"^[0-9]{1,20}$"), pydantic.AfterValidator(_fingerprint)
    ]
    startsAt: instants.Instant
    resolved: bool = False


class EventAlert(pydantic.BaseModel):
    """One alert of a message."""

    details: EventDetails


class EventGroup(pydantic.BaseModel):
    """To whom it went."""

    receiverName: str = Field(max_length=1000)


class EventIntegration(pydantic.BaseModel):
    """By what; the index is of those of its kind in the receiver."""

    name: str = Field(max_length=200)
    index: int = 0


class EventNotification(pydantic.BaseModel):
    """A message that a receiver's service has taken."""

    alerts: list[EventAlert] = []
    groupInfo: EventGroup
    integration: EventIntegration


class EventKinds(pydantic.BaseModel):
    """One of many."""

    notification: EventNotification | None = None


class Event(pydantic.BaseModel):
    """What Alertmanager posts."""

    at: instants.Instant = Field(alias="@timestamp")
    data: EventKinds


class Kept(pydantic.BaseModel):
    """How many deliveries of an event were news, all of them in the database now."""

    stored: int


def router(kept: ledger.Ledger, guard: Callable[..., None], read: bodies.Reader) -> APIRouter:
    """The route, which asks for its token before it reads the body."""
    routes = APIRouter(tags=["webhooks"], dependencies=[Depends(guard)])

    @routes.post(PATH, openapi_extra=bodies.described_whole(Event))
    def take(body: Annotated[bytes, Depends(read)]) -> Kept:
        """Remember whom an event says to have been told of alerts; repeating it changes nothing.
        Events of other kinds, and of our own webhooks, are passed over."""
        try:
            event = bodies.parsed(body, Event)
        except problems.Problem:
            kept.refuse()
            raise
        return Kept(stored=kept.keep(deliveries_of(event)))

    return routes


def deliveries_of(event: Event) -> list[deliveries.Delivery]:
    """One for each alert of a message; none for an event of another kind or a webhook of ours."""
    told = event.data.notification
    if told is None or episodes.OWN_RECEIVERS.fullmatch(told.groupInfo.receiverName):
        return []
    by = told.integration
    return [
        deliveries.Delivery(
            fingerprint=alerts.Fingerprint(each.details.fingerprint),
            starts_at=webhook.in_milliseconds(each.details.startsAt),
            receiver=told.groupInfo.receiverName,
            integration=f"{by.name}[{by.index}]" if by.index else by.name,
            state=alerts.State.RESOLVED if each.details.resolved else alerts.State.FIRING,
            at=event.at,
        )
        for each in told.alerts
    ]


class PassingOver:
    """ASGI middleware: events of which there are many and that tell of no message are answered at
    once.

    Alertmanager tells one for each route that an alert goes by, each time that Prometheus repeats
    it. Answered so, one costs some 1.5 ms of CPU, by the route 3.4 ms.
    """

    def __init__(
        self, app: ASGIApp, *, token: auth.Token, kept: ledger.Ledger, deadline: timedelta
    ) -> None:
        self._app = app
        self._deadline_s = deadline.total_seconds()
        self._kept = kept
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_event = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        if not is_event or not self._is_let_in(scope):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                first = await receive()
        except TimeoutError:  # which the route tells in its own time
            await self._app(scope, receive, send)
            return
        if first["type"] == "http.request" and _OF_NO_MESSAGE.search(first["body"][:500]):
            self._kept.keep(())
            await JSONResponse({"stored": 0})(scope, receive, send)
            return
        waiting = [first]

        async def receive_all() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, receive_all, send)

    def _is_let_in(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        kind, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return kind.lower() == "bearer" and self._token.is_it(text)
