"""The past of a query's series in parts, whether a server or a file holds it: the first quarter is
only learned from, on the next part settings are compared, and the last one is held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np

from detector import frames, ports
from detector.models import calendars, injecting, scoring
from detector.services import backtesting, file_scoring, outcomes

LEARNED = 0.25
"""Part of the past that is only learned from; of a file its `train_n` rows, where that is more."""
DAY_MS = 86_400_000


class Part(Enum):
    """A part of the past that counts."""

    COMPARED = 0
    HELD_BACK = 1


class Span(NamedTuple):
    """From first_ms to before end_ms."""

    first_ms: int
    end_ms: int

    @property
    def length(self) -> timedelta:
        """How long that is."""
        return timedelta(milliseconds=self.end_ms - self.first_ms)


Look = Callable[[scoring.QueryScorer, int, injecting.Tail], None]
"""Is shown the scorer, the number of an epoch and its first samples before they are scored."""


class Past(Protocol):
    """What is known of the series of one query."""

    @property
    def names(self) -> list[str]:
        """Of the series, as they are shown."""

    @property
    def labels(self) -> list[frames.Labels]:
        """Of the series."""

    @property
    def step(self) -> timedelta:
        """Between two samples."""

    @property
    def held(self) -> timedelta:
        """From the first sample of a series to its last, of the longest one."""

    def counted(self, part: Part) -> list[Span]:
        """What counts of each series."""

    def epochs(self, scorer: scoring.QueryScorer, part: Part) -> list[frames.Ints]:
        """Of each series the epochs of the scorer that count and begin with a whole tail."""

    def score(
        self, scorer: scoring.QueryScorer, part: Part, look: Look
    ) -> tuple[outcomes.Scored, ...]:
        """The series, scored up to the end of the part; what is before it is only learned from."""


def covered(spans: Sequence[Span]) -> timedelta:
    """How long there is one or more of them.

    >>> covered([Span(5, 9), Span(0, 3), Span(1, 4)]) / timedelta(milliseconds=1)
    8.0
    """
    total_ms, reached_ms = 0, min(each.first_ms for each in spans)
    for first_ms, end_ms in sorted(spans):
        total_ms += max(0, end_ms - max(first_ms, reached_ms))
        reached_ms = max(end_ms, reached_ms)
    return timedelta(milliseconds=total_ms)


def series_at_a_time(spans: Sequence[Span]) -> float:
    """How many series there are at a time while there is any, of those of which so much counts."""
    return sum((each.length for each in spans), timedelta(0)) / covered(spans)


def _cut(first_ms: int, last_ms: int, part: Part, *, known_ms: int | None = None) -> Span:
    """What counts of samples from first to last; nothing does that is before known_ms."""
    learned_ms = int(first_ms + LEARNED * (last_ms - first_ms))
    if known_ms is not None:
        learned_ms = min(max(learned_ms, known_ms), last_ms + 1)
    compared_ms = max(learned_ms, (learned_ms + last_ms) // 2)
    if part is Part.COMPARED:
        return Span(learned_ms, compared_ms)
    return Span(compared_ms, last_ms + 1)


def _epochs(scorer: scoring.QueryScorer, times_ms: frames.Ints, first: int) -> frames.Ints:
    """Epochs that begin at or after this sample, and have a tail's samples."""
    numbers = scorer.epochs(times_ms)
    known, counts = np.unique(numbers[first:], return_counts=True)
    begun = numbers[first - 1] if first else None
    whole: frames.Ints = known[(counts >= injecting.TAIL_STEPS) & (known != begun)]
    return whole


@dataclass(frozen=True, slots=True)
class HistoryPast:
    """A history on one grid, of which all series are cut at the same times."""

    history: backtesting.History
    calendar: ports.PlannedTime = calendars.NOTHING_PLANNED

    @property
    def names(self) -> list[str]:
        """As PromQL writes them."""
        return [backtesting.name_of(each) for each in self.labels]

    @property
    def labels(self) -> list[frames.Labels]:
        """As Prometheus has them."""
        return list(self.history.labels)

    @property
    def step(self) -> timedelta:
        """Of the grid."""
        return timedelta(milliseconds=self.history.frame.step_ms)

    @property
    def held(self) -> timedelta:
        """From the first sample on: what was asked for may reach further back."""
        return timedelta(milliseconds=int(self._times_ms[-1] - self._times_ms[0]))

    @property
    def _first(self) -> int:
        return int(np.isfinite(self.history.frame.values).any(axis=1).argmax())

    @property
    def _times_ms(self) -> frames.Ints:
        return self.history.frame.times_ms[self._first :]

    def counted(self, part: Part) -> list[Span]:
        """The same of each."""
        times_ms = self._times_ms
        return [_cut(int(times_ms[0]), int(times_ms[-1]), part)] * len(self.history.labels)

    def epochs(self, scorer: scoring.QueryScorer, part: Part) -> list[frames.Ints]:
        """The same of each."""
        span = self.counted(part)[0]
        times_ms = self._times_ms[self._times_ms < span.end_ms]
        first = int(np.searchsorted(times_ms, span.first_ms))
        return [_epochs(scorer, times_ms, first)] * len(self.history.labels)

    def score(
        self, scorer: scoring.QueryScorer, part: Part, look: Look
    ) -> tuple[outcomes.Scored, ...]:
        """As a backtest does."""
        span, frame = self.counted(part)[0], self.history.frame
        at = slice(self._first, int(np.searchsorted(frame.times_ms, span.end_ms)))
        seen = frames.Frame(frame.times_ms[at], frame.values[at], frame.step_ms)

        def show(now: scoring.QueryScorer, piece: frames.Frame) -> None:
            if piece.times_ms[0] < span.first_ms or len(piece.times_ms) < injecting.TAIL_STEPS:
                return
            tail = slice(0, injecting.TAIL_STEPS)
            values = np.asfortranarray(piece.values[tail])
            head = frames.Frame(piece.times_ms[tail], values, piece.step_ms)
            look(now, int(now.epochs(head.times_ms)[0]), injecting.tail_of(head))

        return backtesting.score_history(
            backtesting.History(self.history.labels, seen),
            scorer,
            counted_ms=span.first_ms,
            calendar=self.calendar,
            look=show,
        )


@dataclass(frozen=True, slots=True)
class FilePast:
    """Series of one query out of a file, each cut at its own times, on a grid or not."""

    names: list[str]
    series: tuple[file_scoring.Series, ...]

    @property
    def labels(self) -> list[frames.Labels]:
        """None: the names say which is which."""
        return [() for _ in self.series]

    @property
    def step(self) -> timedelta:
        """That of the query."""
        return self.series[0].step

    @property
    def held(self) -> timedelta:
        """Of the longest series."""
        return max(timedelta(milliseconds=int(last - first)) for first, last in self._ends())

    def _ends(self) -> Iterator[tuple[int, int]]:
        """First and last sample of each series."""
        for each in self.series:
            there = np.flatnonzero(np.isfinite(each.values))
            first, last = (there[0], there[-1]) if there.size else (0, 0)
            yield int(each.times_ms[first]), int(each.times_ms[last])

    def counted(self, part: Part) -> list[Span]:
        """Of each by its own times."""
        spans = []
        for each, (first_ms, last_ms) in zip(self.series, self._ends(), strict=True):
            is_all = each.past >= len(each.values)
            known_ms = last_ms + 1 if is_all else int(each.times_ms[each.past])
            spans.append(_cut(first_ms, last_ms, part, known_ms=known_ms))
        return spans

    def epochs(self, scorer: scoring.QueryScorer, part: Part) -> list[frames.Ints]:
        """Of each by its own times."""
        return [_epochs(scorer, each.times_ms, first) for each, first in self._seen(part)]

    def _seen(self, part: Part) -> list[tuple[file_scoring.Series, int]]:
        """Each series up to the end of the part, and its first sample that counts."""
        found = []
        for each, span in zip(self.series, self.counted(part), strict=True):
            end = int(np.searchsorted(each.times_ms, span.end_ms))
            seen = replace(each, times_ms=each.times_ms[:end], values=each.values[:end])
            found.append((seen, int(np.searchsorted(seen.times_ms, span.first_ms))))
        return found

    def score(
        self, scorer: scoring.QueryScorer, part: Part, look: Look
    ) -> tuple[outcomes.Scored, ...]:
        """As a backtest of the file does."""
        seen = self._seen(part)

        def show(now: scoring.QueryScorer, runs: Sequence[file_scoring.Run]) -> None:
            heads = [
                (run.row, slice(run.first, run.first + injecting.TAIL_STEPS))
                for run in runs
                if run.first >= seen[run.row][1]
                and run.last - run.first >= injecting.TAIL_STEPS
                and self._is_gapless(run)
            ]
            if now.is_grouped and heads:
                begin_ms = min(self.series[row].times_ms[at.start] for row, at in heads)
                heads = [
                    (row, at)
                    for row, at in heads
                    if self.series[row].times_ms[at.start] == begin_ms
                ]
            if heads:
                rows = np.array([row for row, _ in heads], np.int64)
                times_ms = np.stack([self.series[row].times_ms[at] for row, at in heads], axis=1)
                values = np.stack([self.series[row].values[at] for row, at in heads], axis=1)
                look(now, runs[0].epoch, injecting.Tail(rows, times_ms, values))

        parts = file_scoring.score_series(
            [each for each, _ in seen],
            make_scorer=lambda _: scorer,
            advance=lambda _: None,
            look=show,
        )
        return tuple(
            file_scoring.scored_of(name, each, part, counted=first)
            for name, (each, first), part in zip(self.names, seen, parts, strict=True)
        )

    def _is_gapless(self, run: file_scoring.Run) -> bool:
        """Whether the samples of its head follow each other step by step, more or less."""
        head = self.series[run.row].times_ms[run.first : run.first + injecting.TAIL_STEPS]
        return bool((np.diff(head) < 2 * (self.step / timedelta(milliseconds=1))).all())


def last_days(series: file_scoring.Series, days: float, end_ms: int) -> file_scoring.Series:
    """What a series has in so many days before end_ms."""
    first = int(np.searchsorted(series.times_ms, end_ms - round(days * DAY_MS)))
    return replace(
        series,
        past=max(0, series.past - first),
        times_ms=series.times_ms[first:],
        values=series.values[first:],
    )
