"""Alerts that are too old are forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from detector import alerts, loops, ports

STEPS = 100
"""Of a turn, each a transaction: one that lasts longer could not be stopped in time."""


class Forgetting:
    """Takes away what ended longer than `keep` ago, and then whom Alertmanager had told of it."""

    def __init__(
        self,
        store: ports.EpisodeStore,
        told: ports.DeliveryStore,
        *,
        keep: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._told = told
        self._keep = keep
        self._clock = clock

    def turn(self) -> loops.Turn:
        """Raises StoreError; what was taken away by then is gone."""
        before, gone = self._clock() - self._keep, 0
        for _ in range(STEPS):
            step = self._store.forget(before)
            if step == alerts.Forgotten():
                break
            gone += step.months + step.episodes
        for _ in range(STEPS):
            if not self._told.forget(before):
                break
        return loops.Turn(went_out=gone)
