"""The connection pool to PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
import sqlalchemy.exc

from detector import errors
from detector.store import faults

POOL_SIZE = 8
"""Connections kept; PostgreSQL's own default allows 100 from all clients."""
POOL_TIMEOUT = timedelta(seconds=5)
CONNECT_TIMEOUT = timedelta(seconds=5)
STATEMENT_TIMEOUT = timedelta(seconds=10)
LOCK_TIMEOUT = timedelta(seconds=5)
IDLE_IN_TRANSACTION_TIMEOUT = timedelta(seconds=30)
OLDEST_SERVER = 150_000
"""server_version_num of PostgreSQL 15, the oldest that we test with."""

_WAY_OUT = (
    "write postgresql://user:password@host:5432/name, "
    "special characters of the password percent-encoded"
)


class Database:
    """A pool of connections; threads may share it.

    Connections are made when first used, checked before each use, and given deadlines; all their
    errors come out as StoreError.
    """

    def __init__(self, url: str) -> None:
        """Raises StoreError if the URL is none of PostgreSQL's; connects to nothing yet."""
        parsed = _parse(url)
        self._secrets = _secrets(parsed)
        self._engine = sa.create_engine(
            parsed,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT.total_seconds(),
            pool_pre_ping=True,
            hide_parameters=True,
            json_deserializer=_decoded,
            connect_args=_connect_args(parsed),
        )

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction: committed when the block ends, rolled back when it raises.

        Raises StoreError; then nothing of the block is stored, unless the connection broke while
        the commit was on its way: then it may be stored, and doing it again must do no harm.
        """
        with faults.translated(self._secrets), self._engine.begin() as connection:
            yield connection

    def check(self) -> None:
        """Ask the server for a sign of life.

        Raises StoreError if it does not answer or is older than PostgreSQL 15.
        """
        with self.begin() as connection:
            version = connection.scalar(sa.text("SHOW server_version_num"))
            name = connection.scalar(sa.text("SHOW server_version"))
        if int(version or 0) < OLDEST_SERVER:
            raise errors.StoreError(
                f"PostgreSQL {name} is too old: 15 or newer is needed", retryable=False
            )

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()


def set_for_transaction(connection: sa.Connection, setting: str, span: timedelta) -> None:
    """Set a deadline of the server's until the transaction ends."""
    is_local = True
    connection.execute(sa.select(sa.func.set_config(setting, str(_milliseconds(span)), is_local)))


def _decoded(document: str) -> Any:
    """What a JSON document holds, fast: a page of alerts has three hundred of them."""
    try:
        return msgspec.json.decode(document)
    except msgspec.DecodeError:
        return json.loads(document)  # a number that no float holds


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url.strip())
    except (sa.exc.ArgumentError, ValueError):
        raise errors.StoreError(
            f"DATABASE_URL: not a database URL: {_WAY_OUT}", retryable=False
        ) from None
    scheme = parsed.drivername.split("+")[0]
    if scheme not in ("postgresql", "postgres"):
        raise errors.StoreError(
            f"DATABASE_URL: {scheme[:40]}: only PostgreSQL is supported: {_WAY_OUT}",
            retryable=False,
        )
    # An @ in the host is the tail of a password that holds one itself; echo nothing of it.
    if "@" in (parsed.host or "") or not parsed.database:
        missing = "has no database name" if not parsed.database else "cannot be told apart"
        raise errors.StoreError(f"DATABASE_URL: {missing}: {_WAY_OUT}", retryable=False)
    return parsed.set(drivername="postgresql+psycopg2")


def _secrets(url: sa.URL) -> tuple[str, ...]:
    given = [url.password, url.query.get("password")]
    plain = [text for text in given if isinstance(text, str) and text]
    return tuple(dict.fromkeys([*plain, *(urllib.parse.quote(text, safe="") for text in plain)]))


def _connect_args(url: sa.URL) -> dict[str, str | int]:
    """libpq's parameters: deadlines and UTC, under whatever the URL says itself."""
    options = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(STATEMENT_TIMEOUT),
        "lock_timeout": _milliseconds(LOCK_TIMEOUT),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_TIMEOUT),
    }
    ours = " ".join(f"-c {name}={value}" for name, value in options.items())
    theirs = url.query.get("options", "")
    defaults: dict[str, str | int] = {
        "connect_timeout": int(CONNECT_TIMEOUT.total_seconds()),
        "application_name": "monitor-drift-agent",
        "tcp_user_timeout": _milliseconds(STATEMENT_TIMEOUT),
    }
    chosen = {name: value for name, value in defaults.items() if name not in url.query}
    return chosen | {"options": f"{ours} {theirs if isinstance(theirs, str) else ''}".strip()}


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
