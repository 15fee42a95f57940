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


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    firing: frozenset[frozenset[tuple[str, str]]]
    external: frozenset[tuple[str, str]]

    def has(self, labels: frames.Labels) -> bool:
        return frozenset(labels) - self.external in self.firing


class Witness:
    """Remembers what was posted last. One owner thread.

    Alerts of other sources are none of its business: only what it has seen firing it may end.
    """

    def __init__(self, evaluation: ports.AlertEvaluation, poster: ports.AlertPoster) -> None:
        self._evaluation, self._poster = evaluation, poster
        self._seen: _Seen | None = None
        self._posted: tuple[alerts.Posted, ...] = ()

    def look(self) -> None:
        """See what fires; before looking at Alertmanager and posting. Raises UpstreamError."""
        self._seen = None
        external = frozenset(self._evaluation.external_labels())
        firing = frozenset(map(frozenset, self._evaluation.firing()))
        self._seen = _Seen(firing, external)

    def remember(self, posted: Sequence[alerts.Posted]) -> None:
        """What was posted since look()."""
        seen = self._seen
        if seen is not None:
            self._posted = (*self._posted, *(each for each in posted if seen.has(each.labels)))

    def end(self, *, at: datetime) -> int:
        """End those that fired before they were posted and do not any more: how many. Raises
        UpstreamError; then they wait for the next time."""
        if not self._posted:
            return 0
        self.look()
        seen = self._seen
        over = [
            dataclasses.replace(each, ends_at=at)
            for each in self._posted
            if seen is not None and not seen.has(each.labels)
        ]
        self._poster.post(over)
        self._posted = ()
        return len(over)
