"""Forecasts of series whose future is known, beside the plainest forecast there is."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import forecasting

HOUR_MS = 3_600_000
AHEAD = 24
PAST = 700
SERIES = 20
Make = Callable[[np.random.Generator, frames.Floats], frames.Floats]


def frame_of(values: frames.Floats) -> frames.Frame:
    times_ms = np.arange(len(values), dtype=np.int64) * HOUR_MS
    return frames.Frame(times_ms, np.asfortranarray(values), HOUR_MS)


def _steady(rng: np.random.Generator, hours: frames.Floats) -> frames.Floats:
    return np.asarray(rng.normal(size=(len(hours), SERIES)))


def _walk(rng: np.random.Generator, hours: frames.Floats) -> frames.Floats:
    return np.asarray(np.cumsum(rng.normal(size=(len(hours), SERIES)), axis=0))


def _leak(rng: np.random.Generator, hours: frames.Floats) -> frames.Floats:
    return np.asarray(0.5 * hours[:, None] + _steady(rng, hours))


def _daily(rng: np.random.Generator, hours: frames.Floats) -> frames.Floats:
    return np.asarray(10 * np.sin(hours / 24 * 2 * np.pi)[:, None] + _steady(rng, hours))


def _weekly(rng: np.random.Generator, hours: frames.Floats) -> frames.Floats:
    share = np.where(hours // 24 % 7 >= 5, 0.2, 1.0)
    return np.asarray((share * (20 + 10 * np.sin(hours / 24 * 2 * np.pi)))[:, None]) + _steady(
        rng, hours
    )


@pytest.mark.parametrize(
    ("make", "of_last_value", "of_noise"),
    [
        pytest.param(_steady, 0.85, 1.1, id="steady: the mean, not the last value"),
        pytest.param(_walk, 1.15, math.inf, id="walk: no worse than the last value"),
        pytest.param(_leak, 0.35, 1.5, id="leak: the trend goes on"),
        pytest.param(_daily, 1.0, 1.3, id="daily: as at this time of day"),
        pytest.param(_weekly, 0.4, 1.8, id="weekly: as on this day of the week"),
    ],
)
def test_what_a_series_shows_is_foreseen_a_day_ahead(
    make: Make, of_last_value: float, of_noise: float
) -> None:
    rng, wrong, plain = np.random.default_rng(11), [], []
    for start in range(0, 7 * 24, 31):  # from other times of day and of the week
        values = make(rng, np.arange(start, start + PAST + AHEAD, dtype=np.float64))
        path = forecasting.foresee(frame_of(values[:PAST]), ahead=AHEAD, more=0)
        wrong.append(np.abs(path.values[:, -1] - values[-1]))
        plain.append(np.abs(values[PAST - 1] - values[-1]))
    error, noise = float(np.mean(wrong)), math.sqrt(2 / math.pi)
    assert error < of_last_value * float(np.mean(plain))
    assert error < of_noise * noise


def test_errors_of_the_past_are_those_of_the_future() -> None:
    rng = np.random.default_rng(3)
    values = _daily(rng, np.arange(PAST + AHEAD, dtype=np.float64))
    path = forecasting.foresee(frame_of(values[:PAST]), ahead=AHEAD, more=0)
    wrong = np.abs(path.values[:, -1] - values[-1])
    assert 0.6 < path.errors.mean() / wrong.mean() < 1.6


def test_a_wild_sample_in_the_past_moves_the_forecast_little() -> None:
    values = _daily(np.random.default_rng(5), np.arange(PAST, dtype=np.float64))
    hit = values.copy()
    hit[600] += 1e6
    path, moved = (forecasting.foresee(frame_of(each), ahead=6, more=0) for each in (values, hit))
    assert np.abs(path.values - moved.values).max() < 10


@pytest.mark.parametrize(
    ("column", "finite"),
    [
        (np.full(PAST, np.nan), False),
        (np.where(np.arange(PAST) < 23, 1.0, np.nan), False),
        (np.full(PAST, 5.0), True),
        (np.where(np.arange(PAST) % 7 < 4, np.nan, 1.0), True),
        (np.where(np.arange(PAST) % 2, 1e37, -1e37), True),
        (np.zeros(PAST), True),
    ],
    ids=["none", "too few", "constant", "gaps", "huge", "zero"],
)
def test_what_has_no_past_is_not_foreseen_and_the_rest_is_finite(
    column: frames.Floats, finite: bool
) -> None:
    values = np.stack(
        [column, _steady(np.random.default_rng(1), np.arange(PAST, dtype=np.float64))[:, 0]], axis=1
    )
    path = forecasting.foresee(frame_of(values), ahead=5, more=2)
    assert path.values.shape == (2, 7)
    assert np.isfinite(path.values[0]).all() == finite
    assert np.isfinite(path.values[1]).all()
    if column[0] == 5.0:
        assert np.allclose(path.values[0], 5.0)


def test_a_short_past_is_foreseen_without_seasons() -> None:
    assert {*forecasting.settings_for(timedelta(hours=1), 40)[:, 4]} == {0}
    assert {*forecasting.settings_for(timedelta(hours=1), 60)[:, 4]} == {0, 24}
    assert {*forecasting.settings_for(timedelta(hours=1), 400)[:, 4]} == {0, 24, 168}
    assert {*forecasting.settings_for(timedelta(minutes=11), 10_000)[:, 4]} == {0}


def test_between_two_steps_is_told_in_proportion_and_nothing_beyond_them() -> None:
    path = forecasting.Path(1000, 100, np.array([[1.0, 3.0, 4.0]]), np.zeros(1))
    told = [float(path.at(time_ms)[0]) for time_ms in (1100, 1150, 1200, 1300, 1050, 1400)]
    assert np.array_equal(told, [1.0, 2.0, 3.0, 4.0, math.nan, math.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("horizon", "step", "expected"),
    [
        (timedelta(days=1), timedelta(minutes=1), (timedelta(hours=1), 24)),
        (timedelta(hours=1), timedelta(seconds=5), (timedelta(minutes=5), 12)),
        (timedelta(minutes=5), timedelta(seconds=5), (timedelta(seconds=30), 10)),
        (timedelta(hours=2), timedelta(minutes=45), (timedelta(hours=1), 2)),
        (timedelta(days=30), timedelta(minutes=1), (timedelta(hours=1), 720)),
    ],
)
def test_a_horizon_is_some_twelve_steps_of_a_grid_that_the_day_is_cut_into(
    horizon: timedelta, step: timedelta, expected: tuple[timedelta, int]
) -> None:
    grid = forecasting.grid_for(horizon, step)
    assert (grid.step, grid.ahead) == expected
    assert grid.history == grid.step * forecasting.HISTORY_STEPS


@pytest.mark.parametrize(
    ("horizon", "name"),
    [
        (timedelta(days=1), "1d"),
        (timedelta(hours=36), "1d12h"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(seconds=301), "5m1s"),
    ],
)
def test_horizons_are_named_as_prometheus_writes_durations(horizon: timedelta, name: str) -> None:
    assert forecasting.horizon_name(horizon) == name
