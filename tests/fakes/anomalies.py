"""ports.AnomalyStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from detector import anomalies, errors

_Found = TypeVar("_Found", anomalies.Remembered, anomalies.Incident)


class FakeAnomalyStore:
    """Keeps the latest of each anomaly and works incidents out when it is asked."""

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self.refused: set[str] = set()
        """Queries whose anomalies are refused for good."""
        self._rows: dict[anomalies.Key, anomalies.Remembered] = {}
        self._records: dict[anomalies.Key, tuple[datetime, bytes]] = {}
        self._merged: dict[anomalies.IncidentId, anomalies.IncidentId] = {}
        self._causes: dict[anomalies.IncidentId, tuple[anomalies.Cause, ...]] = {}

    def record(
        self,
        placed: Sequence[tuple[anomalies.IncidentId, anomalies.Anomaly]],
        causes: Mapping[anomalies.IncidentId, tuple[anomalies.Cause, ...]],
    ) -> None:
        self._fail()
        for _, anomaly in placed:
            if anomaly.query in self.refused:
                raise errors.StoreError(f"{anomaly.query}: refused", retryable=False)
        for incident, anomaly in placed:
            new = anomalies.Remembered(len(self._rows) + 1, anomaly, incident)
            old = self._rows.setdefault(anomaly.key, new)
            if _rank(anomaly) > _rank(old.anomaly):
                self._rows[anomaly.key] = dataclasses.replace(old, anomaly=anomaly)
            if anomaly.explanation.record:
                told = (anomaly.peak_at, anomaly.explanation.record)
                self._records[anomaly.key] = max(told, self._records.get(anomaly.key, told))
        for key, row in self._rows.items():
            bare = anomalies.without_record(row.anomaly)
            self._rows[key] = dataclasses.replace(row, anomaly=bare)
        self._causes |= causes

    def merge(self, merged: Mapping[anomalies.IncidentId, anomalies.IncidentId]) -> None:
        self._fail()
        for old, into in merged.items():
            for key, row in self._rows.items():
                if row.incident == old:
                    self._rows[key] = dataclasses.replace(row, incident=into)
            self._merged = {id_: into if to == old else to for id_, to in self._merged.items()}
            if self._members(into):
                self._merged.setdefault(old, into)

    def list_anomalies(self, wanted: anomalies.Filter) -> anomalies.Page:
        self._fail()
        newest = sorted(self._rows.values(), key=lambda row: (row.anomaly.opened_at, row.id))
        rows = _after(newest[::-1], wanted.before_id)
        found = [
            row for row in rows if _matches(row.anomaly, wanted) and _lasts(row.anomaly, wanted)
        ]
        return anomalies.Page(*_cut(found, wanted.limit))

    def list_incidents(self, wanted: anomalies.Filter) -> anomalies.IncidentPage:
        self._fail()
        ids = {row.incident for row in self._rows.values()}
        every = sorted(map(self._incident, ids), key=lambda each: (each.opened_at, each.id))
        found = [
            each
            for each in _after(every[::-1], wanted.before_id)
            if _lasts(each, wanted)
            and any(_matches(row.anomaly, wanted) for row in self._members(each.id))
        ]
        return anomalies.IncidentPage(*_cut(found, wanted.limit))

    def incident(
        self, incident: anomalies.IncidentId
    ) -> tuple[anomalies.Incident, tuple[anomalies.Remembered, ...]] | None:
        self._fail()
        incident = self._merged.get(incident, incident)
        members = self._members(incident)
        return (self._incident(incident), members) if members else None

    def anomaly(self, anomaly_id: int) -> tuple[anomalies.Remembered, bytes] | None:
        self._fail()
        for row in self._rows.values():
            if row.id == anomaly_id:
                peak_at, record = self._records.get(row.anomaly.key, (None, b""))
                return row, record if peak_at == row.anomaly.peak_at else b""
        return None

    def forget(self, before: datetime, *, limit: int) -> int:
        self._fail()
        every = map(self._incident, {row.incident for row in self._rows.values()})
        old = [(each.ended_at, each.id) for each in every if each.ended_at]
        gone = {id_ for ended_at, id_ in sorted(old)[:limit] if ended_at < before}
        self._rows = {key: row for key, row in self._rows.items() if row.incident not in gone}
        return len(gone)

    def recent(self, since: datetime, *, limit: int) -> tuple[anomalies.Remembered, ...]:
        self._fail()
        rows = sorted(self._rows.values(), key=lambda row: (row.anomaly.opened_at, row.id))
        alive = anomalies.Filter(since=since)
        return tuple(row for row in rows if _lasts(self._incident(row.incident), alive))[-limit:]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _members(self, incident: anomalies.IncidentId) -> tuple[anomalies.Remembered, ...]:
        rows = [row for row in self._rows.values() if row.incident == incident]
        return tuple(sorted(rows, key=lambda row: (row.anomaly.opened_at, row.id)))

    def _incident(self, incident: anomalies.IncidentId) -> anomalies.Incident:
        members = [row.anomaly for row in self._members(incident)]
        ends = [each.ended_at for each in members if each.ended_at is not None]
        return anomalies.Incident(
            id=incident,
            opened_at=members[0].opened_at,
            ended_at=max(ends) if len(ends) == len(members) else None,
            members=len(members),
            peak_score=max(each.peak_score for each in members),
            first_query=members[0].query,
            first_labels=members[0].labels,
            causes=self._causes.get(incident, ()),
        )


def _rank(anomaly: anomalies.Anomaly) -> tuple[datetime, bool]:
    return anomaly.last_at, anomaly.ended_at is not None


def _after(rows: list[_Found], before_id: int | None) -> list[_Found]:
    if before_id is None:
        return rows
    ids = [row.id for row in rows]
    return rows[ids.index(before_id) + 1 :] if before_id in ids else []


def _cut(rows: list[_Found], limit: int) -> tuple[tuple[_Found, ...], int | None]:
    page = tuple(rows[:limit])
    return page, page[-1].id if len(rows) > limit else None


def _matches(anomaly: anomalies.Anomaly, wanted: anomalies.Filter) -> bool:
    return (
        wanted.query in (None, anomaly.query)
        and wanted.kind in (None, anomaly.kind)
        and set(wanted.labels) <= set(anomaly.labels)
    )


def _lasts(each: anomalies.Anomaly | anomalies.Incident, wanted: anomalies.Filter) -> bool:
    return (
        wanted.state in (None, each.state)
        and (wanted.since is None or each.ended_at is None or each.ended_at >= wanted.since)
        and (wanted.until is None or each.opened_at < wanted.until)
    )
