"""Alerts that people raised, in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts
from detector.store import database, tables, text

_MANUAL = tables.manual_alerts


class PostgresManualStore:
    """ports.ManualStore in PostgreSQL; threads and processes may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def add(self, new: alerts.Manual, *, at: datetime) -> alerts.Manual | None:
        """A unique index holds that one fires at a time."""
        insert = (
            postgresql.insert(_MANUAL)
            .values(
                fingerprint=text.storable(new.fingerprint),
                starts_at=new.starts_at,
                until=new.until,
                ended_at=new.ended_at,
                labels=text.document(new.labels),
                annotations=text.document(new.annotations),
                raised_by=text.storable(new.raised_by),
            )
            .on_conflict_do_nothing()
            .returning(_MANUAL)
        )
        with self._database.begin() as connection:
            _end_what_is_over(connection, at)
            row = connection.execute(insert).one_or_none()
        return None if row is None else _manual(row)

    def drop(self, manual_id: int) -> None:
        """By its id."""
        with self._database.begin() as connection:
            connection.execute(_MANUAL.delete().where(_MANUAL.c.id == manual_id))

    def firing(self, key: alerts.Key) -> alerts.Manual | None:
        """By the index of those that fire."""
        c, (fingerprint, starts_at) = _MANUAL.c, key
        query = sa.select(_MANUAL).where(
            c.fingerprint == text.storable(fingerprint),
            c.starts_at == starts_at,
            c.ended_at.is_(None),
        )
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _manual(row)

    def end(self, manual_id: int, *, at: datetime) -> bool:
        """Compared and set."""
        c = _MANUAL.c
        update = _MANUAL.update().where(c.id == manual_id, c.ended_at.is_(None))
        with self._database.begin() as connection:
            return bool(connection.execute(update.values(ended_at=at)).rowcount)

    def due(self, *, ended_since: datetime, at: datetime) -> tuple[alerts.Manual, ...]:
        """By their id, which rises with time."""
        c = _MANUAL.c
        lasts = sa.or_(c.ended_at.is_(None), c.ended_at >= ended_since)
        with self._database.begin() as connection:
            _end_what_is_over(connection, at)
            rows = connection.execute(sa.select(_MANUAL).where(lasts).order_by(c.id)).all()
        return tuple(map(_manual, rows))


def _end_what_is_over(connection: sa.Connection, at: datetime) -> None:
    c = _MANUAL.c
    over = _MANUAL.update().where(c.ended_at.is_(None), c.until <= at)
    connection.execute(over.values(ended_at=c.until))


def _manual(row: sa.Row[Any]) -> alerts.Manual:
    return alerts.Manual(
        id=row.id,
        fingerprint=alerts.Fingerprint(row.fingerprint),
        starts_at=row.starts_at,
        until=row.until,
        ended_at=row.ended_at,
        labels=text.labels(row.labels),
        annotations=text.labels(row.annotations),
        raised_by=row.raised_by,
    )
