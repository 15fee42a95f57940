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
from detector.services import witness as witness_

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
SOON, MOST_SOON = timedelta(seconds=5), 3
"""When, and how often, a value is looked for that was not there: an alert may be told of before
all that it is about can be read."""
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
    has_failed: bool
    tries: int

    @property
    def is_whole(self) -> bool:
        return not self.has_failed and ("value" in self.ours or self.tries > MOST_SOON)

    def is_stale(self, now: datetime) -> bool:
        lasts = FRESH_FOR if self.is_whole else RETRIED_AFTER if self.has_failed else SOON
        return now - self.known_at >= lasts


class Enriching:
    """Keeps annotations in place. One owner thread."""

    def __init__(
        self,
        source: ports.AlertSource,
        poster: ports.AlertPoster,
        told: facts.Facts,
        witness: witness_.Witness,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._source, self._poster = source, poster
        self._facts, self._witness = told, witness
        self._clock = clock
        self._episodes: dict[alerts.Key, _Episode] = {}
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
        wanted = {each.key for each in lacking if not self._has_ours(each)}
        if wanted or self._witness.is_waiting:
            failures += self._look()
        # Anew, since to find out took time: what has ended in between must stay so.
        posted = [
            self._posted(each)
            for each in (self._source.held() if wanted else ())
            if each.key in wanted and self._lasts(each) and not self._has_ours(each)
        ]
        self._poster.post(posted)
        self._witness.remember(posted)
        for error in failures:
            raise error
        return loops.Turn(came_in=len(held), went_out=len(posted))

    def _look(self) -> tuple[errors.MdaError, ...]:
        """What fires by Prometheus' word, and what failed. One that is away ends nothing either."""
        try:
            self._witness.look(at=self._clock())
        except errors.UpstreamError as error:
            return (error,)
        return ()

    def _forget(self, held: Sequence[alerts.Held]) -> None:
        firing = {each.key for each in held}
        self._episodes = {key: each for key, each in self._episodes.items() if key in firing}

    def _lacking(self, held: Sequence[alerts.Held]) -> list[alerts.Held]:
        """Those to be told of, the newest first; before them, those that are not known at all."""
        found = [
            each
            for each in held
            if self._lasts(each)
            and not alerts.is_watchdog(each.labels)  # nobody reads what it says
            and self._is_lacking(each)
        ]
        found.sort(key=lambda each: each.starts_at, reverse=True)
        found.sort(key=lambda each: each.key in self._episodes)
        return found[:MOST]

    def _lasts(self, each: alerts.Held) -> bool:
        return each.ends_at > self._clock() + LEAST_LEFT

    def _is_lacking(self, each: alerts.Held) -> bool:
        known = self._episodes.get(each.key)
        if known is None or (not known.is_whole and known.is_stale(self._clock())):
            return True
        return not self._has_ours(each)

    def _has_ours(self, each: alerts.Held) -> bool:
        ours = self._episodes[each.key].ours
        return ours.keys() <= dict(each.annotations).keys()

    def _learn(self, lacking: Sequence[alerts.Held]) -> tuple[errors.MdaError, ...]:
        now = self._clock()
        unknown = [each for each in lacking if self._is_unknown(each, now)]
        if not unknown:
            return ()
        told = self._facts.tell(unknown)
        for each in unknown:
            key = each.key
            before = self._episodes.get(key)
            tries = 1 if before is None else before.tries + 1
            self._episodes[key] = _Episode(told.annotations[key], now, bool(told.failures), tries)
        return told.failures

    def _is_unknown(self, each: alerts.Held, now: datetime) -> bool:
        known = self._episodes.get(each.key)
        return known is None or known.is_stale(now)

    def _posted(self, each: alerts.Held) -> alerts.Posted:
        """The same alert; what its rule says itself stays as it is."""
        known = self._episodes[each.key]
        annotations = known.ours | dict(each.annotations)
        return alerts.Posted(
            labels=each.labels,
            annotations=tuple(sorted(annotations.items())),
            starts_at=each.starts_at + A_BIT,
            ends_at=each.ends_at,
            generator_url=each.generator_url,
        )
