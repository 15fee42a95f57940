"""News of anomalies put into incidents and into the store, on a loop of their own."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from detector import anomalies, causes, errors, frames, incidents, loops, ports
from detector.services import inbox, watching

logger = logging.getLogger(__name__)

BATCH = 1_000
"""Anomalies of one transaction."""
BATCHES = 10
"""Of a turn: one that lasts longer could not be stopped in time."""
FORGOTTEN_AT_ONCE = 200
"""Incidents of a turn, each of up to a thousand members."""
FORGET_EVERY = timedelta(hours=1)
RECENT_MAX = 5_000
"""Anomalies of incidents that may go on, read at the start."""


class Recorder:
    """Remembers what the trackers tell of. A store that is away is waited for: news gather in the
    inbox meanwhile.

    tracker_of  what watches a query; None if it is not run
    series_of   labels of the series of a query that are scored now
    drop        counts what the store refused for good
    keep        how long after its end an incident is remembered
    """

    def __init__(
        self,
        store: ports.AnomalyStore,
        news: inbox.Inbox,
        *,
        tracker_of: Callable[[str], watching.Tracker | None],
        series_of: Callable[[str], Sequence[frames.Labels]],
        drop: Callable[[int], None],
        keep: timedelta,
        clock: Callable[[], float],
    ) -> None:
        self._store, self._news, self._keep = store, news, keep
        self._tracker_of, self._series_of = tracker_of, series_of
        self._drop, self._clock = drop, clock
        self._grouping = incidents.Grouping()
        self._left: dict[anomalies.Key, anomalies.Anomaly] | None = None
        self._forget_at = self._now()

    def turn(self) -> loops.Turn:
        """Store what waits. Raises StoreError; then all of it waits for the next turn."""
        self._read_recent()
        self._end_left()
        stored = 0
        for _ in range(BATCHES):
            told = self._news.take(BATCH)
            if not told:
                break
            stored += self._record(told)
        self._grouping.forget(self._now())
        self._forget_old()
        return loops.Turn(stored, stored)

    def _forget_old(self) -> None:
        """A part of what has ended long ago; the rest at later turns."""
        now = self._now()
        if now < self._forget_at:
            return
        gone = self._store.forget(now - self._keep, limit=FORGOTTEN_AT_ONCE)
        if gone < FORGOTTEN_AT_ONCE:
            self._forget_at = now + FORGET_EVERY
        if gone:
            logger.info("old incidents forgotten", extra={"incidents": gone})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _read_recent(self) -> None:
        """At the first turn: the incidents that may go on, and what a life before left open."""
        if self._left is not None:
            return
        rows = self._store.recent(self._now() - incidents.SLACK, limit=RECENT_MAX)
        for row in rows:
            self._grouping.restore(row.anomaly, row.incident)
        self._left = {row.anomaly.key: row.anomaly for row in rows if row.anomaly.ended_at is None}

    def _end_left(self) -> None:
        """End what a life before left open as soon as it is known not to be open any more."""
        for key, anomaly in list((self._left or {}).items()):
            tracker = self._tracker_of(key.query)
            if tracker is not None and not tracker.has_followed:
                continue
            if tracker is None or key not in tracker.open_keys():
                self._news.put_back([dataclasses.replace(anomaly, ended_at=anomaly.last_at)])
            del (self._left or {})[key]

    def _record(self, told: list[anomalies.Anomaly]) -> int:
        first = [self._grouping.place(each) for each in told]
        merged = self._grouping.merged
        placed = [
            (merged.get(incident, incident), each)
            for incident, each in zip(first, told, strict=True)
        ]
        try:
            self._merge(merged)
            self._store.record(placed, self._causes({incident for incident, _ in placed}))
        except errors.StoreError as error:
            if error.retryable:
                self._news.put_back(told)
                raise
            if len(told) > 1:
                return sum(self._record([each]) for each in told)
            logger.warning("anomaly refused", extra={"reason": str(error)})
            self._drop(1)
            return 0
        return len(told)

    def _merge(self, merged: Mapping[anomalies.IncidentId, anomalies.IncidentId]) -> None:
        """Raises StoreError where it may work later; what is refused for good stays apart."""
        try:
            self._store.merge(merged)
        except errors.StoreError as error:
            if error.retryable:
                raise
            logger.warning("incidents not merged", extra={"reason": str(error)})
        self._grouping.forget_merged()

    def _causes(
        self, changed: Collection[anomalies.IncidentId]
    ) -> Mapping[anomalies.IncidentId, tuple[anomalies.Cause, ...]]:
        found = {}
        for incident in changed:
            members = self._grouping.members(incident)
            series = {each.query: self._series_of(each.query) for each in members}
            found[incident] = causes.rank(causes.deviations(members, series))
        return found
