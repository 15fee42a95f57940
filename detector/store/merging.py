"""How one more notification changes an episode's row: one statement, in whatever order they come.

A row says what its winning notification said: the one that ends later, or else was received later.
The state follows alerts.NEXT: what is resolved alone has an end, so it wins over what fires. Rows
hold all that this comparison needs, so any order and any repetition of the same deliveries ends in
the same row.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts
from detector.store import tables, text

Key = tuple[str, datetime]
Row = dict[str, Any]

_SAID = ("state", "ends_at", "labels", "annotations", "generator_url")


def rounds(
    notifications: Iterable[alerts.Notification], *, received_at: datetime
) -> list[list[Row]]:
    """Rows for one statement each: an episode is at most once in a round, keys are sorted.

    Alertmanager tells of an alert once a delivery, so there is one round as a rule. Every writer
    locks rows in the order of the first round, so two deliveries cannot wait for each other.
    """
    found: list[dict[Key, Row]] = []
    for notification in notifications:
        key = key_of(notification)
        free = next((rows for rows in found if key not in rows), None)
        if free is None:
            free = {}
            found.append(free)
        free[key] = _row(notification, received_at)
    return [[rows[key] for key in sorted(rows)] for rows in found]


def key_of(notification: alerts.Notification) -> Key:
    """What an episode is known by."""
    return text.storable(notification.fingerprint), notification.starts_at


def _row(notification: alerts.Notification, received_at: datetime) -> Row:
    fingerprint, starts_at = key_of(notification)
    return {
        "fingerprint": fingerprint,
        "starts_at": starts_at,
        "ends_at": notification.ends_at,
        "state": notification.state.value,
        "labels": text.document(notification.labels),
        "annotations": text.document(notification.annotations),
        "generator_url": text.storable(notification.generator_url),
        "received_at": received_at,
        "updated_at": received_at,
        "heard_at": received_at,
        "status": notification.state.value,
    }


def upsert() -> sa.Executable:
    """Insert rows or merge them into those that are there; gives id and key of each."""
    insert = postgresql.insert(tables.episodes)
    old, new = tables.episodes.c, insert.excluded
    after = _state_after(old.state, new.state)
    same = sa.and_(*(old[name].is_not_distinct_from(new[name]) for name in _SAID))
    wins = _rank(new) > _rank(old)
    changes: dict[str, Any] = {name: sa.case((wins, new[name]), else_=old[name]) for name in _SAID}
    changes["state"] = after
    changes["status"] = sa.case((after == alerts.State.RESOLVED.value, after), else_=old.status)
    changes["received_at"] = sa.func.least(old.received_at, new.received_at)
    changes["updated_at"] = sa.case(
        (same, sa.func.least(old.updated_at, new.updated_at)),
        (wins, new.updated_at),
        else_=old.updated_at,
    )
    changes["heard_at"] = sa.case(
        (same, sa.func.greatest(old.heard_at, new.heard_at)),
        (wins, new.heard_at),
        else_=old.heard_at,
    )
    return insert.on_conflict_do_update(
        index_elements=[old.fingerprint, old.starts_at], set_=changes
    ).returning(old.id, old.fingerprint, old.starts_at)


def _state_after(
    before: sa.ColumnElement[str], heard: sa.ColumnElement[str]
) -> sa.ColumnElement[str]:
    return sa.case(
        *(
            (sa.and_(before == known.value, heard == told.value), after.value)
            for (known, told), after in alerts.NEXT.items()
            if known is not None
        ),
    )


def _rank(row: Any) -> sa.Tuple:
    """What is compared between two notifications; the tail breaks ties."""
    return sa.tuple_(
        sa.func.coalesce(row.ends_at, sa.text("'-infinity'::timestamptz")),
        row.heard_at,
        row.annotations,
        row.labels,
        row.generator_url,
    )
