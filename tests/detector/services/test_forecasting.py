"""Forecasts written at now, made anew when there is something new to make them from."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest

from detector import errors, frames, loops, telemetry
from detector.models import exhaustion
from detector.services import forecasting
from tests.fakes import prometheus

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
NOW_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
A: frames.Labels = (("instance", "a"),)
B: frames.Labels = (("instance", "b"),)
DAY, TWO_HOURS = timedelta(days=1), timedelta(hours=2)


def _wave(time_ms: int) -> float:
    return 10.0 + 5.0 * math.sin(time_ms / (24 * HOUR_MS) * 2 * math.pi)


class Foreseen:
    """A forecaster of two waves, at a clock that a test moves."""

    def __init__(self, *horizons: timedelta, name: str = "q") -> None:
        self.clock_ms = NOW_MS
        self.reader = prometheus.FakeReader({A: _wave, B: lambda ms: 2.0 * _wave(ms)})
        self.writer = prometheus.RecordingWriter()
        self.forecaster = forecasting.Forecaster(
            name,
            "x",
            timedelta(seconds=5),
            horizons,
            reader=self.reader,
            writer=self.writer,
            clock=lambda: self.clock_ms / 1000,
        )


def test_each_horizon_is_foreseen_and_written_at_now() -> None:
    given = Foreseen(DAY, TWO_HOURS)

    written = given.forecaster.turn()

    assert written == 4
    ((time_ms, told),) = given.writer.forecasts
    assert time_ms == NOW_MS
    assert told[A, "1d"] == pytest.approx(_wave(NOW_MS), abs=0.5)
    assert told[B, "2h"] == pytest.approx(2 * _wave(NOW_MS + 2 * HOUR_MS), abs=0.5)


def test_it_is_written_each_minute_and_made_at_each_step_of_its_grid() -> None:
    given = Foreseen(DAY)
    turns = []
    for _ in range(62):
        turns.append(given.forecaster.turn())
        turns.append(given.forecaster.turn())  # the same minute: nothing new
        given.clock_ms += MINUTE_MS
    assert turns == [2, 0] * 62
    assert [last for _, last in given.reader.ranges] == [NOW_MS, NOW_MS + HOUR_MS]
    told = np.array([told[A, "1d"] for _, told in given.writer.forecasts])
    wanted = np.array([_wave(time_ms) for time_ms, _ in given.writer.forecasts])
    assert np.abs(told - wanted).max() < 0.6


def test_what_has_ended_is_foreseen_no_more() -> None:
    given = Foreseen(TWO_HOURS)
    given.forecaster.turn()
    given.reader.series[B] = lambda ms: _wave(ms) if ms <= NOW_MS else math.nan
    given.clock_ms += HOUR_MS
    given.forecaster.turn()
    told = given.writer.forecasts[-1][1]
    assert math.isfinite(told[A, "2h"])
    assert math.isnan(told[B, "2h"])


def test_a_failed_read_is_tried_again_and_stops_no_other() -> None:
    broken, fine = Foreseen(DAY, name="broken"), Foreseen(DAY, name="fine")
    broken.reader.broken = True
    every = forecasting.Forecasts(
        lambda: [broken.forecaster, fine.forecaster], meters=telemetry.Telemetry()
    )
    assert every.turn() == loops.Turn(2, 2)
    broken.reader.broken = False
    assert every.turn() == loops.Turn(2, 2)
    assert len(broken.writer.forecasts) == len(fine.writer.forecasts) == 1


def test_where_none_works_the_turn_has_failed() -> None:
    broken = Foreseen(DAY)
    broken.reader.broken = True
    every = forecasting.Forecasts(lambda: [broken.forecaster], meters=telemetry.Telemetry())
    with pytest.raises(errors.UpstreamError, match="down"):
        every.turn()


def test_a_bug_in_one_is_counted_and_stops_no_other() -> None:
    broken, fine, meters = Foreseen(DAY), Foreseen(DAY), telemetry.Telemetry()
    broken.reader.series = {A: lambda _: 1 / 0}
    every = forecasting.Forecasts(lambda: [broken.forecaster, fine.forecaster], meters=meters)
    assert every.turn() == loops.Turn(2, 2)
    dropped = {"loop": "forecasts", "reason": "failed"}
    assert meters.registry.get_sample_value("detector_loop_dropped_total", dropped) == 1


def test_another_forecaster_of_the_query_begins_after_what_is_written() -> None:
    before, after = Foreseen(TWO_HOURS, name="q"), Foreseen(TWO_HOURS, DAY, name="q")
    wanted = [before.forecaster]
    every = forecasting.Forecasts(lambda: wanted, meters=telemetry.Telemetry())
    every.turn()
    wanted[:] = [after.forecaster]
    assert every.turn() == loops.Turn(0, 0)  # at the same minute: it would be a second value
    after.clock_ms += MINUTE_MS
    assert every.turn() == loops.Turn(4, 4)
    assert [time_ms for time_ms, _ in before.writer.forecasts] == [NOW_MS, NOW_MS + 1]
    assert [time_ms for time_ms, _ in after.writer.forecasts] == [NOW_MS + MINUTE_MS]


def test_what_is_not_wanted_any_more_ends() -> None:
    given = Foreseen(TWO_HOURS)
    wanted = [given.forecaster]
    every = forecasting.Forecasts(lambda: wanted, meters=telemetry.Telemetry())
    every.turn()
    wanted.clear()
    assert every.turn() == loops.Turn(0, 0)
    every.turn()
    (_, ends) = given.writer.forecasts
    assert ends[0] == NOW_MS + 1
    assert np.isnan(list(ends[1].values())).all()


def test_the_time_to_a_limit_goes_down_with_the_clock_and_ends_with_the_trend() -> None:
    given = Foreseen()
    begin_ms = NOW_MS - 800 * 900_000
    given.reader.series = {A: lambda ms: (ms - begin_ms) / 900_000 / 10.0, B: _wave}
    given.forecaster = forecasting.Forecaster(
        "q",
        "x",
        timedelta(seconds=5),
        (),
        limits=exhaustion.Limits(-math.inf, 85.0, DAY),
        reader=given.reader,
        writer=given.writer,
        clock=lambda: given.clock_ms / 1000,
    )

    assert given.forecaster.turn() == 1
    given.clock_ms += MINUTE_MS
    assert given.forecaster.turn() == 1
    assert len(given.reader.ranges) == 1  # looked at anew at each quarter of an hour
    given.reader.series[A] = lambda _: 80.0
    given.clock_ms += 14 * MINUTE_MS + 6 * HOUR_MS
    assert given.forecaster.turn() == 0
    given.forecaster.end()

    (first, second, third, last) = given.writer.exhaustions
    assert first[0] == NOW_MS
    assert first[1][A] == pytest.approx(50 * 900.0)
    assert second[1][A] == pytest.approx(50 * 900.0 - 60)
    assert [math.isnan(each) for each in (first[1][B], third[1][A], last[1][A])] == [True] * 3
    assert given.writer.forecasts == []
