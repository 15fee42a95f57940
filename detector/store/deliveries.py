"""Whom Alertmanager has told of alerts, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts, deliveries
from detector.store import database, tables, text

ROWS = 5_000
"""Of one transaction that forgets."""
_DELIVERIES = tables.deliveries
_KEY = tuple(_DELIVERIES.primary_key.columns)
_INSERT = postgresql.insert(_DELIVERIES)
_RECORD = _INSERT.on_conflict_do_update(
    index_elements=_KEY,
    set_={"told_at": _INSERT.excluded.told_at},
    where=_INSERT.excluded.told_at < _DELIVERIES.c.told_at,
).returning((sa.literal_column("xmax") == 0).label("is_new"))
"""xmax is 0 of a row that was inserted, not updated."""


class PostgresDeliveryStore:
    """ports.DeliveryStore in PostgreSQL; threads and processes may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def record(self, told: Sequence[deliveries.Delivery]) -> int:
        """Rows are locked in the order of their keys, so that two calls cannot wait for each
        other."""
        first: dict[tuple[str, datetime, str, str, str], datetime] = {}
        for each in told:
            key = (
                text.storable(each.fingerprint),
                each.starts_at,
                text.storable(each.receiver),
                text.storable(each.integration),
                each.state.value,
            )
            first[key] = min(each.at, first.get(key, each.at))
        names = [column.name for column in _KEY]
        rows = [
            {**dict(zip(names, key, strict=True)), "told_at": at}
            for key, at in sorted(first.items())
        ]
        if not rows:
            return 0
        with self._database.begin() as connection:
            return sum(connection.scalars(_RECORD, rows))

    def about(self, key: alerts.Key) -> tuple[deliveries.Delivery, ...]:
        """By the primary key, which begins with it."""
        c, (fingerprint, starts_at) = _DELIVERIES.c, key
        query = (
            sa.select(_DELIVERIES)
            .where(c.fingerprint == text.storable(fingerprint), c.starts_at == starts_at)
            .order_by(c.told_at, c.receiver, c.integration, c.state)
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return tuple(
            deliveries.Delivery(
                fingerprint=alerts.Fingerprint(row.fingerprint),
                starts_at=row.starts_at,
                receiver=row.receiver,
                integration=row.integration,
                state=alerts.State(row.state),
                at=row.told_at,
            )
            for row in rows
        )

    def forget(self, before: datetime) -> int:
        """At most ROWS."""
        c, episodes = _DELIVERIES.c, tables.episodes.c
        is_remembered = sa.exists().where(
            episodes.fingerprint == c.fingerprint, episodes.starts_at == c.starts_at
        )
        old = sa.select(*_KEY).where(c.told_at < before, ~is_remembered).limit(ROWS)
        with self._database.begin() as connection:
            return connection.execute(
                _DELIVERIES.delete().where(sa.tuple_(*_KEY).in_(old))
            ).rowcount
