from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest

from detector import errors, frames, loops, telemetry
from detector.models import budget, catalogue
from detector.models import scoring as models_scoring
from detector.models.kernels import layout
from detector.services import scoring, self_test
from tests.fakes import prometheus, queries

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEP_MS = 60_000
NOW_MS = 1_700_000_000_000 // STEP_MS * STEP_MS
A: frames.Labels = (("instance", "a"),)
B: frames.Labels = (("instance", "b"),)
NOISE = np.random.default_rng(8).normal(size=5_000)
EVERY = timedelta(hours=6)


def _noise(time_ms: int) -> float:
    return 50.0 + float(NOISE[time_ms // STEP_MS % len(NOISE)])


def _daily(time_ms: int) -> float:
    return _noise(time_ms) + 8.0 * math.sin(2.0 * math.pi * time_ms / 86_400_000)


class Tried:
    """Two queries over two series of noise."""

    def __init__(self, history: timedelta = timedelta(hours=12), step_ms: int = STEP_MS) -> None:
        self.step = timedelta(milliseconds=step_ms)
        self.clock_ms = NOW_MS + STEP_MS // 2
        self.meters = telemetry.Telemetry()
        self.reader = prometheus.FakeReader({A: _noise, B: lambda ms: 2 * _noise(ms)})
        self.writer = prometheus.RecordingWriter()
        self.runners = [self._runner(name, history) for name in ("one", "two")]
        self.roster = queries.roster_of(*self.runners)
        self.test = self_test.SelfTest(
            self.roster,
            reader=self.reader,
            every=EVERY,
            meters=self.meters,
            clock=self._clock,
        )

    def _clock(self) -> float:
        return self.clock_ms / 1000

    def _runner(self, name: str, history: timedelta) -> scoring.QueryRunner:
        step = self.step
        return scoring.QueryRunner(
            scoring.Spec(name, "x", step, history, timedelta(hours=1), timedelta(days=1)),
            reader=self.reader,
            writer=self.writer,
            make_scorer=lambda: models_scoring.QueryScorer(
                step=step, budget=budget.parse_budget("1 per day per series")
            ),
            meters=self.meters,
            clock=self._clock,
        )

    def run(self) -> None:
        for runner in self.runners:
            runner.run()

    def replace(self) -> None:
        self.roster.replace(queries.roster_of(*self.runners).members.values())

    def ratio(self, query: str, kind: str, scales: str) -> float | None:
        return self.meters.registry.get_sample_value(
            "detector_self_test_detected_ratio", {"query": query, "kind": kind, "scales": scales}
        )


def test_one_query_a_turn_is_tried_and_told_and_nothing_is_written() -> None:
    given = Tried()
    given.run()
    before = len(given.writer.scores)

    turns = [given.test.turn(), given.test.turn(), given.test.turn()]

    assert turns == [loops.Turn(2, 2), loops.Turn(2, 2), loops.Turn()]
    for query in ("one", "two"):
        assert given.ratio(query, "spike", "10") == 1.0
        assert given.ratio(query, "zero", "0") == 1.0
    delay = {"query": "one", "kind": "spike", "scales": "10"}
    assert given.meters.registry.get_sample_value("detector_self_test_delay_seconds", delay) == 0
    assert len(given.writer.scores) == before


def test_it_comes_round_again_when_it_is_due() -> None:
    given = Tried()
    given.run()
    for _ in range(2):
        given.test.turn()
    given.clock_ms += round(EVERY.total_seconds() * 1000) - 1
    assert given.test.turn() == loops.Turn()
    given.clock_ms += 1
    assert given.test.turn() == loops.Turn(2, 2)


def test_a_query_that_knows_no_series_is_not_tried() -> None:
    given = Tried()
    assert given.test.turn() == loops.Turn()
    assert given.reader.ranges == []


def test_too_little_of_a_past_is_looked_at_again_later() -> None:
    given = Tried()
    given.reader.series = {
        A: lambda ms: _noise(ms) if ms > NOW_MS - 100 * STEP_MS else float("nan")
    }
    given.run()
    assert given.test.turn() == loops.Turn()
    assert given.ratio("one", "spike", "10") is None
    given.test.turn()
    read = len(given.reader.ranges)
    given.test.turn()
    assert len(given.reader.ranges) == read
    given.clock_ms += 600_000
    given.test.turn()
    assert len(given.reader.ranges) == read + 1


def test_a_failed_read_is_told_and_tried_again_later() -> None:
    given = Tried()
    given.run()
    given.reader.broken = True
    with pytest.raises(errors.UpstreamError):
        given.test.turn()
    given.reader.broken = False
    assert given.test.turn() == loops.Turn(2, 2)
    assert given.ratio("one", "spike", "10") is None
    assert given.ratio("two", "spike", "10") == 1.0


def test_a_query_of_too_many_series_for_a_past_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "SAMPLES_MOST", 400)
    given = Tried()
    given.run()
    read = len(given.reader.ranges)
    assert given.test.turn() == loops.Turn()
    assert len(given.reader.ranges) == read


def test_a_runner_that_takes_the_place_of_another_is_tried_and_the_other_forgotten() -> None:
    given = Tried()
    given.run()
    for _ in range(2):
        given.test.turn()
    assert given.test.turn() == loops.Turn()
    given.runners[0] = given._runner("one", timedelta(hours=12))
    given.runners[0].run()
    given.replace()
    assert given.test.turn() == loops.Turn(2, 2)
    assert given.test.turn() == loops.Turn()


def test_what_the_fits_of_a_query_say_is_part_of_what_is_tried() -> None:
    given = Tried()
    given.run()
    runner = given.runners[0]
    rows = np.random.default_rng(0).normal(size=(600, layout.RESIDUALS)).astype(np.float32)
    fit = catalogue.model_of("hbos").fit(rows, seed=0)
    runner.scorer.adopt(fit)
    assert runner.fresh_scorer().adopted == (fit,)
    assert runner.fresh_scorer().samples_seen.size == 0


def test_a_past_with_a_season_is_tried_without_it_and_a_short_one_is_not() -> None:
    given = Tried(history=timedelta(days=10), step_ms=5 * STEP_MS)
    given.reader.series = {A: _daily, B: lambda ms: 2 * _daily(ms)}
    given.run()
    given.test.turn()
    assert given.ratio("one", "lost_season", "0") == 1.0
    labels = {"query": "one", "kind": "lost_season", "scales": "0"}
    delay_s = given.meters.registry.get_sample_value("detector_self_test_delay_seconds", labels)
    assert delay_s is not None
    assert 2 * 3_600 <= delay_s <= 16 * 3_600

    short = Tried()
    short.run()
    short.test.turn()
    assert short.ratio("one", "zero", "0") == 1.0
    assert short.ratio("one", "lost_season", "0") is None


@pytest.mark.parametrize("days", [10, 3])
def test_the_figure_of_a_season_goes_when_it_is_not_tried_any_more(days: int) -> None:
    given = Tried(history=timedelta(days=days), step_ms=5 * STEP_MS)
    given.run()
    given.meters.self_test_detected.labels("one", "lost_season", "0").set(1.0)
    given.meters.self_test_delay.labels("one", "lost_season", "0").set(7.0)
    assert given.test.turn() == loops.Turn(2, 2)
    assert given.ratio("one", "lost_season", "0") is None
    assert given.ratio("one", "spike", "10") == 1.0
