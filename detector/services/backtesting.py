"""The history of a query, scored as the server would have scored it while it came in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import errors, frames, ports
from detector.models import calendars, scoring
from detector.services import outcomes

BLOCK_STEPS = 10_000
"""History is read in blocks of so many steps."""
MOST_SAMPLES = 10_000_000
"""What one backtest may hold: 80 MB of values, and 330 MB of each configuration's scores, of which
two are held at a time."""
NAME = "__name__"


@dataclass(frozen=True, slots=True)
class Ask:
    """From what of a server a frame is made: both times included, multiples of the step."""

    expr: str
    step: timedelta
    start_ms: int
    end_ms: int

    @property
    def step_ms(self) -> int:
        """The step in milliseconds."""
        return round(self.step / timedelta(milliseconds=1))

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return (self.end_ms - self.start_ms) // self.step_ms + 1


@dataclass(frozen=True, slots=True)
class History:
    """Labels of the series, and float64[T, S] values on the step grid, one column each."""

    labels: tuple[frames.Labels, ...]
    frame: frames.Frame


def read_history(
    reader: ports.SeriesReader,
    ask: Ask,
    *,
    advance: Callable[[int], None],
    most_samples: int = MOST_SAMPLES,
) -> History:
    """What Prometheus holds of the query; `advance` is told of steps as they are read.

    Raises UpstreamError; NotEnoughData where it holds nothing, or more than most_samples.
    """
    table, parts = frames.SeriesTable(), []
    first_ms = ask.start_ms
    while first_ms <= ask.end_ms:
        last_ms = min(first_ms + (BLOCK_STEPS - 1) * ask.step_ms, ask.end_ms)
        frame = reader.read_range(
            ask.expr, start_ms=first_ms, end_ms=last_ms, step_ms=ask.step_ms, table=table
        )
        parts.append(frame)
        if len(table) * ask.steps > most_samples:
            raise errors.NotEnoughData(
                f"{len(table)} series of {ask.steps} steps: {most_samples} samples can be held; "
                "ask for fewer days, a longer step or fewer series"
            )
        advance(len(frame.times_ms))
        first_ms = last_ms + ask.step_ms
    values = np.full((len(table), ask.steps), np.nan)
    place = 0
    for frame in parts:
        steps, series = frame.values.shape
        values[:series, place : place + steps] = frame.values.T
        place += steps
    if not np.isfinite(values).any():
        raise errors.NotEnoughData("no history: not one sample in this time")
    times_ms = np.concatenate([frame.times_ms for frame in parts])
    labels = tuple(labels or () for labels in table.labels)
    return History(labels, frames.Frame(times_ms, values.T, ask.step_ms))


def _look_away(_: scoring.QueryScorer, __: frames.Frame) -> None:
    """For who only wants the scores."""


def _count_nothing(_: int) -> None:
    """For who shows no progress of it."""


def score_history(
    history: History,
    scorer: scoring.QueryScorer,
    *,
    counted_ms: int,
    calendar: ports.PlannedTime = calendars.NOTHING_PLANNED,
    look: Callable[[scoring.QueryScorer, frames.Frame], None] = _look_away,
    advance: Callable[[int], None] = _count_nothing,
) -> tuple[outcomes.Scored, ...]:
    """Each series with its scores; what is before counted_ms is only learned from.

    A fit that is due is made, and scored with from the next epoch on, between two steps.
    look     is shown the scorer and each piece of the history before it is scored
    advance  is told of samples as they are scored
    """
    frame = history.frame
    scorer.follow_labels(history.labels)
    shape = frame.values.shape[::-1]
    score, expected, lower, upper = (np.full(shape, np.nan) for _ in range(4))
    kind = np.zeros(shape, np.int8)
    for part in _parts(scorer.epochs(frame.times_ms)):
        piece = frames.Frame(frame.times_ms[part], frame.values[part], frame.step_ms)
        look(scorer, piece)
        found = scorer.score(piece, planned=calendar.is_planned(piece.times_ms))
        score[:, part], expected[:, part] = found.score.T, found.expected.T
        lower[:, part], upper[:, part] = found.lower.T, found.upper.T
        kind[:, part] = found.kind.T
        for job in scorer.refit_jobs():
            scorer.adopt(job.run())
        advance(piece.values.size)
    counted = int(np.searchsorted(frame.times_ms, counted_ms))
    values = frame.values.T
    return tuple(
        outcomes.Scored(
            name=name_of(labels),
            labels=labels,
            step=timedelta(milliseconds=frame.step_ms),
            counted=counted,
            times_ms=frame.times_ms,
            values=values[row],
            score=score[row],
            expected=expected[row],
            lower=lower[row],
            upper=upper[row],
            kind=kind[row],
        )
        for row, labels in enumerate(history.labels)
    )


def name_of(labels: frames.Labels) -> str:
    r"""The series as PromQL writes it.

    >>> name_of((("__name__", "up"), ("job", 'a"b')))
    'up{job="a\\"b"}'
    """
    metric = dict(labels).get(NAME, "")
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels if name != NAME)
    return f"{metric}{{{pairs}}}" if pairs or not metric else metric


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _parts(epochs: frames.Ints) -> Iterator[slice]:
    edges = [0, *(np.flatnonzero(np.diff(epochs)) + 1).tolist(), len(epochs)]
    for first, end in itertools.pairwise(edges):
        yield slice(first, end)
