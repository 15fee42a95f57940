"""Secrets in files that only their owner reads."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets

# 256 bits, far beyond guessing (OWASP asks a session token for 64).
TOKEN_BYTES = 32
OWNER_ONLY = 0o600


def ensure(path: pathlib.Path, mode: int = OWNER_ONLY) -> None:
    """Make a file with a random token unless there is one; it appears whole."""
    if not path.exists():
        write(path, secrets.token_urlsafe(TOKEN_BYTES), mode)


def write(path: pathlib.Path, text: str, mode: int = OWNER_ONLY) -> None:
    """Replace a file's text; nobody sees half of it, nor with a wider mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with contextlib.suppress(FileNotFoundError):
        unfinished.unlink()
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
