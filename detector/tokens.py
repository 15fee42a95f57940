"""Tokens of the API for the command line: made, listed and revoked in the database itself, whether
or not the detector runs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from detector import access, app, config, errors, whole
from detector.services import callers, issuing
from detector.stack import terminal

MADE_BY = "command line"
"""Who made it, for those who list tokens; no token can have this name."""
OWNER_ONLY = 0o600
_COLUMNS = ("ID", "NAME", "ROLE", "MADE", "BY", "EXPIRES", "LAST USED")


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A token that is to be made.

    expires  how long it lives, as 90d; None: for ever
    out      a file for its text, which must not be there yet
    """

    name: str
    role: str
    expires: str | None
    out: Path | None


def create(settings: config.Settings, wanted: Wanted, *, at: datetime) -> tuple[access.Token, str]:
    """A new token and its text, which is told here and in the file alone.

    Raises ConfigError, StoreError; then there is neither token nor file.
    """
    if not access.is_name(wanted.name):
        raise errors.ConfigError(f"--name: {wanted.name!r}: {access.NAME_ALLOWED}")
    lifetime, text = _lifetime(wanted.expires), issuing.draw()
    with app.token_store(settings) as store, _written(wanted.out, text):
        made = issuing.issue(
            store,
            text,
            name=wanted.name,
            role=access.Role(wanted.role),
            lifetime=lifetime,
            by=MADE_BY,
            at=at,
        )
        if made is None:
            raise errors.ConfigError(
                f"--name: {wanted.name}: another token has this name: choose another one, or "
                "revoke that token first (mda token list)"
            )
    return made, text


def every(settings: config.Settings) -> tuple[access.Token, ...]:
    """All tokens, oldest first. Raises ConfigError, StoreError."""
    with app.token_store(settings) as store:
        return store.list_tokens()


def revoke(settings: config.Settings, token_id: int) -> access.Token:
    """What the token was. Raises ConfigError, StoreError."""
    if not 1 <= token_id < 2**63:
        raise errors.ConfigError(f"token: {token_id}: no token has this id (mda token list)")
    with app.token_store(settings) as store:
        revoked = store.revoke(token_id)
    if revoked is None:
        raise errors.ConfigError(f"token: {token_id}: no token has this id (mda token list)")
    return revoked


def line_of_new(token: access.Token, out: Path | None) -> str:
    """What is said of a token that was made, without its text."""
    where = "its text is shown this once" if out is None else f"its text is in {out}"
    end = "never" if token.expires_at is None else _shown(token.expires_at)
    return f"token {token.id} {token.name}: {token.role}, expires {end}: {where}"


def line_of_revoked(token: access.Token) -> str:
    """What is said of a token that was revoked."""
    seconds = f"{callers.REMEMBERED_FOR.total_seconds():g}"
    return f"token {token.id} {token.name}: revoked: refused within {seconds} s"


def table_of(tokens: Sequence[access.Token], *, now: datetime) -> str:
    """One line for each token, under a line of titles; without any, a sentence."""
    if not tokens:
        return "no tokens but the file's (mda token create makes one)"
    return terminal.table_of(_COLUMNS, [_cells(token, now) for token in tokens])


def summary_of(token: access.Token) -> dict[str, object]:
    """The same for JSON, with the names that the API has."""
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in dataclasses.asdict(token).items()
    }


def _cells(token: access.Token, now: datetime) -> tuple[str, ...]:
    end = "never" if token.expires_at is None else _shown(token.expires_at)
    used = "never" if token.last_used_at is None else _shown(token.last_used_at)
    return (
        str(token.id),
        token.name,
        token.role,
        _shown(token.created_at),
        token.created_by,
        f"{end} (expired)" if token.is_expired(now) else end,
        used,
    )


def _shown(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%MZ")


def _lifetime(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        duration = config.parse_duration(text)
    except ValueError as error:
        raise errors.ConfigError(f"--expires: {text[:50]!r}: {error}") from None
    if not isinstance(duration, timedelta) or not access.is_life(duration):
        raise errors.ConfigError(f"--expires: {text!r}: {access.LIFE_ALLOWED} is allowed")
    return duration


@contextlib.contextmanager
def _written(out: Path | None, text: str) -> Iterator[None]:
    """The text in a file of our own, there before the block runs: a token whose text was lost
    would stay behind for nobody. Gone again if the block raises."""
    if out is None:
        yield
        return
    if out.exists():
        raise errors.ConfigError(f"--out: {out}: is there already: name a new file")
    try:
        whole.write(out, f"{text}\n", OWNER_ONLY)
    except OSError as error:
        raise errors.ConfigError(f"--out: {out}: {error.strerror}: name another file") from error
    try:
        yield
    except BaseException:
        out.unlink(missing_ok=True)
        raise
