"""Partitions of the tables of alerts, one for each month (UTC) in which alerts started.

Months before 2020 and from 2100 on share one each, `early` and `late`. There is no default
partition: without one, PostgreSQL reads partitions in the order of time, and a page of the newest
alerts ends at the first one that fills it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

TABLES = ("episodes", "notifications", "transitions")
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
NAME = re.compile(rf"(?:{'|'.join(TABLES)})_(?:\d{{6}}|early|late)")
_LOCK_KEY = 0x6D6461_70617274
"""Any number that no other program locks: "mda part" in ASCII."""
_MISSING = sa.text(
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(name) IS NULL"
)


def month_of(instant: datetime) -> datetime:
    """When its month begins, by UTC."""
    at = instant.astimezone(UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def after(month: datetime) -> datetime:
    """When the next month begins."""
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def name_of(table: str, month: datetime) -> str:
    """Of the partition of this month.

    >>> name_of("episodes", datetime(2026, 3, 1, tzinfo=UTC))
    'episodes_202603'
    """
    return f"{table}_{month:%Y%m}"


def ensure(connection: sa.Connection, instants: Iterable[datetime]) -> None:
    """Make the partitions that alerts which started at these instants belong into."""
    months = {month_of(each) for each in instants if FIRST <= each < LAST}
    names = {name_of(TABLES[0], month): month for month in months}
    if not names or not connection.scalars(_MISSING, {"names": list(names)}).all():
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
    for month in sorted(months):
        for table in TABLES:
            connection.exec_driver_sql(
                f"CREATE TABLE IF NOT EXISTS {name_of(table, month)} PARTITION OF {table} "
                f"FOR VALUES FROM ('{month:%Y-%m-%d}+00') TO ('{after(month):%Y-%m-%d}+00')"
            )
