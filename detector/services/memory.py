"""Notifications become remembered episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from detector import alerts, errors, ports


class Outcome(StrEnum):
    """What became of a notification."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    FAILED = "failed"


class Memory:
    """Puts notifications into the store and counts what became of each; threads may share it.

    count  takes an Outcome's value and how many
    clock  the instant now
    """

    def __init__(
        self,
        store: ports.EpisodeStore,
        *,
        count: Callable[[str, int], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._count = count
        self._clock = clock

    def remember(self, notifications: Sequence[alerts.Notification]) -> alerts.Recorded:
        """How many were new and known; all are stored for good when this returns, but for the
        alert that always fires.

        Raises StoreError; then they must be sent again, which does no harm if they were stored.
        """
        episodes = [
            dataclasses.replace(each, annotations=alerts.without_links(each.annotations))
            for each in notifications
            if not alerts.is_watchdog(each.labels)
        ]
        try:
            recorded = self._store.record(episodes, received_at=self._clock())
        except errors.StoreError:
            self._count(Outcome.FAILED, len(episodes))
            raise
        self._count(Outcome.STORED, recorded.stored)
        self._count(Outcome.DUPLICATE, recorded.duplicate)
        return recorded

    def refuse(self, count: int) -> None:
        """Count notifications that could not be understood."""
        self._count(Outcome.REFUSED, count)
