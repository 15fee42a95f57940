"""Series that were recorded, scored as they would have been while they were."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from detector import frames
from detector.models import scoring


@dataclass(frozen=True, slots=True)
class Series:
    """One recorded series.

    query     what its siblings share with it: they are of the same query and step
    step      time between two samples
    past      this many first samples are known beforehand, as history is to a query that starts
    times_ms  int64[T], strictly rising; values float64[T], NaN where there is no sample
    """

    query: str
    step: timedelta
    past: int
    times_ms: frames.Ints
    values: frames.Floats


class _Run(NamedTuple):
    """Samples first..last-1 of one row of a query, all in one epoch of one pass."""

    is_later: bool
    epoch: int
    row: int
    first: int
    last: int


def rising(times_ms: frames.Ints) -> frames.Ints:
    """int64[T]: the times, each one that is not after the one before it put 1 ms behind that.

    >>> rising(np.array([5, 5, 3, 9])).tolist()
    [5, 6, 7, 9]
    """
    places = np.arange(len(times_ms), dtype=np.int64)
    risen: frames.Ints = np.maximum.accumulate(times_ms - places) + places
    return risen


def usual_step(times_ms: frames.Ints) -> timedelta | None:
    """The median time from a sample to a later next one, in whole seconds, 1 s at least; None
    where there is no later next one."""
    later = np.diff(times_ms)
    later = later[later > 0]
    if not later.size:
        return None
    return timedelta(seconds=max(1, round(float(np.median(later)) / 1000)))


def queries_of(series: Sequence[Series]) -> dict[tuple[str, timedelta], list[int]]:
    """Which of the series each query of one step has, in their order."""
    members: dict[tuple[str, timedelta], list[int]] = {}
    for place, each in enumerate(series):
        members.setdefault((each.query, each.step), []).append(place)
    return members


def score_series(
    series: Sequence[Series],
    *,
    make_scorer: Callable[[timedelta], scoring.QueryScorer],
    advance: Callable[[int], None],
) -> tuple[frames.Scores, ...]:
    """The scores [T, 1] of each series.

    First the pasts of all series of a query are scored, then all the rest, each in the order of
    time: a score depends on nothing after its sample but the siblings' pasts. Series on one grid
    and without a past are scored as one frame of them is, bit by bit.

    make_scorer  a fresh scorer for a step; one that asks for a fit gets it before the next epoch
    advance      is told after each epoch how many samples have been scored
    """
    scores = tuple(_empty(each.times_ms) for each in series)
    for (_, step), places in queries_of(series).items():
        members = [series[place] for place in places]
        theirs = [scores[place] for place in places]
        _score_query(make_scorer(step), members, theirs, advance)
    return scores


def _score_query(
    scorer: scoring.QueryScorer,
    members: Sequence[Series],
    scores: Sequence[frames.Scores],
    advance: Callable[[int], None],
) -> None:
    runs = sorted(run for row, each in enumerate(members) for run in _runs(scorer, row, each))
    for _, together in itertools.groupby(runs, key=lambda run: run[:2]):
        scorer.refresh(rows=len(members))
        scored = 0
        for run in together:
            part, each = slice(run.first, run.last), members[run.row]
            found = scorer.score_samples(run.row, each.times_ms[part], each.values[part])
            _put(scores[run.row], part, found)
            scored += run.last - run.first
        for job in scorer.refit_jobs():
            scorer.adopt(job.run())
        advance(scored)


def _runs(scorer: scoring.QueryScorer, row: int, series: Series) -> Iterator[_Run]:
    epochs = scorer.epochs(series.times_ms)
    is_later = np.arange(len(epochs)) >= series.past
    changes = (np.diff(epochs) != 0) | np.diff(is_later)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(epochs)]
    for first, last in itertools.pairwise(edges):
        if first < last:
            yield _Run(bool(is_later[first]), int(epochs[first]), row, first, last)


def _empty(times_ms: frames.Ints) -> frames.Scores:
    shape = (len(times_ms), 1)
    return frames.Scores(
        times_ms,
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape),
        np.empty(shape, np.int8),
    )


def _put(scores: frames.Scores, part: slice, found: frames.Scores) -> None:
    scores.score[part] = found.score
    scores.expected[part] = found.expected
    scores.lower[part] = found.lower
    scores.upper[part] = found.upper
    scores.drift[part] = found.drift
    scores.kind[part] = found.kind
