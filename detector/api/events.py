"""Where Alertmanager's event recorder delivers: POST /api/webhooks/events.

The body is one event, a protobuf message as JSON (0.33: eventrecorder/eventrecorderpb). What was
told to people is in those that have `data.notification`; all others are passed over.
"""

from collections.abc import Callable
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends
from pydantic import Field

from detector import alerts, deliveries
from detector.api import bodies, episodes, instants, problems, webhook
from detector.services import ledger

LARGEST = 2**64 - 1


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

    @routes.post(f"{webhook.PREFIX}events", openapi_extra=bodies.described_whole(Event))
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
