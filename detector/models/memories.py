"""How long each part of the streaming detector remembers, for a step of any length.

The rates were tuned on steps of one minute to one hour, where they hold in points. Below a minute
what is a *memory* (how long the past matters to a host or a service) keeps its length in time: a
rate `a` in points becomes `1 - (1 - a) ** (step / minute)`. What is a *count* (how many numbers an
average, a quantile or a pause needs before it means something) stays in points at every step.

Below a minute the averages span many more points, so a burst leaves an image of itself in them for
minutes. There an incident's teaching is undone once values are back in the band of before it: a
minute of full load at 5 s steps then scores above 1 for 17 points instead of 43. At a minute and
above the image is a few points long, and undoing it ranks no better (VUS-PR -.017, within noise, on
labelled series), so it is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models.kernels import layout

TUNED_STEP = timedelta(minutes=1)
"""Shortest step for which the rates below hold in points."""
EWMA_RATES = (1.0, 0.5, 0.2, 0.05, 0.01)
SLOW_RATE = 0.0005
SCALE_RATE = 0.0007
DRIFT_RATE = 0.1
PROFILE_RATE = 0.3
"""Of one visit of a bin of the daily profile, an hour of the week, a part of a month's edge."""
MAX_PROFILE_BINS = 288
"""Five minutes each: finer than people's days, coarse enough for the state of many series."""
LEAST_BLOCK_POINTS, MOST_BLOCK_POINTS = 6, 48
MOST_DRIFT_STEPS = 12
DRIFT_AT_LEAST = timedelta(minutes=4)
_DAY, _HOUR, _WEEK = timedelta(days=1), timedelta(hours=1), timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Memories:
    """Rates per point at one step.

    ewma          float64[5], fastest first; a rate of 1 remembers the last value alone
    slow, scale   of the slow mean and of the running |residual|
    drift         of the drift of the daily profile
    profile       of one visit of a bin of the daily profile, after its first day
    weekly, monthly
                  of one visit of an hour of the week, or a part of a month's edge, after its first
    profile_bins  bins of a day
    week_points, month_points
                  steps of a week, and of the edges of a month
    """

    ewma: frames.Floats
    slow: float
    scale: float
    drift: float
    profile: float
    weekly: float
    monthly: float
    profile_bins: int
    week_points: int
    month_points: int


def memories_for_step(step: timedelta) -> Memories:
    """The memories at this step: as tuned from a minute up, of the same length in time below."""
    share = min(1.0, step / TUNED_STEP)
    points_a_day = max(1, round(_DAY / step))
    bins = min(MAX_PROFILE_BINS, points_a_day)
    visits_a_day = points_a_day / bins
    return Memories(
        ewma=np.array([shortened(rate, share) for rate in EWMA_RATES]),
        slow=shortened(SLOW_RATE, share),
        scale=shortened(SCALE_RATE, share),
        drift=shortened(DRIFT_RATE, share),
        profile=shortened(PROFILE_RATE, 1 / visits_a_day),
        weekly=shortened(PROFILE_RATE, min(1.0, step / _HOUR)),
        monthly=shortened(PROFILE_RATE, min(1.0, step / (_DAY / layout.EDGE_PARTS))),
        profile_bins=bins,
        week_points=max(1, round(_WEEK / step)),
        month_points=max(1, round(_DAY * (layout.EDGES // layout.EDGE_PARTS) / step)),
    )


def drift_block_points(step: timedelta) -> int:
    """Points of a block of the drift's window: an eighth of a day, of so many points that a mean
    and a spread mean something and yet a window of some blocks is over in hours."""
    return min(MOST_BLOCK_POINTS, max(LEAST_BLOCK_POINTS, round(_DAY / step / 8)))


def steps_between_drifts(step: timedelta) -> int:
    """Steps from one telling of the drift to the next: it moves slowly and each costs a write, but
    Prometheus forgets a sample after five minutes."""
    return min(MOST_DRIFT_STEPS, max(1, DRIFT_AT_LEAST // step))


def shortened(rate: float, share: float) -> float:
    """The rate of a part of a point that over a whole one comes to this rate."""
    return rate if share == 1.0 else float(1.0 - (1.0 - rate) ** share)
