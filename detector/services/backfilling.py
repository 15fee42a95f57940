"""Episodes that came and went while nobody watched, made from Prometheus' series ALERTS."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from detector import alerts, frames, ports
from detector.services import portions

logger = logging.getLogger(__name__)

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
        over = [
            (run, _notification(run, external))
            for run in self._evaluation.runs(start, now)
            if run.is_over and not alerts.is_watchdog(run.labels)
        ]
        known = self._known({told.fingerprint for _, told in over}, start)
        made, ended = [], []
        for run, told in over:
            same = [each for each in known[told.fingerprint] if _lasted_through(each, run)]
            if not same and run.is_begun:
                made.append(told)
            ended += [
                _ended(each, run)
                for each in same
                if each.state is alerts.State.FIRING and each.key not in held
            ]
        for some in portions.parts(made):
            self._make(some, now)
        for some in portions.parts(ended):
            self._store.record(some, received_at=now)
        if made:
            logger.info("alerts made from ALERTS", extra={"since": str(since), "alerts": len(made)})
        return len(made)

    def _known(
        self, wanted: Collection[alerts.Fingerprint], since: datetime
    ) -> Mapping[alerts.Fingerprint, Sequence[alerts.Episode]]:
        """Episodes of these alerts that had not ended before: read once, however many they are."""
        found: defaultdict[alerts.Fingerprint, list[alerts.Episode]] = defaultdict(list)
        if wanted:
            lasted = alerts.EpisodeFilter(since=since)
            for each in itertools.chain.from_iterable(portions.pages(self._store, lasted)):
                if each.fingerprint in wanted:
                    found[each.fingerprint].append(each)
        return found

    def _make(self, made: Sequence[alerts.Notification], now: datetime) -> None:
        self._store.record([*map(_begun, made), *made], received_at=now)
        source = (alerts.SOURCE, alerts.FROM_ALERTS)
        self._store.learn({(each.fingerprint, each.starts_at): (source,) for each in made})


def _lasted_through(known: alerts.Episode, run: alerts.Run) -> bool:
    """Whether both were at the same time."""
    is_late = known.starts_at > run.last + run.interval
    is_early = known.ends_at is not None and known.ends_at < run.first
    return not (is_late or is_early)


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
