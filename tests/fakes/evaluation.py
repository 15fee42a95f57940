"""ports.AlertEvaluation that says what it is told."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from detector import alerts, errors, frames


class FakeAlertEvaluation:
    """While `failure` is set, each call raises it."""

    def __init__(self, external: frames.Labels = ()) -> None:
        self.failure: errors.UpstreamError | None = None
        self.now: list[alerts.Active] = []
        self.past: list[alerts.Run] = []
        self.asked: list[tuple[datetime, datetime]] = []
        self._external = external

    def active(self) -> tuple[alerts.Active, ...]:
        self._fail()
        return tuple(self.now)

    def runs(self, since: datetime, until: datetime) -> tuple[alerts.Run, ...]:
        self._fail()
        self.asked.append((since, until))
        return tuple(
            dataclasses.replace(
                each,
                first=max(each.first, since),
                last=min(each.last, until),
                is_begun=each.is_begun and each.first > since,
                is_over=each.is_over and each.last < until,
            )
            for each in self.past
            if each.last >= since and each.first <= until
        )

    def firing(self) -> frozenset[frames.Labels]:
        self._fail()
        return frozenset(each.labels for each in self.now if each.is_firing)

    def external_labels(self) -> frames.Labels:
        self._fail()
        return self._external

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
