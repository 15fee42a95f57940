"""Addresses of messages that were used, in PostgreSQL."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts
from detector.store import database, tables, text

_USED = tables.used_links


class PostgresLinkStore:
    """ports.LinkStore in PostgreSQL; threads and processes may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def use_of(self, signature: str) -> alerts.LinkUse | None:
        """By its signature."""
        query = sa.select(_USED).where(_USED.c.signature == text.storable(signature))
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else alerts.LinkUse(row.used_at, row.used_by, row.what)

    def use(self, signature: str, use: alerts.LinkUse, *, expires: datetime) -> bool:
        """A primary key holds that it is once."""
        insert = postgresql.insert(_USED).values(
            signature=text.storable(signature),
            used_at=use.at,
            used_by=text.storable(use.by),
            what=text.storable(use.what),
            expires_at=expires,
        )
        with self._database.begin() as connection:
            connection.execute(_USED.delete().where(_USED.c.expires_at <= use.at))
            return bool(connection.execute(insert.on_conflict_do_nothing()).rowcount)
