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
    recent = [each for each in told if (each.ended_at or now) >= now - memory]
    wanted, lowest, raised = 1.0, float("inf"), 1.0
    before: list[tuple[datetime, float]] = [(datetime.min.replace(tzinfo=now.tzinfo), 1.0)]
    for each in sorted(recent, key=lambda each: each.opened_at):
        in_force = next(times for since, times in reversed(before) if since <= each.opened_at)
        peak = in_force * each.peak_score
        if each.verdict is alerts.Feedback.FALSE_ALARM:
            wanted = max(wanted, ABOVE * peak)
        elif each.verdict is alerts.Feedback.TRUE:
            lowest = min(lowest, peak)
        raised = max(1.0, min(wanted, MOST, BELOW * lowest))
        before.append((each.ended_at or now, raised))
        before.sort(key=lambda pair: pair[0])
    return raised


def masked(told: Iterable[Judgement]) -> tuple[wall_clock.Span, ...]:
    """When a series did what it does not usually do: confirmed or planned, and over."""
    return tuple(
        (each.opened_at, each.ended_at)
        for each in told
        if each.ended_at is not None and each.verdict is not alerts.Feedback.FALSE_ALARM
    )
