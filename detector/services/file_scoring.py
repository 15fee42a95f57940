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
from detector.services import outcomes


@dataclass(frozen=True, slots=True)
class Series:
    """One recorded series.

    query     what its siblings share with it: they are of the same query and step
    step      time between two samples
    past      this many first samples are known beforehand, as history is to a query that starts
    times_ms  int64[T], strictly rising; values float64[T], NaN where there is no sample
    labels    by which a query may group its series; no two of a query have the same then
    """

    query: str
    step: timedelta
    past: int
    times_ms: frames.Ints
    values: frames.Floats
    labels: frames.Labels = ()


class Run(NamedTuple):
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


def off_grid(members: Sequence[Series]) -> tuple[int, int] | None:
    """The place of a series and a time of it that is not on the grid that the first of the series
    of a query begins; None where all are on it."""
    step_ms = max(1, round(members[0].step / timedelta(milliseconds=1)))
    for place, each in enumerate(members):
        off = np.flatnonzero((each.times_ms - members[0].times_ms[0]) % step_ms)
        if off.size:
            return place, int(each.times_ms[off[0]])
    return None


def _look_away(_: scoring.QueryScorer, __: Sequence[Run]) -> None:
    """For who only wants the scores."""


def score_series(
    series: Sequence[Series],
    *,
    make_scorer: Callable[[timedelta], scoring.QueryScorer],
    advance: Callable[[int], None],
    look: Callable[[scoring.QueryScorer, Sequence[Run]], None] = _look_away,
) -> tuple[frames.Scores, ...]:
    """The scores [T, 1] of each series.

    First the pasts of all series of a query are scored, then all the rest, each in the order of
    time: a score depends on nothing after its sample but the siblings' pasts. Series on one grid
    and without a past are scored as one frame of them is, bit by bit.
    Where a query groups its series, so that they hear of each other, they are on one grid and are
    scored as one frame of them is, past or not.

    make_scorer  a fresh scorer for a step; one that asks for a fit gets it before the next epoch
    advance      is told after each epoch how many samples have been scored
    look         is shown the scorer and the samples of each epoch before they are scored; rows are
                 places among the series of the query
    """
    scores = tuple(_empty(each.times_ms) for each in series)
    for (_, step), places in queries_of(series).items():
        members = [series[place] for place in places]
        theirs = [scores[place] for place in places]
        _score_query(make_scorer(step), members, theirs, advance, look)
    return scores


def scored_of(name: str, series: Series, part: frames.Scores, *, counted: int) -> outcomes.Scored:
    """A series of this name with its scores, of which those from the sample `counted` on count."""
    return outcomes.Scored(
        name=name,
        labels=(),
        step=series.step,
        counted=min(counted, len(series.values)),
        times_ms=series.times_ms,
        values=series.values,
        score=part.score[:, 0],
        expected=part.expected[:, 0],
        lower=part.lower[:, 0],
        upper=part.upper[:, 0],
        kind=part.kind[:, 0],
    )


def _score_query(
    scorer: scoring.QueryScorer,
    members: Sequence[Series],
    scores: Sequence[frames.Scores],
    advance: Callable[[int], None],
    look: Callable[[scoring.QueryScorer, Sequence[Run]], None],
) -> None:
    if scorer.is_grouped:
        scorer.follow_labels([each.labels for each in members])
    score = _score_frame if scorer.is_grouped else _score_rows
    runs = sorted(run for row, each in enumerate(members) for run in _runs(scorer, row, each))
    for _, together in itertools.groupby(runs, key=lambda run: run[:2]):
        epoch = tuple(together)
        scorer.refresh(rows=len(members))
        look(scorer, epoch)
        score(scorer, epoch, members, scores)
        for job in scorer.refit_jobs():
            scorer.adopt(job.run())
        advance(sum(run.last - run.first for run in epoch))


def _score_rows(
    scorer: scoring.QueryScorer,
    runs: Sequence[Run],
    members: Sequence[Series],
    scores: Sequence[frames.Scores],
) -> None:
    for run in runs:
        part, each = slice(run.first, run.last), members[run.row]
        found = scorer.score_samples(run.row, each.times_ms[part], each.values[part])
        _put(scores[run.row], part, found)


def _score_frame(
    scorer: scoring.QueryScorer,
    runs: Sequence[Run],
    members: Sequence[Series],
    scores: Sequence[frames.Scores],
) -> None:
    """All rows step by step, since at each they hear of each other."""
    times_ms = np.unique(np.concatenate([members[r.row].times_ms[r.first : r.last] for r in runs]))
    steps = [np.searchsorted(times_ms, members[r.row].times_ms[r.first : r.last]) for r in runs]
    values = np.full((len(members), len(times_ms)), np.nan)
    for run, at in zip(runs, steps, strict=True):
        values[run.row, at] = members[run.row].values[run.first : run.last]
    step_ms = round(members[0].step / timedelta(milliseconds=1))
    found = scorer.score(frames.Frame(times_ms, values.T, step_ms))
    for run, at in zip(runs, steps, strict=True):
        _put(scores[run.row], slice(run.first, run.last), _column(found, at, run.row))


def _column(scores: frames.Scores, steps: frames.Ints, row: int) -> frames.Scores:
    """Those of one row at these steps, [steps, 1]."""
    at = (steps, slice(row, row + 1))
    return frames.Scores(
        scores.times_ms[steps],
        scores.score[at],
        scores.expected[at],
        scores.lower[at],
        scores.upper[at],
        scores.drift[at],
        scores.kind[at],
    )


def _runs(scorer: scoring.QueryScorer, row: int, series: Series) -> Iterator[Run]:
    epochs = scorer.epochs(series.times_ms)
    # Those that hear of each other have to come in the order of time, so there is one pass.
    is_later = (np.arange(len(epochs)) >= series.past) | scorer.is_grouped
    changes = (np.diff(epochs) != 0) | np.diff(is_later)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(epochs)]
    for first, last in itertools.pairwise(edges):
        if first < last:
            yield Run(bool(is_later[first]), int(epochs[first]), row, first, last)


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
