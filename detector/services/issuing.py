"""New tokens."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from detector import access, ports

RANDOM_BYTES = 32
"""256 bits, which nobody guesses."""


def draw() -> str:
    """The text of a new token, which only who asked for it may come to know."""
    return f"mda_{secrets.token_urlsafe(RANDOM_BYTES)}"


def issue(
    store: ports.TokenStore,
    text: str,
    *,
    name: str,
    role: access.Role,
    lifetime: timedelta | None,
    by: str,
    at: datetime,
) -> access.Token | None:
    """Make this text a token, for ever if no lifetime is given; None if the name is taken.

    Raises StoreError.
    """
    return store.create(
        access.NewToken(
            digest=access.digest_of(text),
            name=name,
            role=role,
            created_at=at,
            created_by=by,
            expires_at=None if lifetime is None else at + lifetime,
        )
    )
