"""Pictures for messages: what the alert's series did about its start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from detector import alerts, errors, frames, links, ports, quantities, wording
from detector.policy import promql
from detector.services import subjects

KNOWN_FOR = timedelta(minutes=1)
"""In which some hundreds can be drawn, of 40 kB each."""
STEPS = 400
SHORTEST, LONGEST = timedelta(minutes=30), timedelta(hours=24)
BEFORE_RATIO = 0.75
"""Of the time that is drawn: what lies before the alert's start."""
EARLIER = timedelta(minutes=10)
"""Where the series had no sample any more when the alert began."""
MOST_WAITING = 8
"""A mail of several alerts asks for its pictures at once; one is drawn at a time."""
LONGEST_WAIT = timedelta(seconds=10)


class BusyError(Exception):
    """Too many pictures are asked for at once."""


class AlertmanagerAwayError(Exception):
    """The memory does not know the alert, and Alertmanager cannot be asked."""


@dataclass(frozen=True, slots=True)
class _Alert:
    labels: frames.Labels
    generator_url: str
    starts_at: datetime
    ends_at: datetime | None


class Charts:
    """Draws, and keeps what it has drawn for a minute. Threads may share it."""

    def __init__(
        self,
        episodes: ports.EpisodeStore,
        source: ports.AlertSource,
        known: subjects.Subjects,
        reader: ports.SeriesReader,
        *,
        clock: Callable[[], datetime],
        longest_wait: timedelta = LONGEST_WAIT,
    ) -> None:
        self._episodes, self._source = episodes, source
        self._known, self._reader = known, reader
        self._clock = clock
        self._longest_wait = longest_wait
        self._kept: dict[alerts.Key, tuple[datetime, bytes]] = {}
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._drawing = threading.Lock()

    def picture(self, target: links.Target) -> bytes:
        """A PNG of the alert's series.

        Raises NotFoundError where there is nothing to draw, BusyError, StoreError,
        AlertmanagerAwayError, and UpstreamError of Prometheus.
        """
        key = target.key
        with self._turn():
            now = self._clock()
            self._kept = {
                each: kept for each, kept in self._kept.items() if now - kept[0] < KNOWN_FOR
            }
            if key not in self._kept:
                self._kept[key] = now, self._drawn(target)
            return self._kept[key][1]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise BusyError
        try:
            if not self._drawing.acquire(timeout=self._longest_wait.total_seconds()):
                raise BusyError
            try:
                yield
            finally:
                self._drawing.release()
        finally:
            self._places.release()

    def _drawn(self, target: links.Target) -> bytes:
        from detector import charts  # matplotlib: only who asks for a picture pays for it

        alert = self._alert(target)
        labels = dict(alert.labels)
        subject = self._known.subject(labels, alert.generator_url)
        if subject is None:
            raise errors.NotFoundError("chart: nobody knows which series this alert is about")
        own = self._series(subject, labels, alert.starts_at)
        step_ms, start_ms, end_ms = self._window(subject, alert.starts_at)
        value = self._frame(
            promql.only(subject.expr, own) if own else subject.expr, start_ms, end_ms, step_ms
        )
        times_ms, values = next(iter(value.values()), (_grid(start_ms, end_ms, step_ms), None))
        if values is None:
            values = np.full(len(times_ms), np.nan)
        bands = self._bands(subject, own, start_ms, end_ms, step_ms) if subject.query else {}
        ends_ms = None if alert.ends_at is None else _ms(alert.ends_at)
        return charts.png(
            charts.Chart(
                title=", ".join(_named(subject, labels)),
                unit=labels.get("currency", "")
                if subject.unit == quantities.MONEY
                else subject.unit,
                times_ms=times_ms,
                values=values * subject.scale,
                start_ms=_ms(alert.starts_at),
                end_ms=ends_ms,
                limit=subject.limit,
                limit_text=subject.expected,
                **{name: band * subject.scale for name, band in bands.items()},
            )
        )

    def _alert(self, target: links.Target) -> _Alert:
        """As it is remembered; else, where the webhook does not come to us, as it is held."""
        found = self._episodes.episode_of(target.key)
        if found is not None:
            return _Alert(found.labels, found.generator_url, found.starts_at, found.ends_at)
        try:
            held = self._source.held()
        except errors.UpstreamError as error:
            raise AlertmanagerAwayError from error
        for each in held:
            if each.key == target.key:
                return _Alert(each.labels, each.generator_url, each.starts_at, None)
        raise errors.NotFoundError("chart: this alert is not remembered any more")

    def _series(
        self, subject: subjects.Subject, labels: Mapping[str, str], at: datetime
    ) -> frames.Labels:
        """The labels of the alert's series, without its name."""
        for instant in (at, at - EARLIER):
            table = frames.SeriesTable()
            self._reader.read_instant(subject.expr, at_ms=_ms(instant), table=table)
            found = subjects.Places((each, None) for each in table.labels if each is not None)
            place = found.find(labels)
            if place is not None:
                return place[0]
        raise errors.NotFoundError("chart: Prometheus has no samples of this alert's series")

    def _window(self, subject: subjects.Subject, starts_at: datetime) -> tuple[int, int, int]:
        """Step, first and last instant, all on the grid."""
        step = self._known.step(subject)
        length = min(max(STEPS * step, SHORTEST), LONGEST)
        first = starts_at - BEFORE_RATIO * length
        last = max(min(first + length, self._clock()), starts_at)
        step_ms = max(step // timedelta(milliseconds=1), 1000)
        start_ms, end_ms = (_ms(each) // step_ms * step_ms for each in (first, last))
        return step_ms, start_ms, max(end_ms, start_ms + step_ms)

    def _bands(
        self,
        subject: subjects.Subject,
        own: frames.Labels,
        start_ms: int,
        end_ms: int,
        step_ms: int,
    ) -> dict[str, frames.Floats]:
        equal = promql.MatchType.EQUAL
        chosen = promql.matchers(
            [
                promql.Matcher(
                    promql.NAME,
                    promql.MatchType.REGEX,
                    "anomaly_expected|anomaly_lower|anomaly_upper",
                ),
                promql.Matcher("query", equal, subject.query),
                *(promql.Matcher(name, equal, value) for name, value in own),
            ]
        )
        found: dict[str, tuple[int, frames.Floats]] = {}
        for labels, (_, band) in self._frame(chosen, start_ms, end_ms, step_ms).items():
            name = dict(labels).get(promql.NAME, "").removeprefix("anomaly_")
            # Of several the one without more labels than the series.
            if name not in found or len(labels) < found[name][0]:
                found[name] = len(labels), band
        return {name: band for name, (_, band) in found.items()}

    def _frame(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> dict[frames.Labels, tuple[frames.Ints, frames.Floats]]:
        table = frames.SeriesTable()
        frame = self._reader.read_range(
            expr, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, table=table
        )
        return {
            labels: (frame.times_ms, frame.values[:, row])
            for row, labels in enumerate(table.labels)
            if labels is not None
        }


def _named(subject: subjects.Subject, labels: Mapping[str, str]) -> Iterator[str]:
    yield subject.query or labels.get("alertname", "alert")
    place = wording.place_of(labels)
    if place:
        yield place


def _grid(start_ms: int, end_ms: int, step_ms: int) -> frames.Ints:
    return np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
