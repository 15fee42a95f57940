"""Secrets in files that only their owner reads."""

from __future__ import annotations

import pathlib
import secrets

from detector import whole

# 256 bits, far beyond guessing (OWASP asks a session token for 64).
TOKEN_BYTES = 32
OWNER_ONLY = 0o600


def ensure(path: pathlib.Path, mode: int = OWNER_ONLY) -> None:
    """Make a file with a random token unless there is one; it appears whole."""
    if not path.exists():
        whole.write(path, secrets.token_urlsafe(TOKEN_BYTES), mode)
