"""One way to score a query, tried on its past: what it would have told, and what it finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames, ports
from detector.models import injecting
from detector.models import scoring as models_scoring
from detector.services import backtesting, outcomes

PLACES = 8
"""In the time that counts, at which trouble is put into copies."""
WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it in the time that counts.

    per_week   incidents a week of the whole query
    found      share of trouble found, the mean over kinds and sizes, None where no series was fit
               to put it into; by_size by scales, 0: no size
    delay      mean time until it was found
    """

    per_week: float
    found: float | None
    by_size: dict[float, float]
    delay: timedelta


def try_out(
    history: backtesting.History,
    scorer: models_scoring.QueryScorer,
    *,
    first_ms: int,
    end_ms: int,
    calendar: ports.PlannedTime,
) -> Tried:
    """Score a history; what lies from first_ms to before end_ms counts, what is before it is only
    learned from, what is behind it is not looked at."""
    frame = history.frame
    end = int(np.searchsorted(frame.times_ms, end_ms))
    seen = frames.Frame(frame.times_ms[:end], frame.values[:end], frame.step_ms)
    places = np.linspace(first_ms, end_ms, PLACES, endpoint=False)
    waiting = [int(place) for place in places[::-1]]
    tried: list[injecting.Found] = []

    def put(now: models_scoring.QueryScorer, piece: frames.Frame) -> None:
        if waiting and piece.times_ms[0] >= waiting[-1]:
            waiting.pop()
            if len(piece.times_ms) >= injecting.TAIL_STEPS:
                tail = slice(0, injecting.TAIL_STEPS)
                values = np.asfortranarray(piece.values[tail])
                tried.extend(
                    injecting.trials(now, frames.Frame(piece.times_ms[tail], values, piece.step_ms))
                )

    scored = backtesting.score_history(
        backtesting.History(history.labels, seen),
        scorer,
        counted_ms=first_ms,
        calendar=calendar,
        look=put,
    )
    incidents = sum(len(outcomes.incidents_of(each)) for each in scored)
    weeks = timedelta(milliseconds=end_ms - first_ms) / WEEK
    return _summed(tried, incidents / weeks, timedelta(milliseconds=frame.step_ms))


def _summed(tried: Iterable[injecting.Found], per_week: float, step: timedelta) -> Tried:
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
    )
