"""Where errors of SQLAlchemy and psycopg2 become ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
import sqlalchemy as sa
import sqlalchemy.exc

from detector import errors

_UNDEFINED_TABLE = "42P01"
_LATER = frozenset(
    {
        "25006",  # read_only_sql_transaction: a standby, until it is promoted
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        _UNDEFINED_TABLE,  # until the migrations have run
    }
)
"""SQLSTATEs (PostgreSQL, appendix A) outside OperationalError that may pass by themselves."""

_TEXT_MAX_CHARS = 500


@contextlib.contextmanager
def translated(secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Raise StoreError in place of what the database libraries raise.

    The text is the server's or driver's without the statement, its values and these secrets.
    """
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise errors.StoreError(
            "PostgreSQL: no connection of the pool came free in time", retryable=True
        ) from error
    except sa.exc.DBAPIError as error:
        raise _store_error(
            error.orig or error, secrets, lost=error.connection_invalidated
        ) from error
    except psycopg2.Error as error:
        raise _store_error(error, secrets, lost=False) from error
    except sa.exc.SQLAlchemyError as error:
        raise _store_error(error, secrets, lost=False) from error


def _store_error(
    error: BaseException, secrets: tuple[str, ...], *, lost: bool
) -> errors.StoreError:
    state = getattr(error, "pgcode", None)
    later = lost or state in _LATER
    later = later or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    text = _without_values(error)
    if state == _UNDEFINED_TABLE:
        text += " (mda migrate makes the tables)"
    return errors.StoreError(f"PostgreSQL: {one_line(text, secrets)}", retryable=later)


def _without_values(error: BaseException) -> str:
    """The server's first line: those after it repeat the statement and its values."""
    diagnosis = error.diag.message_primary if isinstance(error, psycopg2.Error) else None
    return diagnosis or str(error)


def one_line(text: str, secrets: tuple[str, ...]) -> str:
    """The text on one line, secrets replaced by ***.

    >>> one_line("no such\\n\\thost: pa55", ("pa55",))
    'no such host: ***'
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:_TEXT_MAX_CHARS]
