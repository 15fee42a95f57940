"""Bearer tokens, and who may pass with which (RFC 6750)."""

import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from detector import access, errors
from detector.api import problems
from detector.services import callers

TOKEN_BYTES = 32
"""Of randomness: 256 bits."""
SHORTEST_TOKEN = 16
"""Characters that a token given by people must have."""


class Token:
    """The token of a file, of which only the SHA-256 is kept; compared in constant time."""

    def __init__(self, text: str) -> None:
        self._digest = access.digest_of(text)

    def is_it(self, given: str) -> bool:
        """Whether the given text is this token."""
        return hmac.compare_digest(self._digest, access.digest_of(given))


def token_from_file(path: Path) -> Token:
    """The token that a file holds. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise errors.ConfigError(f"token file: {path}: {reason}") from error
    if len(text) < SHORTEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise errors.ConfigError(
            f"token file: {path}: must hold one line of at least {SHORTEST_TOKEN} printable "
            "ASCII characters without spaces"
        )
    return Token(text)


def make_token_file(path: Path) -> bool:
    """Put a new random token into a file that only we can read, unless it is there already.

    Gives whether it was made. Raises ConfigError.
    """
    if path.exists():
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise errors.ConfigError(f"token file: {path}: {error.strerror}") from error
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
    return True


_BEARER = HTTPBearer(auto_error=False, description="A token of the API, or that of its file.")
_CHALLENGE = 'Bearer realm="mda"'

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
Guard = Callable[..., access.Caller]
"""A FastAPI dependency that gives who asks, or raises Problem 401, 403 or 503."""


@dataclass(frozen=True, slots=True)
class Guards:
    """One for each role; a route says which it wants, and may ask who it was.

    `APIRouter(dependencies=[Depends(guards.viewer)])` lets viewers pass, and who may do more;
    `caller: Annotated[access.Caller, Depends(guards.operator)]` of one route tells who asks.
    """

    viewer: Guard
    operator: Guard
    admin: Guard


def guards(file_token: Token, known: callers.Callers) -> Guards:
    """Those of the API. The file's token is an admin's and is asked for first, so that it opens
    the API while the store is down."""

    def identify(credentials: Credentials) -> access.Caller:
        if credentials is None:
            raise _unauthorized()
        if file_token.is_it(credentials.credentials):
            return access.TOKEN_FILE
        caller = _bearer(known, credentials.credentials)
        if caller is None:
            raise _unauthorized("invalid_token")
        return caller

    def guard_for(wanted: access.Role) -> Guard:
        def check(caller: Annotated[access.Caller, Depends(identify)]) -> access.Caller:
            if not caller.role.includes(wanted):
                raise _forbidden(caller, wanted)
            return caller

        return check

    return Guards(
        viewer=guard_for(access.Role.VIEWER),
        operator=guard_for(access.Role.OPERATOR),
        admin=guard_for(access.Role.ADMIN),
    )


def webhook_guard(token: Token) -> Callable[..., None]:
    """Lets a request pass that bears this token, and raises Problem 401 for any other."""

    def check(credentials: Credentials) -> None:
        if credentials is None:
            raise _unauthorized()
        if not token.is_it(credentials.credentials):
            raise _unauthorized("invalid_token")

    return check


def _bearer(known: callers.Callers, text: str) -> access.Caller | None:
    try:
        return known.bearer_of(text)
    except errors.StoreError as error:
        if not error.retryable:
            raise
        # Who asks is not known yet, so the reason is for those whom /-/ready tells it.
        raise problems.Problem(
            503,
            "Authorization: PostgreSQL, which knows the tokens, does not answer: try again, or "
            "take the token of the file",
            headers={"Retry-After": problems.RETRY_AFTER_S},
        ) from error


def _unauthorized(error: str | None = None) -> problems.Problem:
    """The error code stands only where a token was given (RFC 6750, section 3.1)."""
    return problems.Problem(
        401,
        "Authorization: a valid token is needed: `Authorization: Bearer <token>`",
        headers={"WWW-Authenticate": _CHALLENGE + (f', error="{error}"' if error else "")},
    )


def _forbidden(caller: access.Caller, wanted: access.Role) -> problems.Problem:
    return problems.Problem(
        403,
        f"role: {caller.role}: this needs {wanted}: take a token with that role "
        f"(this one is {caller.name!r}; an admin makes others)",
        headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{wanted}"'},
    )
