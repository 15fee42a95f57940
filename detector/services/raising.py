"""Alerts that people raise: kept, and repeated to Alertmanager until they are over.

Alertmanager forgets an alert whose end has passed, so each time it is given one some minutes ahead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from detector import alerts, errors, frames, loops, ports

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
AHEAD = timedelta(minutes=5)
"""An Alertmanager that hears nothing more ends it then."""
END_TOLD_FOR = timedelta(minutes=10)
"""An end is repeated for so long: a repetition that was on its way may have come behind it."""
RECEIVER = "api"


@dataclass(frozen=True, slots=True)
class Raised:
    """A manual alert, and its episode where the memory has it already."""

    manual: alerts.Manual
    episode: alerts.Episode | None


class Raising:
    """Raises alerts and ends them; threads may share it."""

    def __init__(
        self,
        kept: ports.ManualStore,
        store: ports.EpisodeStore,
        poster: ports.AlertPoster,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._kept, self._store, self._poster = kept, store, poster
        self._clock = clock

    def start(
        self, labels: frames.Labels, annotations: frames.Labels, *, lasting: timedelta, by: str
    ) -> Raised:
        """Raise an alert that is over by itself when `lasting` has passed.

        Raises ConflictError if one with these labels fires, UpstreamError, StoreError; then it is
        not raised. Where we are stopped in between, it may be.
        """
        now = self._clock()
        starts_at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        labels = frames.labels_from_pairs(labels)
        fingerprint = alerts.fingerprint_of(labels)
        self._refuse_twice(labels, fingerprint)
        new = alerts.Manual(
            id=0,
            fingerprint=fingerprint,
            starts_at=starts_at,
            until=starts_at + lasting,
            ended_at=None,
            labels=labels,
            annotations=frames.labels_from_pairs((*annotations, ("raised_by", by))),
            raised_by=by,
        )
        manual = self._kept.add(new, at=now)
        if manual is None:
            raise errors.ConflictError("an alert with these labels was raised and fires already")
        try:
            self._poster.post([_posted(manual, now)])
        except errors.UpstreamError:
            self._kept.drop(manual.id)
            raise
        return Raised(manual, self._remembered(manual, now))

    def firing(self, key: alerts.Key) -> alerts.Manual | None:
        """The manual alert of this key, while it fires; None of any other. Raises StoreError."""
        return self._kept.firing(key)

    def end(self, manual: alerts.Manual) -> None:
        """It is over, at Alertmanager too. Raises UpstreamError, StoreError; then it goes on."""
        now = max(self._clock(), manual.starts_at)
        over = replace(manual, ended_at=now)
        self._poster.post([_posted(over, now)])
        self._kept.end(manual.id, at=now)
        self._store.record([_notification(over)], received_at=now)

    def turn(self) -> loops.Turn:
        """Repeat those that fire, and for a while the end of those that do no more.

        Raises UpstreamError, StoreError.
        """
        now = self._clock()
        due = self._kept.due(ended_since=now - END_TOLD_FOR, at=now)
        self._poster.post([_posted(each, now) for each in due])
        return loops.Turn(came_in=len(due), went_out=len(due))

    def _refuse_twice(self, labels: frames.Labels, fingerprint: alerts.Fingerprint) -> None:
        wanted = alerts.EpisodeFilter(state=alerts.State.FIRING, labels=labels, limit=1000)
        for each in self._store.list_episodes(wanted).episodes:
            if each.fingerprint == fingerprint:
                raise errors.ConflictError(
                    f"alert {each.id}: it has these labels and fires already: acknowledge or end "
                    "that one, or give a label more"
                )

    def _remembered(self, manual: alerts.Manual, now: datetime) -> alerts.Episode | None:
        try:
            self._store.record([_notification(manual)], received_at=now)
            return self._store.episode_of(manual.key)
        except errors.StoreError as error:  # Alertmanager's webhook will tell of it
            logger.warning("raised, not yet remembered", extra={"reason": str(error)})
            return None


def _posted(manual: alerts.Manual, now: datetime) -> alerts.Posted:
    ends_at = manual.ended_at or min(manual.until, now + AHEAD)
    return alerts.Posted(manual.labels, manual.annotations, manual.starts_at, ends_at)


def _notification(manual: alerts.Manual) -> alerts.Notification:
    is_over = manual.ended_at is not None
    return alerts.Notification(
        fingerprint=manual.fingerprint,
        starts_at=manual.starts_at,
        ends_at=manual.ended_at,
        state=alerts.State.RESOLVED if is_over else alerts.State.FIRING,
        labels=manual.labels,
        annotations=manual.annotations,
        generator_url="",
        receiver=RECEIVER,
    )
