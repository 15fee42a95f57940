"""Bearer tokens."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from detector import errors
from detector.api import problems

TOKEN_BYTES = 32
"""Of randomness: 256 bits."""
SHORTEST_TOKEN = 16
"""Characters that a token given by people must have."""


class Token:
    """A bearer token of which only the SHA-256 is kept; compared in constant time.

    A fast hash will do: what is hashed is random, not a password that people think of.
    """

    def __init__(self, text: str) -> None:
        self._digest = _digest(text)

    def is_it(self, given: str) -> bool:
        """Whether the given text is this token."""
        return hmac.compare_digest(self._digest, _digest(given))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


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


_BEARER = HTTPBearer(auto_error=False, description="The token of the file that `mda up` names.")

Guard = Callable[..., None]
"""A FastAPI dependency that lets a request pass or raises Problem 401."""


def guard(token: Token) -> Guard:
    """Lets a request pass that bears this token.

    Roles come in here: the guard will then know who asks, and routes will say which role they want.
    """

    def check(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> None:
        if credentials is None or not token.is_it(credentials.credentials):
            raise problems.Problem(
                401,
                "Authorization: a valid token is needed: `Authorization: Bearer <token>`",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return check
