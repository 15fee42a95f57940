"""When a series will reach a limit, as a disk that fills up: the time that its trend leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames
from detector.models import forecasting, parallel
from detector.models.kernels import lines, steps

STEPS_OF_HORIZON = 96
"""A horizon is some so many steps, so that a line of a quarter of it has two dozen."""
WINDOWS = (24, 48, 96, 192, 384, 700)
"""Steps of the lines that are tried."""
DAYS = (4, 7, 14, 28)
"""Days of the lines through daily means, which a season of the day cannot hide."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may run out, and how far ahead that is news; infinite where there is no limit."""

    low: float
    high: float
    within: timedelta


def grid_for(within: timedelta, step: timedelta) -> forecasting.Grid:
    """The steps on which it is looked for, for a query of this step."""
    return forecasting.grid_of(within / STEPS_OF_HORIZON, within, step)


def seconds_left(frame: frames.Frame, limits: Limits) -> frames.Floats:
    """float64[S]: seconds from the end of a frame until the limit is reached; NaN for a series
    whose trend does not reach one within limits.within, or that has no clear trend."""
    given = frame.values.T
    bounded = np.clip(given, -steps.VALUE_LIMIT, steps.VALUE_LIMIT)
    values = np.ascontiguousarray(np.where(np.isfinite(given), bounded, np.nan))
    step = timedelta(milliseconds=frame.step_ms)
    left = _left(values, WINDOWS, step, limits)
    a_day = round(DAY / step)
    if a_day > 1 and DAY % step == timedelta(0):
        means = _means(values, a_day)
        # A mean stands for the middle of its day, half a day before the end.
        of_days = _left(means, DAYS, DAY, limits) - DAY.total_seconds() / 2
        left = np.where(np.isnan(left), np.maximum(of_days, 0.0), left)
    return left


def _left(
    values: frames.Floats, windows: tuple[int, ...], step: timedelta, limits: Limits
) -> frames.Floats:
    left = np.full(len(values), np.inf)
    most, tried = limits.within / step, np.array(windows, np.int64)

    def look(first: int, end: int) -> None:
        sums, rows = np.empty((6, values.shape[1] + 1)), slice(first, end)
        lines.steps_left(values[rows], tried, limits.low, limits.high, most, sums, left[rows])

    parallel.over(look, parallel.parts(len(values), values.size))
    return np.where(np.isfinite(left), left * step.total_seconds(), np.nan)


def _means(values: frames.Floats, a_day: int) -> frames.Floats:
    """float64[S, days]: of whole days back from the end; NaN where a quarter of one is missing."""
    days = values.shape[1] // a_day
    parts = values[:, values.shape[1] - days * a_day :].reshape(len(values), days, a_day)
    held = np.isfinite(parts)
    counts = held.sum(axis=2)
    sums = np.where(held, parts, 0.0).sum(axis=2)
    means: frames.Floats = np.where(
        counts >= lines.HELD * a_day, sums / np.maximum(counts, 1), np.nan
    )
    return means
