"""Old months of alerts dropped as a whole; row by row where one of them holds an alert that stays.

Dropping a partition needs its tables for an instant alone. Where somebody reads them for longer,
the wait is given up before others have to wait behind it, and the next turn tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from detector import alerts
from detector.store import database, finding, partitions

WAIT = timedelta(milliseconds=500)
ROWS = 5_000
"""Episodes of one transaction."""
_EARLY = "early"
_NAMES = sa.text("""
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = CAST('episodes' AS regclass) ORDER BY relname
""")
_STAYS = """
    SELECT EXISTS (SELECT FROM {episodes} WHERE state = 'firing')
        OR EXISTS (
            SELECT FROM {episodes}
            WHERE ends_at >= :before AND ends_at - starts_at > interval '1 day'
        )
"""
"""Of a month that was over a day before: what ended later has lasted longer than a day."""
_TAKE = """
    WITH old AS (
        SELECT id FROM {episodes} WHERE ends_at < :before LIMIT :rows
    ), gone AS (
        DELETE FROM {episodes} USING old WHERE {episodes}.id = old.id RETURNING {episodes}.id
    ), unheard AS (
        DELETE FROM {notifications} USING gone WHERE episode_id = gone.id
    ), undone AS (
        DELETE FROM {transitions} USING gone WHERE episode_id = gone.id
    )
    SELECT count(*) FROM gone
"""


def forget(connection: sa.Connection, before: datetime) -> alerts.Forgotten:
    """One step: a month, or some episodes of one."""
    database.set_for_transaction(connection, "lock_timeout", WAIT)
    for suffix in _old(connection, before):
        names = {table: f"{table}_{suffix}" for table in partitions.TABLES}
        stays = sa.text(_STAYS.format(**names))
        if suffix != _EARLY and not connection.scalar(stays, {"before": before}):
            connection.exec_driver_sql(f"DROP TABLE {', '.join(names.values())}")
            return alerts.Forgotten(months=1)
        take = sa.text(_TAKE.format(**names))
        taken = connection.scalar(take, {"before": before, "rows": ROWS})
        if taken:
            return alerts.Forgotten(episodes=taken)
    return alerts.Forgotten()


def _old(connection: sa.Connection, before: datetime) -> Iterator[str]:
    """What the names of the partitions end with that were over a day before."""
    for name in connection.scalars(_NAMES).all():
        suffix = name.rpartition("_")[2]
        if suffix == _EARLY:
            end = partitions.FIRST
        elif suffix.isdecimal():
            end = partitions.after(datetime(int(suffix[:4]), int(suffix[4:]), 1, tzinfo=UTC))
        else:
            continue
        if end + finding.LONG <= before:
            yield suffix
