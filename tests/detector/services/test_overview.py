"""What the program says of itself, from real runners, loops and a store that can fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from detector import errors, frames, loops, telemetry
from detector.models import budget
from detector.models import scoring as models_scoring
from detector.services import cycles, overview, scoring, status
from tests import stack
from tests.fakes import prometheus, queries

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEP = timedelta(seconds=1)
NOW_S = 1_700_000_000.5
STORE_DOWN = "PostgreSQL does not answer: connection refused"


def _labels(instance: str) -> frames.Labels:
    return (("instance", instance),)


class Stage:
    """One query over a fake Prometheus, under a clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.meters = telemetry.Telemetry()
        self.reader = prometheus.FakeReader({})
        self.store_error: errors.StoreError | None = None
        self.store_answers = threading.Event()
        self.store_answers.set()
        self.runner = scoring.QueryRunner(
            scoring.Spec("q", "x", STEP, timedelta(0), timedelta(hours=1), timedelta(days=1)),
            reader=self.reader,
            writer=prometheus.RecordingWriter(),
            make_scorer=lambda: models_scoring.QueryScorer(
                step=STEP, budget=budget.parse_budget("1 per week per series")
            ),
            meters=self.meters,
            clock=self.clock,
        )
        self.cycles = cycles.Cycles(
            queries.roster_of(self.runner), workers=1, meters=self.meters, clock=self.clock
        )

    def clock(self) -> float:
        return self.now_s

    def loop(self, name: str) -> loops.Loop:
        return loops.Loop(name, loops.Turn, interval=STEP, meters=self.meters, clock=self.clock)

    def check_store(self) -> None:
        assert self.store_answers.wait(20)
        if self.store_error is not None:
            raise self.store_error

    def status(
        self, running: Sequence[loops.Loop] = (), *, is_enabled: bool = True
    ) -> status.Status:
        told = self.overview(running, is_enabled=is_enabled)
        told.refresh()
        return told.status()

    def overview(
        self, running: Sequence[loops.Loop] = (), *, is_enabled: bool = True
    ) -> overview.Overview:
        return overview.Overview(
            scoring_cycles=self.cycles if is_enabled else None,
            running=running,
            check_store=self.check_store,
            meters=self.meters,
            clock=self.clock,
        )

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.now_s += 1.0
            # A turn waits for a second at most, which may be too short on a busy machine.
            stack.wait_until(lambda: not self.cycles.turn().is_idle, 30, "the query's step")

    def metric(self, name: str, **labels: str) -> float | None:
        return self.meters.registry.get_sample_value(name, labels)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.cycles.stop()


def test_it_is_ready_without_reasons_when_every_part_works(stage: Stage) -> None:
    now = stage.status([stage.loop("scoring")])

    assert (now.ready, now.reasons, now.notes) == (True, (), ())
    assert [(loop.name, loop.interval_s, loop.is_stalled) for loop in now.loops] == [
        ("scoring", 1.0, False)
    ]
    assert stage.metric("detector_ready") == 1


def test_only_the_loop_that_stalled_is_named_as_the_reason(stage: Stage) -> None:
    old = stage.loop("scoring")
    stage.now_s += 31
    young = stage.loop("refits")

    now = stage.status([old, young])

    assert not now.ready
    assert len(now.reasons) == 1
    assert "scoring" in now.reasons[0]
    assert [loop.is_stalled for loop in now.loops] == [True, False]
    assert stage.metric("detector_ready") == 0


def test_a_store_that_is_down_is_a_reason_beside_the_others(stage: Stage) -> None:
    stage.store_error = errors.StoreError(STORE_DOWN, retryable=True)
    loop = stage.loop("scoring")
    stage.now_s += 31

    now = stage.status([loop])

    assert not now.ready
    assert len(now.reasons) == 2
    assert now.reasons[1] == STORE_DOWN


def test_it_is_ready_again_when_the_store_is_back(stage: Stage) -> None:
    stage.store_error = errors.StoreError(STORE_DOWN, retryable=True)
    assert not stage.status().ready
    stage.store_error = None

    assert stage.status().ready
    assert stage.metric("detector_ready") == 1


def test_detection_turned_off_is_a_note_and_no_fault(stage: Stage) -> None:
    now = stage.status(is_enabled=False)

    assert now.ready
    assert now.queries == ()
    assert len(now.notes) == 1
    assert "ANOMALY_DETECTION_ENABLED" in now.notes[0]
    assert stage.metric("detector_anomaly_detection_enabled") == 0


def test_a_query_goes_from_waiting_over_warming_up_to_scoring(stage: Stage) -> None:
    seen = [stage.status().queries[0]]
    stage.steps(1)
    seen.append(stage.status().queries[0])
    stage.reader.series = {_labels("a"): float}
    stage.steps(1)
    seen.append(stage.status().queries[0])
    stage.steps(stage.runner.scorer.samples_needed)
    seen.append(stage.status().queries[0])

    needed = stage.runner.scorer.samples_needed
    assert [(each.state, each.series, each.samples_seen) for each in seen] == [
        ("waiting", 0, 0),
        ("waiting", 0, 0),
        ("warming_up", 1, 1),
        ("scoring", 1, needed),
    ]
    assert seen[0].last_success is None
    assert seen[3].last_success == datetime.fromtimestamp(int(stage.now_s), UTC)


def test_a_query_that_fails_says_so_until_it_works_again(stage: Stage) -> None:
    stage.reader.series = {_labels("a"): lambda _: 1.0}
    stage.steps(1)
    stage.reader.broken = True
    with pytest.raises(errors.UpstreamError):
        stage.steps(1)
    broken = stage.status().queries[0]
    stage.reader.broken = False
    stage.steps(3)

    assert (broken.state, broken.series) == ("failing", 1)
    assert stage.status().queries[0].state == "warming_up"


def _with_jump(height: float) -> Callable[[int], float]:
    """Small noise, then `height` above it from minute three on."""
    return lambda at_ms: (
        (at_ms // 1000 * 7919 % 13) / 13 + (height if at_ms >= NOW_S * 1000 + 180_000 else 0.0)
    )


def test_the_three_highest_scores_are_told_highest_first(stage: Stage) -> None:
    heights = {"none": 0.0, "tenfold": 10.0, "hundredfold": 100.0, "twofold": 2.0}
    stage.reader.series = {_labels(name): _with_jump(high) for name, high in heights.items()}
    stage.reader.series[_labels("gone")] = lambda at_ms: (
        1.0 if at_ms < NOW_S * 1000 + 170_000 else float("nan")
    )
    stage.steps(181)

    top = stage.status().queries[0].top

    assert [each.labels["instance"] for each in top][:2] == ["hundredfold", "tenfold"]
    assert len(top) == overview.TOP
    assert [each.score for each in top] == sorted((each.score for each in top), reverse=True)
    assert all(each.score == each.score for each in top)
    assert top[0].score > 1
    assert top[0].value > 100 > top[0].expected


def test_the_metric_of_readiness_follows_though_nobody_asks_for_the_status(stage: Stage) -> None:
    watched = stage.overview()
    watched.refresh()
    before = stage.metric("detector_ready")
    stage.store_error = errors.StoreError("PostgreSQL: gone", retryable=True)

    watched.refresh()

    assert (before, stage.metric("detector_ready")) == (1, 0)


def test_the_metric_of_a_stalled_loop_follows_though_nobody_asks_for_the_status(
    stage: Stage,
) -> None:
    loop = stage.loop("scoring")
    stage.now_s += 31

    assert stage.metric("detector_loop_stalled", loop=loop.name) == 1


def test_it_is_not_ready_before_the_store_was_asked_for_the_first_time(stage: Stage) -> None:
    told = stage.overview()
    before = told.status()
    told.refresh()

    assert (before.ready, before.reasons) == (False, ("PostgreSQL has not been asked yet",))
    assert told.reasons() == ()


def test_a_store_that_hangs_holds_up_no_answer_and_becomes_a_reason(stage: Stage) -> None:
    told = stage.overview()
    told.refresh()
    stage.store_answers.clear()
    asking = threading.Thread(target=told.refresh)
    asking.start()
    at_first = told.reasons()
    stage.now_s += overview.STORE_SILENT_AFTER.total_seconds() + 1
    later, metric = told.status(), stage.metric("detector_ready")
    stage.store_answers.set()
    asking.join()

    assert at_first == ()
    assert (later.ready, later.reasons) == (False, ("PostgreSQL has not answered for 11 s",))
    assert metric == 0
    assert told.reasons() == ()
