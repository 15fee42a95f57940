"""How many incidents a week a query may be expected to bring, from its own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from scipy import special

from detector import errors
from detector.models import budget
from detector.services import outcomes

SETTLING_RATIO = 0.25
"""Of the history is left out at its start. In its first day a series may alarm oftener than the
budget says; for some days after, while its threshold comes down from that, it does so less."""
LEAST = budget.FIRST_DAY / SETTLING_RATIO
"""Of history: that a day is left out."""
CONFIDENCE = 0.95
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Incidents a week of a whole query, and what came of it.

    per_week    most likely; low and high hold it in CONFIDENCE of cases if incidents come
                independently of each other (siblings that fail together are wider)
    incidents   counted in the first half, in series_days
    later_per_week
                what the later half had
    """

    per_week: float
    low: float
    high: float
    incidents: int
    series_days: float
    later_per_week: float


def expect(series: Sequence[outcomes.Scored]) -> Expectation:
    """What the first half of these series' time lets expect, beside what the later half had.

    Scores are causal, so that the first half knows nothing of the later one. All samples have to
    be given, none left out at the start.

    Raises NotEnoughData where they span less than LEAST.
    """
    first_ms, last_ms = _span(series)
    if last_ms - first_ms < LEAST / timedelta(milliseconds=1):
        held = timedelta(milliseconds=last_ms - first_ms) / timedelta(days=1)
        raise errors.NotEnoughData(
            f"{held:.1f} days of history, {LEAST / timedelta(days=1):g} are needed"
        )
    settled_ms = first_ms + round((last_ms - first_ms) * SETTLING_RATIO)
    half_ms = (first_ms + last_ms) // 2
    early, early_days = _count(series, settled_ms, half_ms)
    late, late_days = _count(series, half_ms, last_ms + 1)
    if not early_days or not late_days:
        raise errors.NotEnoughData("no sample in one half of the history")
    low, high = poisson_interval(early)
    # The whole query, that is, as many series as have samples in the later half on average.
    at_a_time = late_days / ((last_ms - half_ms) / 86_400_000)
    weekly = 7.0 / early_days * at_a_time
    return Expectation(
        per_week=early * weekly,
        low=low * weekly,
        high=high * weekly,
        incidents=early,
        series_days=early_days,
        later_per_week=late * 7.0 / late_days * at_a_time,
    )


def poisson_interval(count: int) -> tuple[float, float]:
    """The means that make this count no rarity (Garwood, 1936): exact, two-sided.

    >>> [round(end, 2) for end in poisson_interval(3)]
    [0.62, 8.77]
    """
    rare = (1 - CONFIDENCE) / 2
    low = float(special.gammaincinv(count, rare)) if count else 0.0
    return low, float(special.gammaincinv(count + 1, 1 - rare))


def _span(series: Sequence[outcomes.Scored]) -> tuple[int, int]:
    times = [each.times_ms[np.isfinite(each.values)] for each in series]
    held = [each for each in times if each.size]
    if not held:
        raise errors.NotEnoughData("no sample")
    return min(int(each[0]) for each in held), max(int(each[-1]) for each in held)


def _count(series: Sequence[outcomes.Scored], first_ms: int, end_ms: int) -> tuple[int, float]:
    """Incidents that opened from first to before end, and the days of series in it."""
    count, days = 0, 0.0
    for each in series:
        opened = (incident.span.start_ms for incident in outcomes.incidents_of(each))
        count += sum(first_ms <= at_ms < end_ms for at_ms in opened)
        inside = (each.times_ms >= first_ms) & (each.times_ms < end_ms)
        days += int(np.isfinite(each.values[inside]).sum()) * (each.step / timedelta(days=1))
    return count, days
