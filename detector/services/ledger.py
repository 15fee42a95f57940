"""Whom Alertmanager has told of what, as its events say, is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from detector import deliveries, errors, ports


class Outcome(StrEnum):
    """What became of an event."""

    KEPT = "kept"
    PASSED_OVER = "passed_over"
    REFUSED = "refused"
    FAILED = "failed"


class Ledger:
    """Puts deliveries into the store and counts events; threads may share it.

    count  takes an Outcome's value
    """

    def __init__(self, store: ports.DeliveryStore, *, count: Callable[[str], None]) -> None:
        self._store = store
        self._count = count

    def keep(self, told: Sequence[deliveries.Delivery]) -> int:
        """How many of an event's deliveries were not known; all are stored when this returns.

        Raises StoreError; then it must be sent again, which does no harm if it was stored.
        """
        if not told:
            self._count(Outcome.PASSED_OVER)
            return 0
        try:
            stored = self._store.record(told)
        except errors.StoreError:
            self._count(Outcome.FAILED)
            raise
        self._count(Outcome.KEPT)
        return stored

    def refuse(self) -> None:
        """Count an event that could not be understood."""
        self._count(Outcome.REFUSED)
