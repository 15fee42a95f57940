"""What people do about alerts: PUT /api/alerts/{id}, and raising them: POST /api/alerts."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

import pydantic
from fastapi import APIRouter, Depends, Path
from pydantic import Field
from starlette.responses import JSONResponse

from detector import access, alerts, config, frames, last_watchdog
from detector.api import auth, bodies, episodes, paging, silences
from detector.policy import actions
from detector.services import answering, raising

RAISED_FOR, RAISED_LEAST, RAISED_MOST = timedelta(hours=1), timedelta(minutes=1), timedelta(days=30)
OWN_FIELDS = ("alertname", "severity", "team")
RESERVED = ("__", "policy")
MOST_LABELS = 30


def _one_line(text: str) -> str:
    if text and not (text.strip() and text.isprintable()):
        raise ValueError("one line of text is allowed")
    return text


def _between(least: timedelta, most: timedelta, allowed: str) -> pydantic.AfterValidator:
    def check(span: timedelta) -> timedelta:
        if least <= span <= most:
            return span
        raise ValueError(f"{allowed} is allowed")

    return pydantic.AfterValidator(check)


Note = Annotated[str, Field(max_length=2_000, description="What is to be known.")]
Line = Annotated[str, Field(max_length=1_000), pydantic.AfterValidator(_one_line)]
Acknowledged = Annotated[
    config.Duration,
    _between(timedelta(minutes=1), answering.ACKNOWLEDGED_MOST, "from 1m to 24h"),
]


class _Body(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Acknowledge(_Body):
    """Somebody sees to it: nobody else is told for a while."""

    action: Literal["acknowledge"]
    note: Note = ""
    for_: Acknowledged = Field(
        answering.ACKNOWLEDGED_FOR,
        alias="for",
        description="How long, from 1m to 24h; 1h unless said.",
    )
    owner: Annotated[str, Field(max_length=100), pydantic.AfterValidator(_one_line)] = Field(
        "", description="Who sees to it; who asks, if not given."
    )


class Unacknowledge(_Body):
    """Nobody sees to it any more: people are told again."""

    action: Literal["unacknowledge"]
    note: Note = ""


class Silence(silences.Asked):
    """Mute it, and whatever else the matchers hold of."""

    action: Literal["silence"]
    matchers: silences.Matchers | None = Field(
        None, description="Without them, this alert alone, by all its labels."
    )


class Resolve(_Body):
    """End it."""

    action: Literal["resolve"]
    note: Note = ""
    even_if_it_comes_back: bool = Field(
        False, description="Of a rule's alert, which Prometheus repeats while its condition holds."
    )


class Judge(_Body):
    """Say what it was; also of one that is over."""

    action: Literal["feedback"]
    feedback: alerts.Feedback
    note: Note = ""


Change: TypeAlias = Annotated[
    Acknowledge | Unacknowledge | Silence | Resolve | Judge, Field(discriminator="action")
]


class AnyChange(pydantic.RootModel[Change]):
    """One of them."""


def _alert_name(name: str) -> str:
    if name == last_watchdog.ALERT:
        raise ValueError("any other is allowed: that one shows that Prometheus' alerts arrive")
    return _one_line(name)


def _label_value(text: str) -> str:
    if not text.strip():
        raise ValueError("a value is needed")
    return text


def _label_name(name: str) -> str:
    if name in OWN_FIELDS:
        raise ValueError(f"{', '.join(OWN_FIELDS)} are said by name, severity and team")
    if name.startswith(RESERVED):
        raise ValueError("labels that begin with __ or policy are Prometheus' and policies' own")
    return name


class NewAlert(_Body):
    """An alert that a person raises."""

    name: Annotated[str, Field(min_length=1, max_length=200), pydantic.AfterValidator(_alert_name)]
    severity: actions.Severity = actions.Severity.WARNING
    summary: Annotated[Line, Field(min_length=1)]
    description: Annotated[str, Field(max_length=5_000)] = ""
    runbook: Line = ""
    team: Annotated[Line, Field(max_length=200)] = ""
    labels: Annotated[
        dict[
            Annotated[config.LabelName, pydantic.AfterValidator(_label_name)],
            Annotated[str, Field(max_length=1_000), pydantic.AfterValidator(_label_value)],
        ],
        Field(max_length=MOST_LABELS),
    ] = {}
    for_: Annotated[config.Duration, _between(RAISED_LEAST, RAISED_MOST, "from 1m to 30d")] = Field(
        RAISED_FOR, alias="for", description="At most, from 1m to 30d; 1h unless said."
    )

    def pairs(self) -> frames.Labels:
        """Its labels."""
        own = {"alertname": self.name, "severity": self.severity.value, "team": self.team}
        return frames.labels_from_pairs((self.labels | own).items())

    def annotations(self) -> frames.Labels:
        """What Alertmanager's templates and people read."""
        said = {"summary": self.summary, "description": self.description, "runbook": self.runbook}
        return frames.labels_from_pairs(said.items())


class Answered(episodes.AlertWithTransitions):
    """The alert after that."""

    silence_id: str = Field(description='Of the silence that was made; "" for none.')
    warning: str = Field(description='What is to be known; "" for nothing.')


class RaisedAlert(pydantic.BaseModel):
    """An alert that was raised."""

    fingerprint: str
    starts_at: datetime
    until: datetime = Field(description="It is over by itself then.")
    alert: episodes.Alert | None = Field(description="null: the memory has it in some seconds.")


def router(
    answers: answering.Answering,
    raised: raising.Raising,
    guards: auth.Guards,
    read: bodies.Reader,
) -> APIRouter:
    """The two routes."""
    routes = APIRouter(prefix="/api/alerts", tags=["alerts"])
    Operator = Annotated[access.Caller, Depends(guards.operator)]
    Body = Annotated[bytes, Depends(read)]

    @routes.post("", status_code=201, openapi_extra=bodies.described_whole(NewAlert))
    def raise_alert(caller: Operator, body: Body) -> RaisedAlert:
        """Raise an alert: it goes where Alertmanager's routes lead it, until it is ended."""
        wanted = bodies.parsed(body, NewAlert)
        found = raised.start(
            wanted.pairs(), wanted.annotations(), lasting=wanted.for_, by=caller.name
        )
        return RaisedAlert(
            fingerprint=found.manual.fingerprint,
            starts_at=found.manual.starts_at,
            until=found.manual.until,
            alert=None if found.episode is None else episodes.shown(found.episode),
        )

    @routes.put(
        "/{alert_id}",
        response_model=Answered,
        openapi_extra=bodies.described_whole(AnyChange),
    )
    def change_alert(
        alert_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)], caller: Operator, body: Body
    ) -> Answered | JSONResponse:
        """Acknowledge, silence, end or judge an alert. 409 where it is not in a state for that."""
        wanted = bodies.parsed(body, AnyChange, skip=1).root
        match wanted:
            case Acknowledge():
                done = answers.acknowledge(
                    alert_id,
                    by=caller.name,
                    note=wanted.note,
                    owner=wanted.owner,
                    lasting=wanted.for_,
                )
            case Unacknowledge():
                done = answers.unacknowledge(alert_id, by=caller.name, note=wanted.note)
            case Silence():
                asked = silences.wanted_of(wanted, wanted.matchers or (), caller)
                with silences.refusals():
                    made = answers.silence(alert_id, asked, wanted.confirm)
                if not isinstance(made, answering.Answer):
                    return silences.too_broad(made)
                done = made
            case Resolve():
                done = answers.resolve(
                    alert_id,
                    by=caller.name,
                    note=wanted.note,
                    even_if_it_comes_back=wanted.even_if_it_comes_back,
                )
            case Judge():
                done = answers.judge(alert_id, wanted.feedback, by=caller.name, note=wanted.note)
        return Answered(
            **episodes.shown_whole(done.episode).model_dump(),
            silence_id=done.silence_id,
            warning=done.warning,
        )

    return routes
