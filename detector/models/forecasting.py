"""What a series will be at a horizon: exponential smoothing, of the setting that foresaw it best.

Each series is foreseen with every setting of the table, from every step of the second half of its
past; the one with the smallest mean error at the horizon and half way is used. The plain ones come
first and a later one has to be better by BETTER, so a season or a trend is used where it has shown
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import parallel
from detector.models.kernels import foresight

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
STEPS = tuple(
    timedelta(seconds=each) for each in (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
)
"""All divide a day, so that a season is whole steps."""
STEPS_OF_HORIZON = 12
"""A horizon is some so many steps: fewer are coarse, more cost time and foresee no better."""
HISTORY_STEPS = 700
"""Past that is looked at: four weeks of hours, two and a half days of five minutes."""
LEAST_SEASONS = 2
BETTER = 0.97
LEAST_SAMPLES = 24
"""Samples before anything is foreseen."""
_LEVELS = (0.01, 0.05, 0.2, 0.6, 1.0)
_TRENDS = ((0.0, 1.0), (0.01, 0.99), (0.002, 1.0))  # rate and damping
_SEASON = 0.15


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps on which a horizon is foreseen.

    step     between samples
    ahead    steps of the horizon
    history  how far back is looked
    """

    step: timedelta
    ahead: int
    history: timedelta


@dataclass(frozen=True, slots=True)
class Path:
    """What is foreseen: float64[S, ahead + more], 1, 2, .. steps behind last_ms; NaN for rows with
    fewer than LEAST_SAMPLES samples.

    errors  float64[S], mean |error| at the horizon in the past that was looked at
    """

    last_ms: int
    step_ms: int
    values: frames.Floats
    errors: frames.Floats

    def at(self, time_ms: int) -> frames.Floats:
        """float64[S], what is foreseen for this time, between two steps in proportion; NaN beyond
        the path."""
        place = (time_ms - self.last_ms) / self.step_ms - 1.0
        low = int(np.floor(place))
        if not 0 <= low < self.values.shape[1]:
            return np.full(len(self.values), np.nan)
        high = min(low + 1, self.values.shape[1] - 1)
        before, after = self.values[:, low], self.values[:, high]
        between: frames.Floats = before + (place - low) * (after - before)
        return between


def grid_for(horizon: timedelta, step: timedelta) -> Grid:
    """The grid of a horizon, for a query of this step."""
    return grid_of(horizon / STEPS_OF_HORIZON, horizon, step)


def grid_of(wanted: timedelta, horizon: timedelta, step: timedelta) -> Grid:
    """A grid whose steps are about as wanted, and no shorter than the query's."""
    wanted = max(step, wanted)
    own = next((each for each in STEPS if each >= wanted), STEPS[-1])
    own = max(own, step)
    return Grid(own, max(1, round(horizon / own)), own * HISTORY_STEPS)


def settings_for(step: timedelta, samples: int) -> frames.Floats:
    """float64[C, 5]: the settings that a past of so many steps allows, plain ones first."""
    periods = [0]
    for season in (DAY, WEEK):
        period = round(season / step)
        if period > 1 and season % step == timedelta(0) and LEAST_SEASONS * period < samples:
            periods.append(period)
    return np.array(
        [
            (level, trend, _SEASON if period else 0.0, damping, period)
            for trend, damping in _TRENDS
            for period in periods
            for level in _LEVELS
        ]
    )


def foresee(frame: frames.Frame, *, ahead: int, more: int) -> Path:
    """What is foreseen from the end of a frame on, `more` steps beyond `ahead` too, and how wrong
    that has been `ahead` steps before."""
    values = np.ascontiguousarray(frame.values.T)
    settings = settings_for(timedelta(milliseconds=frame.step_ms), values.shape[1])
    # Half way too: a day ahead, the last value is as good as a season, and at no other time.
    leads = np.array([ahead, (ahead + 1) // 2])
    found = np.empty((len(values), len(settings), len(leads)))
    chosen, path = np.zeros(len(values), np.int64), np.empty((len(values), ahead + more))

    def foresee_part(first: int, end: int) -> None:
        season = np.zeros((max(1, int(settings[:, foresight.PERIOD].max())), 2))
        made, half = np.empty((values.shape[1], len(leads))), values.shape[1] // 2
        rows = slice(first, end)
        foresight.errors_at(values[rows], settings, leads, half, found[rows], season, made)
        chosen[rows] = _chosen(found[rows].mean(axis=2))
        foresight.paths(values[rows], settings, chosen[rows], season, path[rows])

    parallel.over(foresee_part, parallel.parts(len(values), values.size))
    path[np.isfinite(values).sum(axis=1) < LEAST_SAMPLES] = np.nan
    return Path(
        last_ms=int(frame.times_ms[-1]),
        step_ms=frame.step_ms,
        values=path,
        errors=found[np.arange(len(values)), chosen, 0],
    )


def _chosen(found: frames.Floats) -> frames.Ints:
    """int64[S]: going through the settings, each that is better than the best before by BETTER."""
    chosen = np.zeros(len(found), np.int64)
    best = found[:, 0].copy()
    for setting in range(1, found.shape[1]):
        is_better = found[:, setting] < BETTER * best
        chosen[is_better] = setting
        best[is_better] = found[is_better, setting]
    return chosen


def horizon_name(horizon: timedelta) -> str:
    """A horizon as the label says it, in Prometheus' notation.

    >>> horizon_name(timedelta(hours=36))
    '1d12h'
    """
    left, parts = round(horizon.total_seconds()), []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def names(horizons: Sequence[timedelta]) -> tuple[str, ...]:
    """The labels of these horizons."""
    return tuple(horizon_name(each) for each in horizons)
