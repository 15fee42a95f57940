"""Bring the database's tables to what this version needs."""

from __future__ import annotations

from datetime import timedelta

import alembic.command
import alembic.config
import alembic.util
import sqlalchemy as sa

from detector import errors
from detector.store import database

_LOCK_KEY = 0x6D6461_6D696772
"""Any number that no other program locks: "mda migr" in ASCII."""
TURN_TIMEOUT = timedelta(minutes=5)
"""How long one migrator waits for another, and how long a statement of a migration may take."""


def migrate(url: str) -> None:
    """Apply the migrations that are missing, all of them or none.

    Two that run at once take turns; one that was interrupted leaves nothing and can run again.
    Raises StoreError.
    """
    store = database.Database(url)
    settings = alembic.config.Config()
    settings.set_main_option("script_location", "detector:store/migrations")
    try:
        store.check()
        with store.begin() as connection:
            settings.attributes["connection"] = connection
            alembic.command.upgrade(settings, "head")
    except alembic.util.CommandError as error:
        raise errors.StoreError(f"migration: {error}", retryable=False) from error
    finally:
        store.close()


def take_turn(connection: sa.Connection) -> None:
    """Wait until no other migrator works on this database; held to the transaction's end."""
    for setting in ("lock_timeout", "statement_timeout"):
        database.set_for_transaction(connection, setting, TURN_TIMEOUT)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
