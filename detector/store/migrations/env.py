"""Run by Alembic, for `mda migrate` (which hands a connection over) and `alembic upgrade head`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, util

from detector import config, errors
from detector.store import database, migrate, partitions, tables


def _run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection, target_metadata=tables.metadata, include_name=_is_declared
    )
    with context.begin_transaction():
        migrate.take_turn(connection)
        context.run_migrations()


def _is_declared(name: str | None, kind: str, _: object) -> bool:
    """Partitions are made as months come."""
    return kind != "table" or name is None or partitions.NAME.fullmatch(name) is None


def _run_from_settings() -> None:
    """Raises CommandError, which Alembic prints as one line."""
    try:
        url = config.load(None).database_url
        if url is None:
            raise errors.ConfigError("DATABASE_URL: not set: the database to migrate")
        store = database.Database(url.get_secret_value())
        with store.begin() as connection:
            _run(connection)
        store.close()
    except errors.MdaError as error:
        raise util.CommandError(str(error)) from error


if context.is_offline_mode():
    raise util.CommandError("migrations read what is there, so they need a connection")
_given = context.config.attributes.get("connection")
if _given is None:
    _run_from_settings()
else:
    _run(_given)
