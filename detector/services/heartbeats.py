"""The dead man's switch: an alert that always fires shows that alerts arrive (docs/adr/0020)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from detector import alerts, errors, ports, telemetry

logger = logging.getLogger(__name__)

EVALUATED_AT = "evaluated_at"
"""Annotation of Watchdog that another evaluation of its rule changes."""
Seen = frozenset[tuple[str, str]]
"""(fingerprint, evaluated_at) of each alert of a delivery."""


class Heartbeats:
    """Hears Watchdogs and passes them on. Threads may share it.

    Alertmanager repeats an alert for minutes after Prometheus has fallen silent, so only those
    count that have been evaluated since the last one; of those that do not tell, all.

    sender  None where nobody outside is to be told
    keep    remembers when one came
    came_at when one came before this process began; None for never
    """

    def __init__(
        self,
        sender: ports.HeartbeatSender | None,
        *,
        keep: Callable[[datetime], None],
        came_at: datetime | None,
        clock: Callable[[], datetime],
        meters: telemetry.Telemetry,
    ) -> None:
        self._sender, self._keep = sender, keep
        self._clock, self._meters = clock, meters
        self._came_at = came_at
        self._seen = self._told = Seen()
        self._has_failed = False
        if came_at is not None:
            meters.heartbeat_received.set(came_at.timestamp())

    @property
    def came_at(self) -> datetime | None:
        """When the last one came; None if none ever did."""
        return self._came_at

    def silence(self) -> timedelta | None:
        """How long none has come; None if none ever did."""
        return None if self._came_at is None else self._clock() - self._came_at

    def hear(self, delivered: Sequence[alerts.Notification]) -> bool:
        """Whether one of these shows that alerts arrive; then it has been told where it should.

        Raises UpstreamError where it could not be told; then they are to be sent again.
        """
        firing = [each for each in delivered if each.state is alerts.State.FIRING]
        seen = Seen((each.fingerprint, _evaluated_at(each)) for each in firing)
        if _is_news(seen, self._seen):
            self._seen = seen
            self._came_at = now = self._clock()
            self._meters.heartbeat_received.set(now.timestamp())
            self._keep(now)
        if not _is_news(seen, self._told):
            return False
        if self._sender is not None:
            self._beat(self._sender)
        self._told = seen
        return True

    def _beat(self, sender: ports.HeartbeatSender) -> None:
        now = self._clock()
        try:
            sender.beat(f"Alerts arrive: Watchdog came at {now.isoformat(timespec='seconds')}.")
        except errors.UpstreamError as error:
            self._meters.heartbeat_failures.labels(error.kind).inc()
            if not self._has_failed:
                logger.warning("heartbeat not passed on", extra={"reason": str(error)})
            self._has_failed = True
            raise
        if self._has_failed:
            logger.info("heartbeats are passed on again")
        self._has_failed = False
        self._meters.heartbeat_sent.set(now.timestamp())


def _is_news(seen: Seen, before: Seen) -> bool:
    """Whether some alert has been evaluated anew, or does not tell."""
    return any(pair not in before or not pair[1] for pair in seen)


def _evaluated_at(given: alerts.Notification) -> str:
    return dict(given.annotations).get(EVALUATED_AT, "")
