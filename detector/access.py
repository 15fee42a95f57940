"""Who may do what over the API: roles, and the tokens that bear them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do; each one includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what the other one may.

        >>> Role.OPERATOR.includes(Role.VIEWER), Role.OPERATOR.includes(Role.ADMIN)
        (True, False)
        """
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER = tuple(Role)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: what is done for it is recorded under its name."""

    name: str
    role: Role


TOKEN_FILE = Caller("token file", Role.ADMIN)
"""Who bears the token of the file. No token of the store can have this name: see NAME."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
"""What a token may be called: without spaces, so that our own names are ours alone."""
NAME_ALLOWED = "1 to 64 of letters, digits and . _ @ -, a letter or digit first"

FORM = r"^mda_[A-Za-z0-9_-]{43}$"
"""How our tokens are written: 256 random bits in base64url, under a prefix that scanners for
leaked secrets can look for."""

SHORTEST_LIFE, LONGEST_LIFE = timedelta(seconds=1), timedelta(days=3650)
"""Of a token that expires; one that does not may live for ever."""
LIFE_ALLOWED = "from 1s to 3650d"


USE_TOLD_EVERY = timedelta(minutes=1)
"""How exact Token.last_used_at is: no request writes more often."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that is to be remembered; its text is nowhere but with who asked for it.

    digest  of its text, as digest_of gives it
    """

    digest: bytes
    name: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Token:
    """What is remembered of a token beside its digest; who bears it is known by its name.

    created_by    name of the caller who made it
    expires_at    None: never
    last_used_at  to USE_TOLD_EVERY; None: not yet
    """

    id: int
    name: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None

    @property
    def caller(self) -> Caller:
        """Who bears it."""
        return Caller(self.name, self.role)

    def is_use_news(self, at: datetime) -> bool:
        """Whether it is worth remembering that it was used then."""
        return not self.is_expired(at) and (
            self.last_used_at is None or at - self.last_used_at >= USE_TOLD_EVERY
        )

    def is_expired(self, at: datetime) -> bool:
        """Whether it was valid until then at most."""
        return self.expires_at is not None and self.expires_at <= at


def is_name(text: str) -> bool:
    """Whether a token may be called so.

    >>> is_name("ci-runner@example.org"), is_name("token file")
    (True, False)
    """
    return re.fullmatch(NAME, text) is not None


def is_life(duration: timedelta) -> bool:
    """Whether a token may live that long.

    >>> is_life(timedelta(days=90)), is_life(timedelta(0))
    (True, False)
    """
    return SHORTEST_LIFE <= duration <= LONGEST_LIFE


def is_token(text: str) -> bool:
    """Whether a text may be one of our tokens; the one of the file need not be.

    >>> is_token("mda_" + 43 * "x"), is_token("hunter2")
    (True, False)
    """
    return re.fullmatch(FORM, text) is not None


def digest_of(text: str) -> bytes:
    """SHA-256 of a token's text, 32 bytes.

    A fast hash will do: what is hashed is random, not a password that people think of.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
