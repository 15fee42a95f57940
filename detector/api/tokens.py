"""Tokens of the API: GET and POST /api/tokens, DELETE /api/tokens/{id}, GET /api/whoami."""

import dataclasses
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field

from detector import access, config, ports
from detector.api import auth, bodies, paging, problems
from detector.services import issuing

logger = logging.getLogger(__name__)


def _name(value: str) -> str:
    if not access.is_name(value):
        raise ValueError(access.NAME_ALLOWED)
    return value


def _life(value: timedelta) -> timedelta:
    if not access.is_life(value):
        raise ValueError(access.LIFE_ALLOWED)
    return value


class NewToken(pydantic.BaseModel):
    """A token that is wanted."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: Annotated[str, pydantic.AfterValidator(_name)] = Field(
        description=f"Whose it is, for records; no other token has it. {access.NAME_ALLOWED}.",
        json_schema_extra={"pattern": access.NAME},
    )
    role: access.Role
    expires_in: Annotated[config.Duration, pydantic.AfterValidator(_life)] | None = Field(
        None, description=f"Seconds, or as 90d, {access.LIFE_ALLOWED}; null: it never expires."
    )


class Token(pydantic.BaseModel):
    """A token, without its text."""

    id: int
    name: str
    role: access.Role
    created_at: datetime
    created_by: str = Field(description="Name of the caller who made it.")
    expires_at: datetime | None = Field(description="null: never.")
    last_used_at: datetime | None = Field(description="To a minute; null: not yet.")


class CreatedToken(Token):
    """A token with its text, which is told this once."""

    token: str


class Tokens(pydantic.BaseModel):
    """All tokens, oldest first."""

    tokens: list[Token]


class Caller(pydantic.BaseModel):
    """Who asks."""

    name: str
    role: access.Role


def router(
    store: ports.TokenStore,
    guards: auth.Guards,
    read: bodies.Reader,
    *,
    clock: Callable[[], datetime],
) -> APIRouter:
    """The routes: of tokens for admins, who one is for everybody with a token."""
    routes = APIRouter(prefix="/api", tags=["tokens"])
    Admin = Annotated[access.Caller, Depends(guards.admin)]

    @routes.get("/whoami")
    def whoami(caller: Annotated[access.Caller, Depends(guards.viewer)]) -> Caller:
        """Name and role of the token that was given."""
        return Caller(name=caller.name, role=caller.role)

    @routes.get("/tokens", dependencies=[Depends(guards.admin)])
    def list_tokens() -> Tokens:
        """All tokens but the file's, oldest first, expired ones too."""
        return Tokens(tokens=[_token(each) for each in store.list_tokens()])

    @routes.post("/tokens", status_code=201, openapi_extra=bodies.described(NewToken))
    def create_token(
        caller: Admin, body: Annotated[bytes, Depends(read)], response: Response
    ) -> CreatedToken:
        """Make a token; its text is in this answer and nowhere else. 409 if the name is taken."""
        wanted = bodies.parsed(body, NewToken)
        text = issuing.draw()
        made = issuing.issue(
            store,
            text,
            name=wanted.name,
            role=wanted.role,
            lifetime=wanted.expires_in,
            by=caller.name,
            at=clock(),
        )
        if made is None:
            raise problems.Problem(
                409,
                f"name: {wanted.name!r}: another token has this name: choose another one, or "
                "revoke that token first",
            )
        _log("token made", made, caller)
        response.headers["Cache-Control"] = "no-store"
        return CreatedToken(**_token(made).model_dump(), token=text)

    @routes.delete("/tokens/{token_id}", status_code=204, response_class=Response)
    def revoke_token(
        caller: Admin, token_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
    ) -> None:
        """Revoke a token; it is refused within five seconds."""
        revoked = store.revoke(token_id)
        if revoked is None:
            raise problems.Problem(404, f"token_id: {token_id}: no token has this id (/api/tokens)")
        _log("token revoked", revoked, caller)

    return routes


def _token(token: access.Token) -> Token:
    return Token(**dataclasses.asdict(token))


def _log(what: str, token: access.Token, caller: access.Caller) -> None:
    told = {"id": token.id, "token": token.name, "role": token.role, "by": caller.name}
    logger.info(what, extra=told)
