"""Silences: GET and POST /api/silences, DELETE /api/silences/{id}."""

import contextlib
import http
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field
from starlette.responses import JSONResponse

from detector import access, alerts, config, errors, ports
from detector.api import auth, bodies, problems
from detector.services import silencing

LEAST, MOST = timedelta(minutes=1), timedelta(days=366)


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("a reason is needed, for those who hear nothing")
    return text


def _lasting(span: timedelta) -> timedelta:
    if not LEAST <= span <= MOST:
        raise ValueError("from 1m to 366d is allowed")
    return span


class Matcher(pydantic.BaseModel):
    """Holds of a label."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[str, Field(max_length=2_000)]
    is_regex: bool = Field(False, description="The value is a pattern for all of it (RE2).")
    is_equal: bool = Field(True, description="false turns it round.")


Reason = Annotated[
    str, Field(max_length=2_000, description="For others."), pydantic.AfterValidator(_reason)
]
Lasting = Annotated[config.Duration, pydantic.AfterValidator(_lasting)]
Matchers = Annotated[tuple[Matcher, ...], Field(min_length=1, max_length=30)]
Confirm = Annotated[
    str, Field(max_length=100, description="What an answer of 409 gave, to make it all the same.")
]


class Asked(pydantic.BaseModel):
    """What is said of every silence that is wanted, from now on."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    for_: Lasting = Field(alias="for", description="How long, as 2h.")
    reason: Reason
    planned: bool = Field(
        False, description="It is for planned work: what it mutes is judged planned."
    )
    confirm: Confirm = ""


class NewSilence(Asked):
    """A silence that is wanted."""

    matchers: Matchers


class SilencesQuery(pydantic.BaseModel):
    """Which silences are wanted."""

    model_config = pydantic.ConfigDict(extra="forbid")

    state: alerts.SilenceState | None = Field(
        None, description="pending, active or expired; without it, all but expired ones."
    )


class KnownMatcher(pydantic.BaseModel):
    """A matcher that Alertmanager has."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool


class Silence(pydantic.BaseModel):
    """A silence that Alertmanager has."""

    id: str
    state: alerts.SilenceState
    matchers: list[KnownMatcher]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str


class Silences(pydantic.BaseModel):
    """Those that end first stand first."""

    silences: list[Silence]


class MadeSilence(pydantic.BaseModel):
    """The silence that was made."""

    id: str


def router(
    silencer: ports.Silencer,
    silences: silencing.Silencing,
    guards: auth.Guards,
    read: bodies.Reader,
) -> APIRouter:
    """The routes: viewers see, operators change."""
    routes = APIRouter(prefix="/api/silences", tags=["alerts"])

    @routes.get("", dependencies=[Depends(guards.viewer)])
    def list_silences(query: Annotated[SilencesQuery, Query()]) -> Silences:
        """Alertmanager's silences, whoever made them."""
        over = alerts.SilenceState.EXPIRED
        found = [
            _silence(each)
            for each in silencer.silences()
            if (each.state is query.state if query.state else each.state is not over)
        ]
        return Silences(silences=sorted(found, key=lambda each: (each.ends_at, each.id)))

    @routes.post(
        "",
        status_code=201,
        response_model=MadeSilence,
        openapi_extra=bodies.described_whole(NewSilence),
    )
    def make_silence(
        caller: Annotated[access.Caller, Depends(guards.operator)],
        body: Annotated[bytes, Depends(read)],
    ) -> MadeSilence | JSONResponse:
        """Make a silence. A broad one is answered 409 with what it would mute, and has to be
        confirmed."""
        new = bodies.parsed(body, NewSilence)
        with refusals():
            made = silences.make(wanted_of(new, new.matchers, caller), new.confirm)
        return too_broad(made) if isinstance(made, silencing.Broad) else MadeSilence(id=made)

    @routes.delete("/{silence_id}", status_code=204, response_class=Response)
    def end_silence(
        _: Annotated[access.Caller, Depends(guards.operator)],
        silence_id: Annotated[str, Path(max_length=100)],
    ) -> None:
        """End a silence. 409 if it is over already."""
        found = next((each for each in silencer.silences() if each.id == silence_id), None)
        if found is None:
            raise problems.Problem(404, f"silence_id: {silence_id}: no silence has this id")
        if found.state is alerts.SilenceState.EXPIRED:
            raise problems.Problem(
                409, f"silence {silence_id}: over since {found.ends_at:%Y-%m-%d %H:%M} UTC"
            )
        silencer.expire(silence_id)

    return routes


def wanted_of(asked: Asked, matchers: Sequence[Matcher], caller: access.Caller) -> silencing.Wanted:
    """What a body asks for, in the name of who sent it."""
    found = (
        alerts.Matcher(each.name, each.value, each.is_regex, each.is_equal) for each in matchers
    )
    return silencing.Wanted(
        tuple(found), asked.for_, asked.reason, caller.name, is_planned=asked.planned
    )


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Matchers that Alertmanager does not take are the sender's fault: Problem 422."""
    try:
        yield
    except errors.UpstreamError as error:
        if error.kind != "refused":
            raise
        raise problems.Problem(422, f"matchers: {error}") from error


def too_broad(broad: silencing.Broad) -> JSONResponse:
    """409 with what it would mute."""
    some = [dict(each.labels) for each in broad.some]
    past = "an unknown number" if broad.episodes is None else str(broad.episodes)
    detail = (
        f"{'; '.join(broad.reasons)}: it would mute {broad.muted} of {broad.of} alerts that fire, "
        f"and would have muted {past} in 30 days: send the same again with confirm to make it"
    )
    return problems.response(
        http.HTTPStatus.CONFLICT,
        detail,
        reasons=list(broad.reasons),
        muted=broad.muted,
        firing=broad.of,
        some=some,
        muted_in_30_days=broad.episodes,
        confirm=broad.confirm,
        confirm_until=broad.expires.isoformat().replace("+00:00", "Z"),
    )


def _silence(each: alerts.Silence) -> Silence:
    return Silence(
        id=each.id,
        state=each.state,
        matchers=[
            KnownMatcher(
                name=one.name, value=one.value, is_regex=one.is_regex, is_equal=one.is_equal
            )
            for one in each.matchers
        ],
        starts_at=each.starts_at,
        ends_at=each.ends_at,
        created_by=each.created_by,
        comment=each.comment,
    )
