"""Many queries on one pool: what fails or hangs stays alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from detector import errors, frames, loops, ports, telemetry
from detector.models import budget, catalogue, fitted
from detector.models import scoring as models_scoring
from detector.services import cycles, scoring
from tests import stack
from tests.fakes import prometheus, queries

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEP = timedelta(seconds=1)
UNHURRIED = timedelta(minutes=1)
"""A turn waits a step of real time, at most, for what it runs: no machine is too slow for this."""
NOW_S = 1_700_000_000.5
NOW_MS = 1_700_000_000_000
A: frames.Labels = (("instance", "a"),)
PAIR = (catalogue.model_of("iforest"), catalogue.model_of("hbos"))


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = NOW_S

    def __call__(self) -> float:
        return self.now


class Reader(prometheus.FakeReader):
    """Waits in each read while `held`; raises `bug` if one is given."""

    def __init__(self) -> None:
        super().__init__({A: lambda _: 1.0})
        self.go_on = threading.Event()
        self.go_on.set()
        self.bug: Exception | None = None

    def _answer(self) -> None:
        assert self.go_on.wait(20)
        if self.bug is not None:
            raise self.bug
        super()._answer()


def _runner(
    name: str,
    reader: ports.SeriesReader,
    meters: telemetry.Telemetry,
    clock: Clock,
    *,
    step: timedelta = STEP,
    history: timedelta = timedelta(0),
    models: Sequence[fitted.Model] = (),
) -> scoring.QueryRunner:
    return scoring.QueryRunner(
        scoring.Spec(name, "x", step, history, timedelta(hours=1), timedelta(days=1)),
        reader=reader,
        writer=prometheus.RecordingWriter(),
        make_scorer=lambda: models_scoring.QueryScorer(
            step=step, budget=budget.parse_budget("1 per week per series"), models=models
        ),
        meters=meters,
        clock=clock,
    )


class Stage:
    """Cycles over fake readers, one a query."""

    def __init__(self, *names: str, step: timedelta) -> None:
        self.clock, self.meters = Clock(), telemetry.Telemetry()
        self.readers = {name: Reader() for name in names}
        self.cycles = cycles.Cycles(
            queries.roster_of(
                *(
                    _runner(name, reader, self.meters, self.clock, step=step)
                    for name, reader in self.readers.items()
                )
            ),
            workers=4,
            meters=self.meters,
            clock=self.clock,
        )

    def work(self) -> loops.Turn:
        """The first turn that takes something in, which a slow machine may do after a few."""
        turn = stack.wait_until(lambda: _unless_idle(self.cycles.turn()), 30, "a query to work")
        assert turn is not None
        return turn

    def failures(self, name: str, kind: str) -> float | None:
        return self.meters.registry.get_sample_value(
            "detector_query_failures_total", {"query": name, "kind": kind}
        )


def _unless_idle(turn: loops.Turn) -> loops.Turn | None:
    return None if turn.is_idle else turn


@pytest.fixture
def make_stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*names: str, step: timedelta = UNHURRIED) -> Stage:
        made.append(Stage(*names, step=step))
        return made[-1]

    yield make
    for stage in made:
        for reader in stage.readers.values():
            reader.go_on.set()
        stage.cycles.stop()


MakeStage = Callable[..., Stage]


def test_a_query_that_hangs_does_not_hold_up_the_others(make_stage: MakeStage) -> None:
    stage = make_stage("hangs", "works", step=STEP)
    stage.readers["hangs"].go_on.clear()

    turns = []
    for _ in range(3):
        turns.append(stage.work())
        stage.clock.now += 1

    assert [turn.came_in for turn in turns] == [1, 1, 1]
    assert stage.readers["works"].instants == [NOW_MS, NOW_MS + 1000, NOW_MS + 2000]
    assert stage.cycles.unfinished() == ["hangs"]
    assert stage.readers["hangs"].instants == []

    stage.readers["hangs"].go_on.set()
    came_in = stage.work().came_in
    while came_in < 2:  # the other one works when it comes to that
        came_in += stage.work().came_in
    assert [runner.standing is None for runner in stage.cycles.runners] == [False, False]


def test_a_turn_in_which_everything_hangs_is_idle_and_no_success(make_stage: MakeStage) -> None:
    stage = make_stage("one", "two", step=STEP)
    for reader in stage.readers.values():
        reader.go_on.clear()

    assert stage.cycles.turn() == loops.Turn(is_idle=True)


def test_a_turn_with_nothing_due_is_idle(make_stage: MakeStage) -> None:
    stage = make_stage("one")

    assert not stage.cycles.turn().is_idle
    assert stage.cycles.turn() == loops.Turn(is_idle=True)


def test_without_queries_a_turn_is_a_success() -> None:
    none = cycles.Cycles(queries.roster_of(), workers=1, meters=_meters(), clock=Clock())
    assert none.turn() == loops.Turn()
    none.stop()


def test_a_history_that_comes_further_is_a_success_though_no_query_is_done() -> None:
    reading, go_on, clock, meters = threading.Event(), threading.Event(), Clock(), _meters()

    class Slow(prometheus.FakeReader):
        """Gives the first block at once and the second when told to."""

        def read_range(self, *args: object, **kwargs: object) -> frames.Frame:
            if self.ranges:
                reading.set()
                assert go_on.wait(20)
            return super().read_range(*args, **kwargs)  # type: ignore[arg-type]

    runner = _runner("q", Slow({A: lambda _: 1.0}), meters, clock, history=timedelta(hours=5))
    scored = cycles.Cycles(queries.roster_of(runner), workers=1, meters=meters, clock=clock)
    first = scored.turn()
    assert reading.wait(20)
    turns = [first, scored.turn(), scored.turn()]
    go_on.set()
    scored.stop()

    assert sorted(turn.is_idle for turn in turns)[0] is False
    assert turns[-1].is_idle


def _meters() -> telemetry.Telemetry:
    return telemetry.Telemetry()


def test_a_query_that_fails_is_tried_again_after_growing_waits_up_to_its_step(
    make_stage: MakeStage,
) -> None:
    stage = make_stage("broken", step=timedelta(seconds=5))
    stage.readers["broken"].broken = True

    waits = []
    for _ in range(6):
        with pytest.raises(errors.UpstreamError, match="Prometheus is down"):
            stage.cycles.turn()
        waits.append(stage.cycles.due_in().total_seconds())
        assert stage.cycles.turn().is_idle
        stage.clock.now += waits[-1] + 0.001

    assert waits == pytest.approx([1, 2, 4, 5, 5, 5])
    assert stage.failures("broken", "unreachable") == 6


def test_a_query_that_fails_is_logged_once_and_so_is_its_recovery(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage("sick", "well")
    stage.readers["sick"].broken = True
    with caplog.at_level(logging.INFO, "detector.services.cycles"):
        for _ in range(4):
            stage.cycles.turn()
            stage.clock.now += 60
        assert stage.cycles.is_failing("sick")
        stage.readers["sick"].broken = False
        stage.cycles.turn()

    said = [(record.message, vars(record)["query"]) for record in caplog.records]
    assert said == [("query failed", "sick"), ("query works again", "sick")]
    assert not stage.cycles.is_failing("sick")
    assert stage.failures("sick", "unreachable") == 4
    assert stage.failures("well", "unreachable") == 0


def test_a_bug_in_one_query_sinks_no_other_and_is_traced_once(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage("buggy", "well")
    stage.readers["buggy"].bug = ZeroDivisionError("odd")
    turns = []
    for _ in range(3):
        turns.append(stage.cycles.turn())
        stage.clock.now += 5 * 60

    assert [turn.came_in for turn in turns] == [1, 5, 5]
    assert stage.failures("buggy", "bug") == 3
    traced = [record for record in caplog.records if record.exc_info]
    assert [vars(record)["query"] for record in traced] == ["buggy"]


def test_bugs_in_every_query_are_no_success(make_stage: MakeStage) -> None:
    stage = make_stage("buggy")
    stage.readers["buggy"].bug = ZeroDivisionError("odd")

    assert stage.cycles.turn().is_idle


def test_every_kind_of_failure_is_counted_from_zero(make_stage: MakeStage) -> None:
    stage = make_stage("q")

    assert [stage.failures("q", kind) for kind in telemetry.FAILURE_KINDS] == [0] * 9


class FitLog:
    """ports.FitLog that keeps the rows; `failure` is raised instead."""

    def __init__(self, failure: errors.StoreError | None = None) -> None:
        self.fits: list[ports.Fit] = []
        self.failure = failure

    def record_fit(self, fit: ports.Fit) -> None:
        if self.failure is not None:
            raise self.failure
        self.fits.append(fit)


def _learned_runner(
    clock: Clock, name: str = "q", *, models: Sequence[fitted.Model] = PAIR
) -> scoring.QueryRunner:
    values = np.random.default_rng(5).normal(size=4_000)
    reader = prometheus.FakeReader({A: lambda ms: float(values[ms // 1000 % 4_000])})
    runner = _runner(name, reader, _meters(), clock, history=timedelta(hours=1), models=models)
    runner.run()
    return runner


def test_a_refit_is_adopted_and_leaves_a_row() -> None:
    clock, log = Clock(), FitLog()
    runner = _learned_runner(clock)
    refits = cycles.Refits(
        queries.roster_of(runner), log=log, meters=telemetry.Telemetry(), clock=clock
    )

    turn = refits.turn()

    assert turn == loops.Turn(2, 2)
    assert [each.name for each in runner.scorer.adopted] == ["iforest", "hbos"]
    assert [each.model for each in log.fits] == [model.path for model in PAIR]
    assert [each.parameters for each in log.fits] == [model.parameters for model in PAIR]
    fit = log.fits[0]
    assert (fit.query, fit.seed, fit.duration_s) == ("q", 0, 0.0)
    assert fit.rows > 0
    assert fit.features > 0
    assert fit.window_start < fit.window_end <= datetime.fromtimestamp(NOW_S, UTC)
    assert fit.fitted_at == datetime.fromtimestamp(NOW_S, UTC)
    assert refits.turn() == loops.Turn(0, 0)


def test_fits_of_each_series_are_adopted_and_leave_no_row() -> None:
    clock, log = Clock(), FitLog()
    own = catalogue.model_of("pca", per=fitted.Per.SERIES)
    runner = _learned_runner(clock, models=[own])
    refits = cycles.Refits(
        queries.roster_of(runner), log=log, meters=telemetry.Telemetry(), clock=clock
    )
    assert refits.turn() == loops.Turn(1, 1)
    assert log.fits == []
    assert runner.scorer._own[0]._parts[A,].fits["pca"].rows > fitted.LEAST_ROWS


def test_a_refit_that_cannot_be_recorded_is_in_use_all_the_same() -> None:
    clock = Clock()
    runner = _learned_runner(clock)
    log = FitLog(errors.StoreError("PostgreSQL: gone", retryable=True))

    with pytest.raises(errors.StoreError, match="gone"):
        cycles.Refits(
            queries.roster_of(runner), log=log, meters=telemetry.Telemetry(), clock=clock
        ).turn()

    assert [each.name for each in runner.scorer.adopted] == ["iforest", "hbos"]


def test_a_row_that_could_not_be_written_is_written_by_a_later_turn() -> None:
    clock = Clock()
    runner = _learned_runner(clock)
    log = FitLog(errors.StoreError("PostgreSQL: gone", retryable=True))
    refits = cycles.Refits(
        queries.roster_of(runner), log=log, meters=telemetry.Telemetry(), clock=clock
    )
    with pytest.raises(errors.StoreError):
        refits.turn()
    log.failure = None

    refits.turn()

    assert [fit.query for fit in log.fits] == ["q", "q"]


def test_a_fit_that_fails_does_not_sink_the_next_query() -> None:
    clock, log, meters = Clock(), FitLog(), telemetry.Telemetry()
    broken, good = _learned_runner(clock, "broken"), _learned_runner(clock, "good")
    broken.scorer._pooled._sample.rows[:] = np.nan
    refits = cycles.Refits(queries.roster_of(broken, good), log=log, meters=meters, clock=clock)

    turn = refits.turn()

    assert turn == loops.Turn(2, 2)
    dropped = {"loop": "refits", "reason": "failed"}
    assert meters.registry.get_sample_value("detector_loop_dropped_total", dropped) == 2
    assert broken.scorer.adopted == ()
