"""The scoring path against a real Prometheus that answers badly, dies, or is met anew."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import requests

from benchmarks import load
from detector import errors, loops, telemetry
from detector.models import budget
from detector.models import scoring as models_scoring
from detector.prometheus import reader, writer
from detector.services import cycles, scoring
from tests import conftest, faults, remote, stack
from tests.fakes import queries

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEP_MS = 1_000
SERIES = 3
QUERY = "q"
MANY_SERIES = 10_000
TIMEOUT = timedelta(seconds=10)
SHORT_TIMEOUT = timedelta(seconds=2)
WINDOW_S = 600


class Stage:
    """Input series in a real Prometheus, and runners under a clock that a test moves."""

    def __init__(self, server: stack.Prometheus, series: int = SERIES) -> None:
        self.server = server
        self.clock_ms = int(time.time()) * 1000 - 300_000
        self.series = series
        self.inputs = load.Load(server.url, series)
        self.meters = telemetry.Telemetry()
        self.writers: list[writer.Writer] = []
        self.running: list[cycles.Cycles] = []

    def clock(self) -> float:
        return self.clock_ms / 1000

    def runner(
        self, read_url: str | None = None, timeout: timedelta = TIMEOUT
    ) -> scoring.QueryRunner:
        """A runner that reads from there and writes to the real server."""
        self.writers.append(
            writer.Writer(
                self.server.url,
                timeout=timedelta(seconds=5),
                auth=None,
                metrics=telemetry.WriterMeters(self.meters),
                clock=self.clock,
            )
        )
        self.writers[-1].start()
        step = timedelta(milliseconds=STEP_MS)
        return scoring.QueryRunner(
            scoring.Spec(
                QUERY, load.METRIC, step, timedelta(0), timedelta(hours=1), timedelta(days=1)
            ),
            reader=reader.Reader(
                read_url or self.server.url,
                timeout=timeout,
                auth=None,
                lookback=timedelta(minutes=5),
                clock=self.clock,
            ),
            writer=self.writers[-1],
            make_scorer=lambda: models_scoring.QueryScorer(
                step=step, budget=budget.parse_budget("1 per week per series")
            ),
            meters=self.meters,
            clock=self.clock,
        )

    def scored(self, read_url: str | None = None, timeout: timedelta = TIMEOUT) -> cycles.Cycles:
        """The same, run as the scoring loop runs it."""
        runner = self.runner(read_url, timeout)
        self.running.append(
            cycles.Cycles(
                queries.roster_of(runner), workers=1, meters=self.meters, clock=self.clock
            )
        )
        return self.running[-1]

    def cycle(self, scored: cycles.Cycles) -> loops.Turn:
        """What one cycle did, as the loop counts it. Raises UpstreamError when it failed."""
        self.clock_ms += STEP_MS // 2
        try:
            turn = stack.wait_until(lambda: _unless_idle(scored.turn()), 30, "the cycle to end")
            assert self.writers[-1].flush(timedelta(seconds=30))
        finally:
            self.clock_ms -= STEP_MS // 2
        assert turn is not None
        return turn

    def failures(self) -> dict[str, float]:
        """How many cycles have failed, by kind of failure."""
        counted = {
            kind: self.meters.registry.get_sample_value(
                "detector_query_failures_total", {"query": QUERY, "kind": kind}
            )
            for kind in telemetry.FAILURE_KINDS
        }
        return {kind: count for kind, count in counted.items() if count}

    def tick(self, steps: int = 1) -> None:
        """So many more points in every input series."""
        for _ in range(steps):
            self.clock_ms += STEP_MS
            self.inputs.append([self.clock_ms])

    def tick_to(self, *values: float) -> None:
        """One more point in every input series: these values."""
        self.clock_ms += STEP_MS
        labels = load.series_labels(len(values))
        points = [(each, value, self.clock_ms) for each, value in zip(labels, values, strict=True)]
        remote.push(self.server.url, points).raise_for_status()

    def run(self, runner: scoring.QueryRunner) -> None:
        self.clock_ms += STEP_MS // 2
        try:
            runner.run()
            assert self.writers[-1].flush(timedelta(seconds=10))
        finally:
            self.clock_ms -= STEP_MS // 2

    def written(self) -> dict[str, dict[int, str]]:
        """The raw samples of every score, as {series: {ms: value}}."""
        found = self.server.query(f"anomaly_score[{WINDOW_S}s]", time=str(self.clock_ms / 1000))
        return {
            str(sorted(each["metric"].items())): {
                round(float(at) * 1000): value for at, value in each["values"]
            }
            for each in found
        }


def _unless_idle(turn: loops.Turn) -> loops.Turn | None:
    return None if turn.is_idle else turn


@pytest.fixture
def make_stage(prometheus: conftest.MakePrometheus) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(series: int = SERIES) -> Stage:
        made.append(Stage(prometheus(), series))
        return made[-1]

    yield make
    for stage in made:
        for scored in stage.running:
            scored.stop()
        for each in stage.writers:
            each.stop(timedelta(seconds=2))


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage()


def _count(stage: Stage, first_ms: int, tally: conftest.Tally, what: str) -> None:
    expected = set(range(first_ms, stage.clock_ms + 1, STEP_MS))
    written = stage.written()
    stamps = list(itertools.chain.from_iterable(written.values()))
    assert len(written) == stage.series
    tally(
        what,
        sent=len(expected) * stage.series,
        received=len(stamps),
        doubled=sum(len(set(at) - expected) for at in written.values()),
        lost=sum(len(expected - set(at)) for at in written.values()),
    )


OK = {"Content-Type": "application/json"}
TOO_LATE = None
"""The real answer, when the reader has given up waiting."""
BAD: dict[str, tuple[faults.Planned | None, str]] = {
    "half a body": (faults.Planned(200, OK, b'{"status":"success","data":{"resultTyp'), "decode"),
    "no JSON": (faults.Planned(200, OK, b"<html>"), "decode"),
    "an error": (
        faults.Planned(422, OK, b'{"status":"error","errorType":"execution","error":"e"}'),
        "query",
    ),
    "503": (faults.Planned(503, {}, b"down"), "status"),
    "a reset in mid-answer": (
        faults.Planned(200, OK, b'{"status":"success","data":{"resultType":"vector",', resets=True),
        "unreachable",
    ),
    "an answer too late": (TOO_LATE, "timeout"),
}


@pytest.mark.parametrize("case", BAD)
def test_after_a_bad_answer_the_next_cycle_makes_up_for_it(
    stage: Stage, tally: conftest.Tally, case: str
) -> None:
    planned, kind = BAD[case]
    is_bad, given_up = False, threading.Event()

    def answer(received: faults.Received) -> faults.Planned:
        if is_bad and planned is not TOO_LATE:
            return planned
        real = requests.get(f"{stage.server.url}{received.path}", timeout=10)
        if is_bad:
            given_up.wait(20)
        return faults.Planned(real.status_code, OK, real.content)

    with faults.Receiver(answer) as between:
        scored = stage.scored(between.url, SHORT_TIMEOUT if planned is TOO_LATE else TIMEOUT)
        stage.tick()
        first_ms = stage.clock_ms
        stage.cycle(scored)
        is_bad = True
        stage.tick()
        with pytest.raises(errors.UpstreamError) as raised:
            stage.cycle(scored)
        still = stage.server.query("anomaly_score", time=str(stage.clock_ms / 1000))
        is_bad = False
        given_up.set()
        stage.tick()
        turn = stage.cycle(scored)

    assert raised.value.kind == kind
    assert stage.failures() == {kind: 1}
    assert turn.came_in == 2 * SERIES
    assert len(still) == SERIES
    _count(stage, first_ms, tally, f"a cycle met {case}")


def test_a_value_that_is_nan_is_no_sample_and_costs_no_other_series_a_score(
    stage: Stage, tally: conftest.Tally
) -> None:
    scored = stage.scored()
    came_in = []
    first_ms = stage.clock_ms + STEP_MS
    for value in (1.0, float("nan"), 2.0):
        stage.tick_to(value, 3.0, 4.0)
        came_in.append(stage.cycle(scored).came_in)
    without, *others = sorted(stage.written().values(), key=len)

    all_ms = [first_ms, first_ms + STEP_MS, first_ms + 2 * STEP_MS]
    assert came_in == [SERIES, SERIES - 1, SERIES]
    assert stage.failures() == {}
    assert sorted(without) == [all_ms[0], all_ms[2]]
    assert [sorted(each) for each in others] == [all_ms, all_ms]
    received = len([*without, *others[0], *others[1]])
    tally("a series met NaN", sent=8, received=received, doubled=0, lost=8 - received)


@pytest.mark.parametrize(
    "value", [float("nan"), remote.STALE], ids=["every value is NaN", "no series is left"]
)
def test_a_cycle_without_samples_is_a_success_and_the_next_one_scores(
    stage: Stage, value: float
) -> None:
    scored = stage.scored()
    turns = []
    for values in ((1.0, 2.0, 3.0), (value,) * SERIES, (1.0, 2.0, 3.0)):
        stage.tick_to(*values)
        turns.append(stage.cycle(scored))

    assert [(turn.came_in, turn.is_idle) for turn in turns] == [
        (SERIES, False),
        (0, False),
        (SERIES, False),
    ]
    assert stage.failures() == {}
    all_but_the_second = [stage.clock_ms - 2 * STEP_MS, stage.clock_ms]
    assert [sorted(each) for each in stage.written().values()] == [all_but_the_second] * SERIES


def test_a_cycle_before_there_is_any_series_is_a_success_and_what_comes_is_scored(
    stage: Stage, tally: conftest.Tally
) -> None:
    scored = stage.scored()
    stage.clock_ms += STEP_MS
    empty = stage.cycle(scored)
    stage.tick()
    first_ms = stage.clock_ms
    turns = [stage.cycle(scored)]
    stage.tick()
    turns.append(stage.cycle(scored))

    assert (empty.came_in, empty.is_idle) == (0, False)
    assert [turn.came_in for turn in turns] == [SERIES, SERIES]
    assert stage.failures() == {}
    _count(stage, first_ms, tally, "a cycle met no series")


def test_ten_thousand_series_are_scored_whole_each_cycle(
    make_stage: Callable[..., Stage], tally: conftest.Tally
) -> None:
    stage = make_stage(MANY_SERIES)
    scored = stage.scored()
    stage.tick()
    first_ms = stage.clock_ms
    came_in = [stage.cycle(scored).came_in]
    for steps in (1, 2):
        stage.tick(steps)
        came_in.append(stage.cycle(scored).came_in)

    assert came_in == [MANY_SERIES, MANY_SERIES, 2 * MANY_SERIES]
    assert stage.failures() == {}
    _count(stage, first_ms, tally, "cycles of 10,000 series")


def test_steps_missed_while_prometheus_was_dead_are_made_up_for(
    stage: Stage,
    tally: conftest.Tally,
) -> None:
    runner = stage.runner()
    stage.tick()
    first_ms = stage.clock_ms
    stage.run(runner)
    stage.server.kill9()
    stage.clock_ms += STEP_MS
    with pytest.raises(errors.UpstreamError):
        stage.run(runner)
    stage.clock_ms -= STEP_MS
    stage.server.restart()
    stage.tick(5)
    stage.run(runner)

    _count(stage, first_ms, tally, "Prometheus killed for five steps")


def test_a_new_runner_resumes_after_the_last_score_and_changes_none(
    stage: Stage, tally: conftest.Tally
) -> None:
    stage.tick()
    first_ms = stage.clock_ms
    before_death = stage.runner()
    stage.run(before_death)
    stage.tick(5)
    stage.run(before_death)
    before = stage.written()
    stage.tick(5)
    stage.run(stage.runner())
    after = stage.written()

    for series, samples in before.items():
        assert samples.items() <= after[series].items()
    _count(stage, first_ms, tally, "the detector killed for five steps")
