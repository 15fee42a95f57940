"""The scoring path against a real Prometheus that answers badly, dies, or is met anew."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from benchmarks import load
from detector import errors, telemetry
from detector.models import budget
from detector.models import scoring as models_scoring
from detector.prometheus import reader, writer
from detector.services import scoring
from tests import conftest, faults, stack

STEP_MS = 1_000
SERIES = 3
QUERY = "q"
WINDOW_S = 600


class Stage:
    """Input series in a real Prometheus, and runners under a clock that a test moves."""

    def __init__(self, server: stack.Prometheus) -> None:
        self.server = server
        self.clock_ms = int(time.time()) * 1000 - 300_000
        self.inputs = load.Load(server.url, SERIES)
        self.writers: list[writer.Writer] = []

    def clock(self) -> float:
        return self.clock_ms / 1000

    def runner(self, read_url: str | None = None) -> scoring.QueryRunner:
        """A runner that reads from there and writes to the real server."""
        meters = telemetry.Telemetry()
        self.writers.append(
            writer.Writer(
                self.server.url,
                timeout=timedelta(seconds=5),
                auth=None,
                metrics=telemetry.WriterMeters(meters),
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
                timeout=timedelta(seconds=1),
                auth=None,
                lookback=timedelta(minutes=5),
                clock=self.clock,
            ),
            writer=self.writers[-1],
            make_scorer=lambda: models_scoring.QueryScorer(
                step=step, budget=budget.parse_budget("1 per week per series"), ml=False
            ),
            meters=meters,
            clock=self.clock,
        )

    def tick(self, steps: int = 1) -> None:
        """So many more points in every input series."""
        for _ in range(steps):
            self.clock_ms += STEP_MS
            self.inputs.append([self.clock_ms])

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


@pytest.fixture
def stage(prometheus: conftest.MakePrometheus) -> Iterator[Stage]:
    made = Stage(prometheus())
    yield made
    for each in made.writers:
        each.stop(timedelta(seconds=2))


def _count(stage: Stage, first_ms: int, tally: conftest.Tally, what: str) -> None:
    expected = set(range(first_ms, stage.clock_ms + 1, STEP_MS))
    written = stage.written()
    stamps = list(itertools.chain.from_iterable(written.values()))
    assert len(written) == SERIES
    tally(
        what,
        sent=len(expected) * SERIES,
        received=len(stamps),
        doubled=sum(len(set(at) - expected) for at in written.values()),
        lost=sum(len(expected - set(at)) for at in written.values()),
    )


OK = {"Content-Type": "application/json"}
BAD: dict[str, tuple[faults.Planned, str]] = {
    "half a body": (faults.Planned(200, OK, b'{"status":"success","data":{"resultTyp'), "decode"),
    "no JSON": (faults.Planned(200, OK, b"<html>"), "decode"),
    "an error": (
        faults.Planned(422, OK, b'{"status":"error","errorType":"execution","error":"e"}'),
        "query",
    ),
    "503": (faults.Planned(503, {}, b"down"), "status"),
}


@pytest.mark.parametrize("case", BAD)
def test_after_a_bad_answer_the_next_cycle_makes_up_for_it(
    stage: Stage, tally: conftest.Tally, case: str
) -> None:
    planned, kind = BAD[case]
    is_bad = False

    def answer(received: faults.Received) -> faults.Planned:
        if is_bad:
            return planned
        real = requests.get(f"{stage.server.url}{received.path}", timeout=10)
        return faults.Planned(real.status_code, OK, real.content)

    with faults.Receiver(answer) as between:
        runner = stage.runner(between.url)
        stage.tick()
        first_ms = stage.clock_ms
        stage.run(runner)
        is_bad = True
        stage.tick()
        with pytest.raises(errors.UpstreamError) as raised:
            stage.run(runner)
        still = stage.server.query("anomaly_score", time=str(stage.clock_ms / 1000))
        is_bad = False
        stage.tick()
        stage.run(runner)

    assert raised.value.kind == kind
    assert len(still) == SERIES
    _count(stage, first_ms, tally, f"a cycle met {case}")


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
