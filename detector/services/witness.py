"""What fires by Prometheus' own word, for who posts its alerts to Alertmanager again.

Alertmanager takes the latest word on an alert. Where Prometheus ends one between our looking and
our posting, ours would be the latest, and the alert fire on, for up to a minute: until Prometheus
repeats that it is over. So what was posted is looked at once more, and ended if it fires no more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from detector import alerts, frames, ports


class Witness:
    """Remembers what was posted since it looked last. One owner thread.

    Alerts of other sources are none of its business: only what it has seen firing it may end.
    """

    def __init__(self, evaluation: ports.AlertEvaluation, poster: ports.AlertPoster) -> None:
        self._evaluation, self._poster = evaluation, poster
        self._external: frozenset[tuple[str, str]] = frozenset()
        self._firing: frozenset[frozenset[tuple[str, str]]] = frozenset()
        self._posted: dict[frames.Labels, alerts.Posted] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether anything posted is to be looked at once more."""
        return bool(self._posted)

    def look(self, *, at: datetime) -> None:
        """See what fires, and end what was posted and does not fire any more.

        To be done before Alertmanager is looked at and posted to. Raises UpstreamError; then what
        was posted waits for the next time.
        """
        self._external = frozenset(self._evaluation.external_labels())
        self._firing = frozenset(map(self._own, self._evaluation.firing()))
        over = [
            dataclasses.replace(each, ends_at=at)
            for each in self._posted.values()
            if self._own(each.labels) not in self._firing
        ]
        self._poster.post(over)
        self._posted.clear()

    def remember(self, posted: Sequence[alerts.Posted]) -> None:
        """What was posted since look(), as far as that has seen it firing."""
        for each in posted:
            if self._own(each.labels) in self._firing:
                self._posted[each.labels] = each

    def _own(self, labels: frames.Labels) -> frozenset[tuple[str, str]]:
        return frozenset(labels) - self._external
