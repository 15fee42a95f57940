"""Episodes that came and went while nobody watched, made from Prometheus' series ALERTS."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from detector import alerts, frames, ports

logger = logging.getLogger(__name__)

EXACT = timedelta(milliseconds=1)
"""Samples have whole milliseconds, the times of alerts more digits."""
AWAY = timedelta(minutes=2)
"""So long without a good turn is a time of which something may have been missed."""
BEFORE = timedelta(minutes=5)
"""Looked at again: what fired then may have ended while nobody watched."""
AT_MOST = timedelta(days=7)
"""How far back is looked."""


class Backfilling:
    """Makes what is not known; done twice, it does no harm."""

    def __init__(self, store: ports.EpisodeStore, evaluation: ports.AlertEvaluation) -> None:
        self._store = store
        self._evaluation = evaluation

    def fill(self, since: datetime | None, now: datetime, *, held: Collection[alerts.Key]) -> int:
        """How many episodes were made that began after `since` and are over. Those that are known
        to have begun, and that Alertmanager holds no more, are ended.

        Raises UpstreamError, StoreError; then some of that may have been done.
        """
        if since is None:
            return 0
        start = max(since - BEFORE, now - AT_MOST)
        external = self._evaluation.external_labels()
        made, ended = [], []
        for run in self._evaluation.runs(start, now):
            told = _notification(run, external)
            if not run.is_over or alerts.is_watchdog(told.labels):
                continue
            known = self._known(told, run)
            if not known and run.is_begun:
                made.append(told)
            ended += [
                _ended(each, run)
                for each in known
                if each.state is alerts.State.FIRING and each.key not in held
            ]
        self._store.record([*map(_begun, made), *made, *ended], received_at=now)
        source = (alerts.SOURCE, alerts.FROM_ALERTS)
        self._store.learn({(each.fingerprint, each.starts_at): (source,) for each in made})
        if made:
            logger.info("alerts made from ALERTS", extra={"since": str(since), "alerts": len(made)})
        return len(made)

    def _known(self, told: alerts.Notification, run: alerts.Run) -> list[alerts.Episode]:
        """Episodes of the same alert that lasted at that time."""
        until = run.last + run.interval + EXACT
        wanted = alerts.EpisodeFilter(labels=told.labels, since=run.first - EXACT, until=until)
        found = self._store.list_episodes(wanted).episodes
        return [each for each in found if each.fingerprint == told.fingerprint]


def _ended(known: alerts.Episode, run: alerts.Run) -> alerts.Notification:
    return alerts.Notification(
        fingerprint=known.fingerprint,
        starts_at=known.starts_at,
        ends_at=max(run.last, known.starts_at),
        state=alerts.State.RESOLVED,
        labels=known.labels,
        annotations=known.annotations,
        generator_url=known.generator_url,
        receiver=alerts.FROM_ALERTS,
    )


def _notification(run: alerts.Run, external: frames.Labels) -> alerts.Notification:
    labels = frames.labels_from_pairs((dict(external) | dict(run.labels)).items())
    return alerts.Notification(
        fingerprint=alerts.fingerprint_of(labels),
        starts_at=run.first,
        ends_at=run.last,  # not later than it was, so that what is told of it later counts
        state=alerts.State.RESOLVED,
        labels=labels,
        annotations=(),
        generator_url="",
        receiver=alerts.FROM_ALERTS,
    )


def _begun(each: alerts.Notification) -> alerts.Notification:
    return dataclasses.replace(each, ends_at=None, state=alerts.State.FIRING)
