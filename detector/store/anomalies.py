"""Anomalies and incidents in PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import anomalies
from detector.store import database, documents, tables, text

MEMBERS_MAX = 1_000
"""Of an incident that is shown."""

_ANOMALIES = tables.anomalies
_INCIDENTS = tables.incidents
_DECISIONS = tables.decisions
_MERGED = tables.merged_incidents
_KEY = ("query", "series", "opened_at")
_TOLD_LATER = (
    "ended_at",
    "kind",
    "peak_at",
    "peak_score",
    "value",
    "expected",
    "lower",
    "upper",
    "last_at",
    "last_score",
    "explanation",
)


class PostgresAnomalyStore:
    """ports.AnomalyStore in PostgreSQL; threads may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def record(
        self,
        placed: Sequence[tuple[anomalies.IncidentId, anomalies.Anomaly]],
        causes: Mapping[anomalies.IncidentId, tuple[anomalies.Cause, ...]],
    ) -> None:
        """One transaction: rows, then what their incidents have become."""
        rows = {
            (each["query"], each["series"], each["opened_at"]): each for each in map(_row, placed)
        }
        if not rows:
            return
        with self._database.begin() as connection:
            changed = connection.execute(_UPSERT, [rows[key] for key in sorted(rows)])
            decided = list(_decisions(placed))
            if decided:
                connection.execute(_UPSERT_DECISION, decided)
            touched = sorted({row.incident_id for row in changed} | causes.keys())
            connection.execute(_refresh(touched))
            for incident, ranking in causes.items():
                connection.execute(
                    _INCIDENTS.update()
                    .where(_INCIDENTS.c.id == incident)
                    .values(causes=documents.from_causes(ranking))
                )

    def merge(self, merged: Mapping[anomalies.IncidentId, anomalies.IncidentId]) -> None:
        """One transaction; where neither is here there is nothing to be done."""
        if not merged:
            return
        with self._database.begin() as connection:
            for old, into in sorted(merged.items()):
                _merge(connection, old, into)

    def list_anomalies(self, wanted: anomalies.Filter) -> anomalies.Page:
        """One page; an unknown before_id gives an empty one."""
        query = _page(_ANOMALIES, wanted).where(*_conditions(wanted))
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        found = tuple(_remembered(row) for row in rows[: wanted.limit])
        return anomalies.Page(found, found[-1].id if len(rows) > wanted.limit else None)

    def list_incidents(self, wanted: anomalies.Filter) -> anomalies.IncidentPage:
        """One page; an unknown before_id gives an empty one."""
        query = _page(_INCIDENTS, wanted)
        conditions = _conditions(wanted)
        if conditions:
            member = sa.and_(_ANOMALIES.c.incident_id == _INCIDENTS.c.id, *conditions)
            query = query.where(sa.exists().where(member))
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        found = tuple(_incident(row) for row in rows[: wanted.limit])
        return anomalies.IncidentPage(found, found[-1].id if len(rows) > wanted.limit else None)

    def incident(
        self, incident: anomalies.IncidentId
    ) -> tuple[anomalies.Incident, tuple[anomalies.Remembered, ...]] | None:
        """The incident and its first MEMBERS_MAX members."""
        into = sa.select(_MERGED.c.into_id).where(_MERGED.c.id == incident).scalar_subquery()
        now = sa.func.coalesce(into, incident)
        with self._database.begin() as connection:
            row = connection.execute(
                sa.select(_INCIDENTS).where(_INCIDENTS.c.id == now)
            ).one_or_none()
            members = connection.execute(
                sa.select(_ANOMALIES)
                .where(_ANOMALIES.c.incident_id == now)
                .order_by(_ANOMALIES.c.opened_at, _ANOMALIES.c.id)
                .limit(MEMBERS_MAX)
            ).all()
        return (
            None if row is None else (_incident(row), tuple(_remembered(each) for each in members))
        )

    def anomaly(self, anomaly_id: int) -> tuple[anomalies.Remembered, bytes] | None:
        """One anomaly, and the record of its decision."""
        of_it = [_DECISIONS.c[name] == _ANOMALIES.c[name] for name in _KEY]
        query = (
            sa.select(_ANOMALIES, _DECISIONS.c.record)
            .outerjoin(_DECISIONS, sa.and_(*of_it, _DECISIONS.c.peak_at == _ANOMALIES.c.peak_at))
            .where(_ANOMALIES.c.id == anomaly_id)
        )
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (_remembered(row), bytes(row.record or b""))

    def forget(self, before: datetime, *, limit: int) -> int:
        """The oldest first, whole incidents with all that hangs on them."""
        old = (
            sa.select(_INCIDENTS.c.id)
            .where(_INCIDENTS.c.ended_at < before)
            .order_by(_INCIDENTS.c.ended_at)
            .limit(limit)
        )
        with self._database.begin() as connection:
            ids = list(connection.scalars(old))
            connection.execute(_ANOMALIES.delete().where(_ANOMALIES.c.incident_id.in_(ids)))
            connection.execute(_INCIDENTS.delete().where(_INCIDENTS.c.id.in_(ids)))
        return len(ids)

    def recent(self, since: datetime, *, limit: int) -> tuple[anomalies.Remembered, ...]:
        """Those of the newest incidents that had not ended before `since`, oldest first."""
        alive = sa.or_(_INCIDENTS.c.ended_at.is_(None), _INCIDENTS.c.ended_at >= since)
        query = (
            sa.select(_ANOMALIES)
            .join(_INCIDENTS)
            .where(alive)
            .order_by(_ANOMALIES.c.opened_at.desc(), _ANOMALIES.c.id.desc())
            .limit(limit)
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return tuple(_remembered(row) for row in reversed(rows))


def _upsert() -> sa.Executable:
    """Insert rows; where one is there, later news win and the same again changes nothing."""
    insert = postgresql.insert(_ANOMALIES)
    old, new = _ANOMALIES.c, insert.excluded
    later = sa.tuple_(new.last_at, new.ended_at.is_not(None)) > sa.tuple_(
        old.last_at, old.ended_at.is_not(None)
    )
    changes = {name: new[name] for name in _TOLD_LATER}
    return insert.on_conflict_do_update(
        index_elements=[old.query, old.series, old.opened_at], set_=changes, where=later
    ).returning(old.incident_id)


_UPSERT = _upsert()


def _upsert_decision() -> sa.Executable:
    """Insert records; of two of one anomaly that of the later, higher peak stays."""
    insert = postgresql.insert(_DECISIONS)
    old, new = _DECISIONS.c, insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[old[name] for name in _KEY],
        set_={"peak_at": new.peak_at, "record": new.record},
        where=new.peak_at > old.peak_at,
    )


_UPSERT_DECISION = _upsert_decision()


def _decisions(
    placed: Sequence[tuple[anomalies.IncidentId, anomalies.Anomaly]],
) -> Iterator[dict[str, Any]]:
    """A row for each record, in the order of their keys."""
    told = {}
    for _, anomaly in sorted(placed, key=lambda each: each[1].peak_at):
        if anomaly.explanation.record:
            row: dict[str, Any] = {
                "query": text.storable(anomaly.query),
                "series": _digest(text.document(anomaly.labels)),
                "opened_at": anomaly.opened_at,
                "peak_at": anomaly.peak_at,
                "record": anomaly.explanation.record,
            }
            told[tuple(row[name] for name in _KEY)] = row
    yield from (told[key] for key in sorted(told))


def _refresh(touched: Sequence[anomalies.IncidentId]) -> sa.Executable:
    """Work these incidents out anew from their members."""
    c = _ANOMALIES.c

    def first(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.func.array_agg(postgresql.aggregate_order_by(column, c.opened_at, c.id))[1]

    is_over = sa.func.bool_and(c.ended_at.is_not(None))
    summary = (
        sa.select(
            c.incident_id,
            sa.func.min(c.opened_at),
            sa.case((is_over, sa.func.max(c.ended_at))),
            sa.func.count(),
            sa.func.max(c.peak_score),
            first(c.query),
            first(c.labels),
        )
        .where(c.incident_id == sa.any_(sa.literal(touched, postgresql.ARRAY(sa.BigInteger))))
        .group_by(c.incident_id)
        .order_by(c.incident_id)
    )
    names = (
        "id",
        "opened_at",
        "ended_at",
        "members",
        "peak_score",
        "first_query",
        "first_labels",
    )
    insert = postgresql.insert(_INCIDENTS).from_select(names, summary)
    return insert.on_conflict_do_update(
        index_elements=[_INCIDENTS.c.id],
        set_={name: insert.excluded[name] for name in names[1:]},
    )


def _merge(
    connection: sa.Connection, old: anomalies.IncidentId, into: anomalies.IncidentId
) -> None:
    """Give the members of one to the other, and let its id, and those it had, mean the other."""
    members, ids = _ANOMALIES, _MERGED
    connection.execute(
        members.update().where(members.c.incident_id == old).values(incident_id=into)
    )
    connection.execute(_refresh([into]))
    connection.execute(ids.update().where(ids.c.into_id == old).values(into_id=into))
    connection.execute(_INCIDENTS.delete().where(_INCIDENTS.c.id == old))
    here = sa.select(sa.literal(old), _INCIDENTS.c.id).where(_INCIDENTS.c.id == into)
    known = postgresql.insert(ids).from_select(("id", "into_id"), here)
    connection.execute(known.on_conflict_do_nothing())


def _row(placed: tuple[anomalies.IncidentId, anomalies.Anomaly]) -> dict[str, Any]:
    incident, anomaly = placed
    labels = text.document(anomaly.labels)
    return {
        "incident_id": incident,
        "query": text.storable(anomaly.query),
        "series": _digest(labels),
        "labels": labels,
        "opened_at": anomaly.opened_at,
        "ended_at": anomaly.ended_at,
        "kind": anomaly.kind,
        "peak_at": anomaly.peak_at,
        "peak_score": anomaly.peak_score,
        "value": anomaly.value,
        "expected": anomaly.expected,
        "lower": anomaly.lower,
        "upper": anomaly.upper,
        "last_at": anomaly.last_at,
        "last_score": anomaly.last_score,
        "explanation": documents.from_explanation(anomaly.explanation),
    }


def _digest(labels: Mapping[str, str]) -> bytes:
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).digest()[:16]


def _page(table: sa.Table, wanted: anomalies.Filter) -> sa.Select[Any]:
    """What anomalies and incidents are both asked for by."""
    c = table.c
    query = sa.select(table).order_by(c.opened_at.desc(), c.id.desc()).limit(wanted.limit + 1)
    if wanted.state is not None:
        is_open = c.ended_at.is_(None)
        query = query.where(is_open if wanted.state == anomalies.State.OPEN else sa.not_(is_open))
    if wanted.since is not None:
        query = query.where(sa.or_(c.ended_at.is_(None), c.ended_at >= wanted.since))
    if wanted.until is not None:
        query = query.where(c.opened_at < wanted.until)
    if wanted.before_id is not None:
        last = table.alias("last")
        query = query.where(
            sa.tuple_(c.opened_at, c.id)
            < sa.select(last.c.opened_at, last.c.id)
            .where(last.c.id == wanted.before_id)
            .scalar_subquery()
        )
    return query


def _conditions(wanted: anomalies.Filter) -> list[sa.ColumnElement[bool]]:
    """What only anomalies have."""
    c = _ANOMALIES.c
    found: list[sa.ColumnElement[bool]] = []
    if wanted.query is not None:
        found.append(c.query == text.storable(wanted.query))
    if wanted.kind is not None:
        found.append(c.kind == text.storable(wanted.kind))
    if wanted.labels:
        found.append(c.labels.contains(text.document(wanted.labels)))
    return found


def _remembered(row: sa.Row[Any]) -> anomalies.Remembered:
    anomaly = anomalies.Anomaly(
        query=row.query,
        labels=text.labels(row.labels),
        opened_at=row.opened_at,
        ended_at=row.ended_at,
        kind=row.kind,
        peak_at=row.peak_at,
        peak_score=row.peak_score,
        value=row.value,
        expected=row.expected,
        lower=row.lower,
        upper=row.upper,
        last_at=row.last_at,
        last_score=row.last_score,
        explanation=documents.explanation(row.explanation),
    )
    return anomalies.Remembered(row.id, anomaly, row.incident_id)


def _incident(row: sa.Row[Any]) -> anomalies.Incident:
    return anomalies.Incident(
        id=row.id,
        opened_at=row.opened_at,
        ended_at=row.ended_at,
        members=row.members,
        peak_score=row.peak_score,
        first_query=row.first_query,
        first_labels=text.labels(row.first_labels),
        causes=documents.causes(row.causes),
    )
