"""ports.DeliveryStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from detector import alerts, deliveries, errors


class FakeDeliveryStore:
    """Keeps them in a dict; threads may share it.

    is_remembered  whether an alert is
    """

    def __init__(self, is_remembered: Callable[[alerts.Key], bool] = lambda _: False) -> None:
        self._is_remembered = is_remembered
        self.failure: errors.StoreError | None = None
        self._kept: dict[deliveries.Delivery, datetime] = {}
        self._lock = threading.Lock()

    def record(self, told: Sequence[deliveries.Delivery]) -> int:
        with self._lock:
            self._fail()
            before = len(self._kept)
            for each in told:
                key = dataclasses.replace(each, at=datetime.min)  # noqa: DTZ901 - no instant
                self._kept[key] = min(each.at, self._kept.get(key, each.at))
            return len(self._kept) - before

    def about(self, key: alerts.Key) -> tuple[deliveries.Delivery, ...]:
        with self._lock:
            self._fail()
            found = [
                dataclasses.replace(each, at=at)
                for each, at in self._kept.items()
                if each.key == key
            ]
        return tuple(
            sorted(found, key=lambda each: (each.at, each.receiver, each.integration, each.state))
        )

    def forget(self, before: datetime) -> int:
        with self._lock:
            self._fail()
            old = [
                each
                for each, at in self._kept.items()
                if at < before and not self._is_remembered(each.key)
            ]
            for each in old:
                del self._kept[each]
            return len(old)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
