"""From what Alertmanager delivers to messages that wait to be sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Protocol

from detector import alerts, letters, messages, ports, segments, telemetry, wall_clock, wording


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of every day, by the clocks of the zone; an end at or before the start is on the next
    day. Messages of the severities `but` are sent all the same."""

    start: time
    end: time
    but: frozenset[str]

    def holds(self, at: datetime, zone: tzinfo) -> bool:
        """Whether this instant lies in them."""
        for back in (1, 0):
            day = (at.astimezone(zone) - timedelta(days=back)).date()
            start = datetime.combine(day, self.start)
            end = datetime.combine(day, self.end)
            end += timedelta(days=self.end <= self.start)
            begins, ends = wall_clock.span_from_wall(start, end, zone)
            if begins <= at < ends:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Style:
    """How messages are written, and when they may be sent.

    parts       that a text may take, at most
    part_price  estimated, of one
    provider    that is asked first
    """

    parts: int
    part_price: float
    provider: str
    zone: tzinfo = UTC
    quiet: Quiet | None = None

    def draft(self, told: Sequence[alerts.Notification], at: datetime) -> messages.Draft:
        """The message that tells of these, not empty."""
        text = segments.fitted(wording.sms(told, self.zone), self.parts)
        return self.drafted(text, wording.severity_of(told), at)

    def drafted(self, text: str, severity: str, at: datetime) -> messages.Draft:
        """A message of this text, which fits."""
        parts = segments.parts_of(text)
        price = parts * self.part_price
        return messages.Draft(text, parts, severity, self.provider, price, at)

    def allowed(self, at: datetime) -> frozenset[str] | None:
        """Severities of which messages are sent at this instant; None for all."""
        return self.quiet.but if self.quiet and self.quiet.holds(at, self.zone) else None


class Manner(Protocol):
    """How messages of one kind are written, and when they may be sent."""

    @property
    def zone(self) -> tzinfo:
        """By whose clocks times are told, and a day ends."""
        ...

    def draft(self, told: Sequence[alerts.Notification], at: datetime) -> messages.Draft:
        """The message that tells of these, not empty."""
        ...

    def drafted(self, text: str, severity: str, at: datetime) -> messages.Draft:
        """A message of this text, which fits."""
        ...

    def allowed(self, at: datetime) -> frozenset[str] | None:
        """Severities of which messages are sent at this instant; None for all."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that may be long and costs nothing, as chats take it.

    provider  that is given it
    """

    provider: str
    zone: tzinfo = UTC

    def draft(self, told: Sequence[alerts.Notification], at: datetime) -> messages.Draft:
        """The message that tells of these, not empty."""
        return self.drafted(letters.text(told, self.zone), wording.severity_of(told), at)

    def drafted(self, text: str, severity: str, at: datetime) -> messages.Draft:
        """A message of this text."""
        return messages.Draft(text, 1, severity, self.provider, 0.0, at)

    def allowed(self, at: datetime) -> frozenset[str] | None:
        """All, at any time."""
        return None


class Telling:
    """Queues messages; threads may share it.

    recipients  who hears of every alert; stand_ins only of the end of what they were told of
    """

    def __init__(
        self,
        store: ports.MessageStore,
        style: Manner,
        *,
        recipients: Sequence[str],
        stand_ins: Sequence[str],
        clock: Callable[[], datetime],
        meters: telemetry.Telemetry,
    ) -> None:
        self._store, self._style = store, style
        self._recipients, self._stand_ins = tuple(recipients), tuple(stand_ins)
        self._clock = clock
        self._queued = meters.messages.labels(messages.State.QUEUED.value)

    def tell(self, delivered: Sequence[alerts.Notification]) -> int:
        """Queue what is news: how many messages. All of it is stored when this returns, and
        repeating it changes nothing. Raises StoreError."""
        at = self._clock()

        def draft(told: Sequence[alerts.Notification]) -> messages.Draft:
            return self._style.draft(told, at)

        queued = self._store.tell(self._recipients, delivered, draft, at=at)
        ended = [each for each in delivered if each.state is alerts.State.RESOLVED]
        if ended and self._stand_ins:
            queued += self._store.tell(self._stand_ins, ended, draft, at=at)
        self._queued.inc(queued)
        return queued
