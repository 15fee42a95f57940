"""Alerts posted to Alertmanager again, with more annotations (ADR 19).

Prometheus sends each of its alerts once a minute and its annotations replace ours; so ours are put
back within seconds, for as long as it fires. An alert is posted with its own start and end, so that
what has ended stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from detector import alerts, errors, loops, ports
from detector.services import facts

EVERY = timedelta(seconds=5)
"""At the latest."""
OFTEN = timedelta(seconds=1)
"""A message that goes out between Prometheus' repetition and our next turn has less in it."""
PAUSE_RATIO = 10
"""Times what a turn took: where Alertmanager holds thousands of alerts, to list them takes time."""
MOST = 1_000
"""Alerts that are posted in a turn, the newest first."""
FRESH_FOR = timedelta(seconds=45)
"""Less than the minute in which Prometheus repeats itself: each time values are read anew."""
RETRIED_AFTER = timedelta(seconds=30)
LEAST_LEFT = timedelta(seconds=15)
"""An alert that will be over so soon may be over when this arrives."""
A_BIT = timedelta(milliseconds=1)
"""Alertmanager tells instants to the millisecond and keeps them exactly. A start that is later, if
only by this, is the same alert to it, and the earlier one stays."""


@dataclass(slots=True)
class _Episode:
    """What is known of an alert that fires."""

    ours: facts.Annotations
    known_at: datetime
    is_whole: bool

    def is_stale(self, now: datetime) -> bool:
        return now - self.known_at >= (FRESH_FOR if self.is_whole else RETRIED_AFTER)


class Enriching:
    """Keeps annotations in place. One owner thread."""

    def __init__(
        self,
        source: ports.AlertSource,
        poster: ports.AlertPoster,
        told: facts.Facts,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._source, self._poster = source, poster
        self._facts = told
        self._clock = clock
        self._episodes: dict[facts.Key, _Episode] = {}
        self._took = timedelta(0)

    def pause(self) -> timedelta:
        """How long to wait after a turn."""
        return min(max(OFTEN, PAUSE_RATIO * self._took), EVERY)

    def turn(self) -> loops.Turn:
        """Post what lacks annotations. Raises what failed on the way, once all else is done."""
        began = self._clock()
        self._took = EVERY  # of one that fails
        done = self._turn()
        self._took = self._clock() - began
        return done

    def _turn(self) -> loops.Turn:
        held = self._source.held()
        self._forget(held)
        lacking = self._lacking(held)
        failures = self._learn(lacking)
        if failures or any(self._is_lacking(each) for each in lacking):
            # Anew, since to find out took time: what has ended in between must stay so.
            held = self._source.held()
        known = self._episodes.keys()
        posted = [self._posted(each) for each in self._lacking(held) if facts.key_of(each) in known]
        self._poster.post(posted)
        for error in failures:
            raise error
        return loops.Turn(came_in=len(held), went_out=len(posted))

    def _forget(self, held: Sequence[alerts.Held]) -> None:
        firing = {facts.key_of(each) for each in held}
        self._episodes = {key: each for key, each in self._episodes.items() if key in firing}

    def _lacking(self, held: Sequence[alerts.Held]) -> list[alerts.Held]:
        """Those to be told of, the newest first."""
        least = self._clock() + LEAST_LEFT
        found = [each for each in held if each.ends_at > least and self._is_lacking(each)]
        return sorted(found, key=lambda each: each.starts_at, reverse=True)[:MOST]

    def _is_lacking(self, each: alerts.Held) -> bool:
        known = self._episodes.get(facts.key_of(each))
        if known is None or (not known.is_whole and known.is_stale(self._clock())):
            return True
        return not known.ours.keys() <= dict(each.annotations).keys()

    def _learn(self, lacking: Sequence[alerts.Held]) -> tuple[errors.MdaError, ...]:
        now = self._clock()
        unknown = [each for each in lacking if self._is_unknown(each, now)]
        if not unknown:
            return ()
        told = self._facts.tell(unknown)
        for each in unknown:
            key = facts.key_of(each)
            self._episodes[key] = _Episode(told.annotations[key], now, not told.failures)
        return told.failures

    def _is_unknown(self, each: alerts.Held, now: datetime) -> bool:
        known = self._episodes.get(facts.key_of(each))
        return known is None or known.is_stale(now)

    def _posted(self, each: alerts.Held) -> alerts.Posted:
        """The same alert; what its rule says itself stays as it is."""
        known = self._episodes[facts.key_of(each)]
        annotations = known.ours | dict(each.annotations)
        return alerts.Posted(
            labels=each.labels,
            annotations=tuple(sorted(annotations.items())),
            starts_at=each.starts_at + A_BIT,
            ends_at=each.ends_at,
            generator_url=each.generator_url,
        )
