"""News of anomalies that wait for the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from detector import anomalies

CAPACITY = 20_000
"""Anomalies that wait: some 30 MB."""
RECORDS_MOST = 2_000
"""While more than so many wait, what scores were made from is not kept: each takes some 7 kB."""


class Inbox:
    """A bounded queue in which only the latest news of each anomaly waits; threads may share it.

    So however long the store is away, what waits grows with anomalies, not with time. Where it
    is full, news of others are dropped and counted; of one that lasts there will be more news.
    """

    def __init__(self, *, drop: Callable[[int], None], capacity: int = CAPACITY) -> None:
        self._drop, self._capacity = drop, capacity
        self._lock = threading.Lock()
        self._waiting: dict[anomalies.Key, anomalies.Anomaly] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, anomaly: anomalies.Anomaly) -> None:
        """Take it in, at once."""
        with self._lock:
            if anomaly.key in self._waiting or len(self._waiting) < self._capacity:
                kept = anomalies.with_record(anomaly, self._waiting.get(anomaly.key))
                if len(self._waiting) >= RECORDS_MOST:
                    kept = anomalies.without_record(kept)
                self._waiting[anomaly.key] = kept
                return
        self._drop(1)

    def take(self, at_most: int) -> list[anomalies.Anomaly]:
        """Those that came first."""
        with self._lock:
            keys = list(self._waiting)[:at_most]
            return [self._waiting.pop(key) for key in keys]

    def put_back(self, taken: Iterable[anomalies.Anomaly]) -> None:
        """What was taken and could not be stored, in front; newer news stand."""
        with self._lock:
            front = {each.key: each for each in taken}
            newer = {
                key: anomalies.with_record(each, front.get(key))
                for key, each in self._waiting.items()
            }
            whole = front | newer
            self._waiting = dict(list(whole.items())[: self._capacity])
            dropped = len(whole) - len(self._waiting)
        if dropped:
            self._drop(dropped)
