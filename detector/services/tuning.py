"""One way to score a query, tried on its past: what it would have told, and what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import injecting, scoring
from detector.services import matching, outcomes, pasts

PLACES, PLACES_MOST = 8, 64
"""Epochs of the time that counts, at the begin of which trouble is put into copies: so many where
all series are there at a time; more, up to so many, where they come one after the other."""
WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it in the time that counts.

    per_week   incidents of the whole query in a week in which there are series
    found      share of trouble found, the mean over kinds and sizes, None where no series was fit
               to put it into; by_size by scales, 0: no size
    delay      mean time until it was found
    quality    against what is known to have happened, None where nothing is
    """

    per_week: float
    found: float | None
    by_size: dict[float, float]
    delay: timedelta
    quality: matching.Quality | None = None


def try_out(
    past: pasts.Past,
    scorer: scoring.QueryScorer,
    part: pasts.Part,
    *,
    events: Sequence[Sequence[outcomes.Span]] | None = None,
) -> Tried:
    """Score a past; a part of it counts, what is before that is only learned from, what is behind
    it is not looked at.

    events  what is known to have happened to each series
    """
    places = _places(past.epochs(scorer, part))
    tried: list[injecting.Found] = []

    def put(now: scoring.QueryScorer, epoch: int, tail: injecting.Tail) -> None:
        if epoch in places:
            tried.extend(injecting.trials(now, tail))

    scored = past.score(scorer, part, put)
    incidents = [outcomes.incidents_of(each) for each in scored]
    weeks = pasts.covered(past.counted(part)) / WEEK
    return _summed(
        tried,
        sum(len(each) for each in incidents) / weeks,
        past.step,
        None if events is None else matching.quality_of(scored, incidents, events),
    )


def _places(epochs: Sequence[frames.Ints]) -> frozenset[int]:
    """Some of the epochs of all series, evenly."""
    known = np.unique(np.concatenate(epochs))
    longest = max(len(each) for each in epochs)
    if not longest:
        return frozenset()
    wanted = min(PLACES * -(-len(known) // longest), PLACES_MOST, len(known))
    return frozenset(known[np.arange(wanted) * len(known) // wanted].tolist())


def _summed(
    tried: Iterable[injecting.Found],
    per_week: float,
    step: timedelta,
    quality: matching.Quality | None,
) -> Tried:
    """Each kind at each size counts the same."""
    series: dict[tuple[frames.Kind, float], int] = {}
    found: dict[tuple[frames.Kind, float], int] = {}
    late = 0.0
    for each in tried:
        key = (each.kind, each.scales)
        series[key] = series.get(key, 0) + each.series
        found[key] = found.get(key, 0) + each.found
        late += each.found * (each.delay if each.found else 0.0)
    shares = {key: found[key] / series[key] for key in series if series[key]}
    sizes = sorted({size for _, size in shares})
    total = sum(found.values())
    return Tried(
        per_week=per_week,
        found=float(np.mean(list(shares.values()))) if shares else None,
        by_size={
            size: float(np.mean([share for (_, own), share in shares.items() if own == size]))
            for size in sizes
        },
        delay=step * (late / total) if total else timedelta(0),
        quality=quality,
    )
