"""Where Alertmanager delivers: POST /api/webhooks/alertmanager.

The body is Alertmanager's webhook message, version 4 (its documentation, <webhook_config>). Keys
that we do not know are newer than we are and are passed over.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import pydantic
from fastapi import APIRouter, Depends, Path
from pydantic import BeforeValidator, Field, JsonValue

from detector import alerts, frames
from detector.api import bodies, instants, problems
from detector.services import heartbeats, memory

logger = logging.getLogger(__name__)

PREFIX = "/api/webhooks/"
_REPORTED_MAX = 20
"""Problems that an answer names; a thousand alerts may share one mistake."""


def _absent_as_empty(value: object) -> object:
    return {} if value is None else value


Texts = Annotated[dict[str, str], BeforeValidator(_absent_as_empty)]


class WebhookAlert(pydantic.BaseModel):
    """One alert of a message; endsAt is the year 1 while it fires."""

    status: alerts.State
    labels: dict[str, str]
    annotations: Texts = {}
    startsAt: instants.Instant
    endsAt: instants.Instant | None = None
    generatorURL: str = ""
    fingerprint: str = Field(min_length=1, max_length=128)

    @pydantic.model_validator(mode="after")
    def _resolved_has_an_end(self) -> "WebhookAlert":
        if self.status is alerts.State.RESOLVED and (
            self.endsAt is None or self.endsAt < self.startsAt
        ):
            raise ValueError("endsAt: a resolved alert ends, and not before startsAt")
        return self


class WebhookMessage(pydantic.BaseModel):
    """What Alertmanager posts."""

    version: Literal["4"]
    receiver: str = ""
    alerts: list[JsonValue]
    truncatedAlerts: int = 0


class Queued(pydantic.BaseModel):
    """How many messages became of one of Alertmanager's: none where nothing of it is news."""

    queued: int


class Heard(pydantic.BaseModel):
    """Whether a message showed that alerts arrive: not if Prometheus has not evaluated anew."""

    news: bool


class Received(pydantic.BaseModel):
    """What became of the alerts of a message, all of them in the database now."""

    stored: int
    duplicate: int


Tell = Callable[[list[alerts.Notification]], int]


@dataclass(frozen=True, slots=True)
class Tells:
    """What queues messages.

    everybody  who is told by SMS; None if nobody is
    teams      those of one team; services  one of `notify`; both by name
    """

    everybody: Tell | None = None
    teams: Mapping[str, Tell | None] = field(default_factory=dict)
    services: Mapping[str, Tell] = field(default_factory=dict)


NOBODY = Tells()
Name = Annotated[str, Path(max_length=50)]


def router(
    remembering: memory.Memory,
    tells: Tells,
    beats: heartbeats.Heartbeats,
    guard: Callable[..., None],
    read: bodies.Reader,
) -> APIRouter:
    """The routes, which ask for their token before they read the body."""
    routes = APIRouter(tags=["webhooks"], dependencies=[Depends(guard)])
    described = {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _message_schema()}},
        }
    }

    @routes.post("/api/webhooks/alertmanager", openapi_extra=described)
    def receive(body: Annotated[bytes, Depends(read)]) -> Received:
        """Remember the alerts of one message; repeating a message changes nothing.

        Alerts that cannot be understood are refused with 422; the others of the message are
        stored nevertheless.
        """
        good, bad = _notifications(_parse(body, remembering.refuse))
        recorded = remembering.remember(good)
        if bad:
            remembering.refuse(_alerts_of(bad))
            raise _refusal(422, bad)
        return Received(stored=recorded.stored, duplicate=recorded.duplicate)

    @routes.post("/api/webhooks/sms", openapi_extra=described)
    def send(body: Annotated[bytes, Depends(read)]) -> Queued:
        """Have people told of the alerts of one message by SMS, each change once; repeating a
        message changes nothing. 404 where no SMS are sent."""
        return _queue(tells.everybody, body, "no SMS are sent: SMS_TO and a provider are not set")

    @routes.post("/api/webhooks/sms/{team}", openapi_extra=described)
    def send_to_team(team: Name, body: Annotated[bytes, Depends(read)]) -> Queued:
        """The same to the people of one team. 404 where it has none who are told by SMS."""
        return _queue(tells.teams.get(team), body, f"teams.{team}.sms: nobody is told so")

    @routes.post("/api/webhooks/notify/{name}", openapi_extra=described)
    def notify(name: Name, body: Annotated[bytes, Depends(read)]) -> Queued:
        """The same to one service of `notify`, by Apprise. 404 where there is none of this name."""
        return _queue(tells.services.get(name), body, f"notify.{name}: no service of this name")

    @routes.post("/api/webhooks/heartbeat", openapi_extra=described)
    def hear(body: Annotated[bytes, Depends(read)]) -> Heard:
        """Take the alerts of one message, which always fire, for a sign that alerts arrive, and
        pass that on to the heartbeat URL; 503 where it cannot be told, so that Alertmanager tries
        again."""
        good, bad = _notifications(_parse(body, _refused))
        news = beats.hear(good)
        if bad:
            raise _refusal(422, bad)
        return Heard(news=news)

    return routes


def _queue(tell: Tell | None, body: bytes, otherwise: str) -> Queued:
    if tell is None:
        raise problems.Problem(404, otherwise)
    good, bad = _notifications(_parse(body, _refused))
    queued = tell(good)
    if bad:
        _refused(_alerts_of(bad))
        raise _refusal(422, bad)
    return Queued(queued=queued)


def _refused(count: int) -> None:
    logger.warning("alerts were refused, and nobody told of them", extra={"count": count})


def _alerts_of(bad: list[problems.FieldProblem]) -> int:
    """How many alerts have these problems."""
    return len({each.field.split(".")[1] for each in bad})


def _parse(body: bytes, refuse: Callable[[int], None]) -> WebhookMessage:
    try:
        message = WebhookMessage.model_validate_json(body)
        if message.truncatedAlerts:
            logger.warning("alerts were cut off", extra={"count": message.truncatedAlerts})
        return message
    except pydantic.ValidationError as error:
        refuse(1)
        found = error.errors(include_url=False)
        if found[0]["type"] == "json_invalid":
            raise problems.Problem(400, f"body: {found[0]['msg']}") from None
        raise _refusal(422, problems.fields_from(found)) from None


def _notifications(
    message: WebhookMessage,
) -> tuple[list[alerts.Notification], list[problems.FieldProblem]]:
    good: list[alerts.Notification] = []
    bad: list[problems.FieldProblem] = []
    for position, given in enumerate(message.alerts):
        try:
            good.append(_notification(WebhookAlert.model_validate(given), message.receiver))
        except pydantic.ValidationError as error:
            for each in problems.fields_from(error.errors(include_url=False)):
                where = "" if each.field == "body" else f".{each.field}"
                bad.append(each.model_copy(update={"field": f"alerts.{position}{where}"}))
    return good, bad


def _notification(given: WebhookAlert, receiver: str) -> alerts.Notification:
    return alerts.Notification(
        fingerprint=alerts.Fingerprint(given.fingerprint),
        starts_at=in_milliseconds(given.startsAt),
        ends_at=given.endsAt if given.status is alerts.State.RESOLVED else None,
        state=given.status,
        labels=_pairs(given.labels),
        annotations=_pairs(given.annotations),
        generator_url=given.generatorURL,
        receiver=receiver,
    )


def in_milliseconds(instant: datetime) -> datetime:
    """As Alertmanager's API tells the same instant: what an episode is known by must be one."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _pairs(texts: Mapping[str, str]) -> frames.Labels:
    return frames.labels_from_pairs(texts.items())


def _refusal(status: int, bad: list[problems.FieldProblem]) -> problems.Problem:
    first = bad[0]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return problems.Problem(
        status,
        f"{first.line()}{more}",
        fields=bad[:_REPORTED_MAX],
    )


def _message_schema() -> dict[str, object]:
    schema = WebhookMessage.model_json_schema()
    alert = WebhookAlert.model_json_schema(ref_template="#/components/schemas/{model}")
    alert.pop("$defs", None)
    alert["properties"]["status"] = {"enum": [state.value for state in alerts.State]}
    schema["properties"]["alerts"]["items"] = alert
    schema.pop("$defs", None)
    return schema
