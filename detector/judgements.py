"""What people said of anomalies, and what the detector makes of it.

A false alarm raises the threshold of its series to just above its peak. What was confirmed or
planned is not what the series usually does, so its samples teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from detector import alerts, frames, wall_clock

MOST = 2.0
"""Times that people can raise a threshold: what is beyond is told whatever they said."""
ABOVE, BELOW = 1.05, 0.95
"""Of a false alarm's peak, where the threshold comes to stand; of a confirmed one's, at most."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an anomaly of one series was; ended_at is None while it lasts.

    peak_score  above the threshold that was in force then
    """

    labels: frames.Labels
    opened_at: datetime
    ended_at: datetime | None
    peak_score: float
    verdict: alerts.Feedback


def raise_of(told: Iterable[Judgement], *, now: datetime, memory: timedelta) -> float:
    """How many times its own threshold that of a series is: 1 to MOST.

    The false alarms of the last `memory` raise it, each to ABOVE of its peak; a confirmed one of
    that time keeps it below its own. Peaks were told in units of the threshold of their day, so
    they are taken one after the other, each as judged when it ended.
    """
    peaks: list[tuple[datetime, alerts.Feedback, float]] = []
    for each in sorted(told, key=lambda each: each.opened_at):
        known_at = each.ended_at or now
        if known_at >= now - memory:
            in_force = _raise_by(peak for peak in peaks if peak[0] <= each.opened_at)
            peaks.append((known_at, each.verdict, in_force * each.peak_score))
    return _raise_by(peaks)


def _raise_by(peaks: Iterable[tuple[datetime, alerts.Feedback, float]]) -> float:
    """By what was known at some time, of which verdict and how far above the plain threshold."""
    wanted, lowest = 1.0, float("inf")
    for _, verdict, peak in peaks:
        if verdict is alerts.Feedback.FALSE_ALARM:
            wanted = max(wanted, ABOVE * peak)
        elif verdict is alerts.Feedback.TRUE:
            lowest = min(lowest, peak)
    return max(1.0, min(wanted, MOST, BELOW * lowest))


def masked(told: Iterable[Judgement]) -> tuple[wall_clock.Span, ...]:
    """When a series did what it does not usually do: confirmed or planned, and over."""
    return tuple(
        (each.opened_at, each.ended_at)
        for each in told
        if each.ended_at is not None and each.verdict is not alerts.Feedback.FALSE_ALARM
    )
