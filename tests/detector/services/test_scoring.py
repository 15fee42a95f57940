from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from detector import alerts, errors, frames, judgements, plans, ports, telemetry
from detector.models import budget, calendars
from detector.models import scoring as models_scoring
from detector.services import heeding, scoring
from tests.fakes import prometheus

STEP_MS = 5_000
NOW_MS = 1_700_000_000_000 // STEP_MS * STEP_MS
DELAY_MS = 1_000
A: frames.Labels = (("instance", "a"),)
B: frames.Labels = (("instance", "b"),)


class Clock:
    """Milliseconds that a test moves."""

    def __init__(self) -> None:
        self.ms = NOW_MS + DELAY_MS

    def __call__(self) -> float:
        return self.ms / 1000


def _wave(time_ms: int) -> float:
    return 10.0 + math.sin(time_ms / 7_000) + 0.3 * math.sin(time_ms / 1_900)


def _runner(
    reader: prometheus.FakeReader,
    writer: prometheus.RecordingWriter,
    clock: Clock,
    *,
    history: timedelta = timedelta(0),
    series_ttl: timedelta = timedelta(days=1),
    meters: telemetry.Telemetry | None = None,
    calendar: ports.PlannedTime = calendars.NOTHING_PLANNED,
    make_scorer: Callable[[], models_scoring.QueryScorer] | None = None,
) -> scoring.QueryRunner:
    return scoring.QueryRunner(
        scoring.Spec(
            name="q",
            expr="x",
            step=timedelta(milliseconds=STEP_MS),
            history=history,
            catch_up=timedelta(hours=1),
            series_ttl=series_ttl,
        ),
        reader=reader,
        writer=writer,
        make_scorer=make_scorer
        or (
            lambda: models_scoring.QueryScorer(
                step=timedelta(milliseconds=STEP_MS),
                budget=budget.parse_budget("1 per week per series"),
            )
        ),
        calendar=calendar,
        meters=meters or telemetry.Telemetry(),
        clock=clock,
    )


def _learned(
    history: timedelta,
) -> tuple[scoring.QueryRunner, prometheus.RecordingWriter, Clock]:
    """A runner of one series that has done its first step."""
    writer, clock = prometheus.RecordingWriter(), Clock()
    runner = _runner(prometheus.FakeReader({A: _wave}), writer, clock, history=history)
    runner.run()
    return runner, writer, clock


def test_the_newest_step_is_written_first_and_then_each_new_one_once() -> None:
    reader, writer, clock = (
        prometheus.FakeReader({A: _wave}),
        prometheus.RecordingWriter(),
        Clock(),
    )
    runner = _runner(reader, writer, clock)

    turns = [runner.run()]
    turns.append(runner.run())
    clock.ms += STEP_MS
    turns.append(runner.run())

    assert writer.times_of(A) == [NOW_MS, NOW_MS + STEP_MS]
    assert [turn.came_in for turn in turns] == [1, 0, 1]
    assert reader.ranges == []


def test_a_step_is_due_a_fifth_of_a_step_after_its_time() -> None:
    clock = Clock()
    runner = _runner(prometheus.FakeReader({A: _wave}), prometheus.RecordingWriter(), clock)
    runner.run()

    assert runner.due_in() == pytest.approx(STEP_MS / 1000)
    clock.ms += STEP_MS
    assert runner.due_in() == pytest.approx(0.0)


def test_missed_steps_are_caught_up_in_order_without_a_double() -> None:
    reader, writer, clock = (
        prometheus.FakeReader({A: _wave}),
        prometheus.RecordingWriter(),
        Clock(),
    )
    runner = _runner(reader, writer, clock)
    runner.run()
    reader.broken = True
    for _ in range(5):
        clock.ms += STEP_MS
        with pytest.raises(errors.UpstreamError):
            runner.run()
    reader.broken = False
    runner.run()

    assert writer.times_of(A) == [NOW_MS + STEP_MS * step for step in range(6)]
    assert reader.ranges == [(NOW_MS + STEP_MS, NOW_MS + 5 * STEP_MS)]


def test_steps_too_old_to_catch_up_are_counted_as_skipped() -> None:
    meters, clock = telemetry.Telemetry(), Clock()
    writer = prometheus.RecordingWriter()
    runner = _runner(prometheus.FakeReader({A: _wave}), writer, clock, meters=meters)
    runner.run()
    clock.ms += 2 * 3_600_000
    runner.run()

    skipped = meters.registry.get_sample_value("detector_query_skipped_steps_total", {"query": "q"})
    assert skipped == 3_600_000 / STEP_MS - 1
    assert len(writer.times_of(A)) == 1 + 3_600_000 / STEP_MS + 1


class Heeding(models_scoring.QueryScorer):
    """Keeps the times that it was told are planned."""

    def __init__(self) -> None:
        super().__init__(
            step=timedelta(milliseconds=STEP_MS),
            budget=budget.parse_budget("1 per week per series"),
        )
        self.planned_ms: list[int] = []
        self.steps = 0

    def score(
        self, frame: frames.Frame, *, planned: frames.Bools | None = None, records: bool = False
    ) -> frames.Scores:
        assert planned is not None
        self.planned_ms += [int(time_ms) for time_ms in frame.times_ms[planned]]
        self.steps += len(planned)
        return super().score(frame, planned=planned, records=records)


def test_a_clock_that_goes_back_for_long_begins_with_history_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner, writer, clock = _learned(timedelta(minutes=10))
    clock.ms += 3_600_000
    runner.run()
    written = len(writer.times_of(A))
    clock.ms -= 1_800_000
    for _ in range(3):
        runner.run()
        clock.ms += STEP_MS
    assert [record.message for record in caplog.records].count(
        "the clock has gone back, history is learned again"
    ) == 1
    newest = NOW_MS + 1_800_000
    assert writer.times_of(A)[written:] == [newest + STEP_MS * step for step in range(3)]
    assert runner.scorer.samples_seen.tolist() == [121 + 3]  # both ends of ten minutes


def test_a_clock_that_goes_back_a_little_is_waited_for() -> None:
    runner, writer, clock = _learned(timedelta(minutes=10))
    seen = runner.scorer.samples_seen.tolist()
    clock.ms -= 30_000
    runner.run()
    assert runner.scorer.samples_seen.tolist() == seen
    clock.ms += 30_000 + STEP_MS
    runner.run()
    assert writer.times_of(A) == [NOW_MS, NOW_MS + STEP_MS]


def test_the_scorer_is_told_of_planned_time_in_history_and_live() -> None:
    planned_ms = [NOW_MS + step * STEP_MS for step in (-7, -6, 2)]
    spans = [
        (datetime.fromtimestamp(time_ms / 1000, UTC), timedelta(milliseconds=STEP_MS))
        for time_ms in planned_ms
    ]
    calendar = calendars.Calendar(
        tuple(plans.Once(start, start + length) for start, length in spans)
    )
    scorer, clock = Heeding(), Clock()
    runner = _runner(
        prometheus.FakeReader({A: _wave}),
        prometheus.RecordingWriter(),
        clock,
        history=timedelta(minutes=1),
        calendar=calendar,
        make_scorer=lambda: scorer,
    )
    for _ in range(4):
        runner.run()
        clock.ms += STEP_MS

    assert scorer.planned_ms == planned_ms
    assert scorer.steps == 60_000 / STEP_MS + 5


def test_history_is_learned_without_being_written() -> None:
    reader, writer = prometheus.FakeReader({A: _wave}), prometheus.RecordingWriter()
    runner = _runner(reader, writer, Clock(), history=timedelta(minutes=10))

    runner.run()

    assert writer.times_of(A) == [NOW_MS]
    assert runner.scorer.samples_seen.tolist() == [10 * 60_000 / STEP_MS + 2]


def test_a_restart_takes_up_after_the_last_score_written() -> None:
    last_ms = NOW_MS - 4 * STEP_MS
    reader = prometheus.FakeReader({A: _wave}, written_ms=last_ms)
    writer = prometheus.RecordingWriter()
    runner = _runner(reader, writer, Clock(), history=timedelta(minutes=10))

    runner.run()

    assert writer.times_of(A) == [last_ms + STEP_MS * step for step in range(1, 5)]


def test_a_history_that_could_not_be_read_is_learned_from_the_start_again() -> None:
    reader, writer = prometheus.FakeReader({A: _wave}), prometheus.RecordingWriter()
    runner = _runner(reader, writer, Clock(), history=timedelta(minutes=10))
    reader.broken = True
    with pytest.raises(errors.UpstreamError):
        runner.run()
    reader.broken = False

    runner.run()

    assert runner.scorer.samples_seen.tolist() == [10 * 60_000 / STEP_MS + 2]


def test_a_series_that_ends_gets_its_stale_marker_in_its_step_and_only_once() -> None:
    reader = prometheus.FakeReader({A: _wave, B: lambda t: _wave(t) if t <= NOW_MS else math.nan})
    writer, clock = prometheus.RecordingWriter(), Clock()
    runner = _runner(reader, writer, clock)
    for _ in range(4):
        runner.run()
        clock.ms += STEP_MS

    assert writer.stale == [(NOW_MS + STEP_MS, B)]
    assert writer.times_of(B) == [NOW_MS]


def test_a_failed_read_ends_no_series() -> None:
    reader, writer, clock = (
        prometheus.FakeReader({A: _wave}),
        prometheus.RecordingWriter(),
        Clock(),
    )
    runner = _runner(reader, writer, clock)
    runner.run()
    reader.broken = True
    clock.ms += STEP_MS
    with pytest.raises(errors.UpstreamError):
        runner.run()

    assert writer.stale == []


def test_a_series_that_came_and_went_while_catching_up_is_marked_between() -> None:
    gap = range(NOW_MS + 2 * STEP_MS, NOW_MS + 4 * STEP_MS)
    reader = prometheus.FakeReader({A: lambda t: math.nan if t in gap else _wave(t), B: _wave})
    writer, clock = prometheus.RecordingWriter(), Clock()
    runner = _runner(reader, writer, clock)
    runner.run()
    clock.ms += 5 * STEP_MS
    runner.run()

    assert writer.stale == [(NOW_MS + 2 * STEP_MS, A)]
    assert writer.times_of(A) == [NOW_MS + STEP_MS * step for step in (0, 1, 4, 5)]


def test_an_open_anomaly_is_written_each_step_and_ended_by_a_stale_marker() -> None:
    burst = range(NOW_MS + 60 * STEP_MS, NOW_MS + 66 * STEP_MS)
    reader = prometheus.FakeReader({A: lambda t: _wave(t) + (200.0 if t in burst else 0.0)})
    writer, clock = prometheus.RecordingWriter(), Clock()
    runner = _runner(reader, writer, clock)
    for _ in range(120):
        runner.run()
        clock.ms += STEP_MS

    open_ = [time_ms for time_ms, _, kind, stale in writer.active if not stale]
    ended = [time_ms for time_ms, _, _, stale in writer.active if stale]
    assert open_[0] == burst.start
    assert open_ == list(range(open_[0], open_[-1] + 1, STEP_MS))
    assert ended == [open_[-1] + STEP_MS]
    assert {kind for _, _, kind, _ in writer.active} == {frames.Kind.SPIKE}


def test_an_ended_series_is_forgotten_after_its_ttl_and_its_row_used_again() -> None:
    reader = prometheus.FakeReader({A: lambda t: _wave(t) if t <= NOW_MS else math.nan, B: _wave})
    writer, clock = prometheus.RecordingWriter(), Clock()
    runner = _runner(reader, writer, clock, series_ttl=timedelta(minutes=1))
    for _ in range(20):
        runner.run()
        clock.ms += STEP_MS

    assert runner.standing is not None
    assert runner.standing.labels == (B,)


def test_no_series_at_all_is_a_quiet_turn() -> None:
    runner = _runner(prometheus.FakeReader({}), prometheus.RecordingWriter(), Clock())

    turn = runner.run()

    assert (turn.came_in, turn.went_out) == (0, 0)


def test_a_series_that_ended_while_we_were_away_gets_its_stale_marker_after_the_restart() -> None:
    last_ms = NOW_MS - 4 * STEP_MS
    reader = prometheus.FakeReader(
        {A: _wave, B: lambda t: _wave(t) if t <= last_ms else math.nan}, written_ms=last_ms
    )
    writer = prometheus.RecordingWriter()

    _runner(reader, writer, Clock(), history=timedelta(minutes=10)).run()

    assert writer.stale == [(last_ms + STEP_MS, B)]
    assert writer.times_of(B) == []


def test_a_bug_in_the_midst_of_a_step_begins_with_history_again() -> None:
    reader, writer = prometheus.FakeReader({A: _wave}), prometheus.RecordingWriter()
    clock = Clock()
    runner = _runner(reader, writer, clock, history=timedelta(minutes=10))
    runner.run()
    writer.broken = True
    clock.ms += STEP_MS
    with pytest.raises(ZeroDivisionError):
        runner.run()
    writer.broken, reader.written_ms = False, NOW_MS
    runner.run()

    assert writer.times_of(A) == [NOW_MS, NOW_MS + STEP_MS]
    assert runner.scorer.samples_seen.tolist() == [10 * 60_000 / STEP_MS + 2]


def test_history_is_read_in_bounded_blocks_and_said_once_when_learned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader, clock = prometheus.FakeReader({A: _wave}), Clock()
    runner = _runner(reader, prometheus.RecordingWriter(), clock, history=timedelta(days=1))
    with caplog.at_level("INFO"):
        runner.run()
        clock.ms += STEP_MS
        runner.run()

    steps = [(end - start) // STEP_MS + 1 for start, end in reader.ranges]
    assert sum(steps) == 86_400_000 // STEP_MS + 1
    assert max(steps) == scoring.READ_STEPS
    assert [record.message for record in caplog.records] == ["history learned"]
    assert runner.blocks_learned == len(steps)


def test_the_scorer_is_told_which_series_its_rows_are() -> None:
    told: list[list[frames.Labels | None]] = []

    class Told(models_scoring.QueryScorer):
        def follow_labels(self, labels: Sequence[frames.Labels | None]) -> None:
            told.append(list(labels))
            super().follow_labels(labels)

    reader, clock = prometheus.FakeReader({A: _wave}), Clock()
    step = timedelta(milliseconds=STEP_MS)
    runner = _runner(
        reader,
        prometheus.RecordingWriter(),
        clock,
        make_scorer=lambda: Told(step=step, budget=budget.parse_budget("1 per day per series")),
    )
    runner.run()
    reader.series[B] = _wave
    for _ in range(2):
        clock.ms += STEP_MS
        runner.run()
    assert told == [[A], [A, B]]


def _judged(first: int, last: int, verdict: alerts.Feedback) -> heeding.Judged:
    """Of series A, from step to step of NOW."""
    began, ended = (
        datetime.fromtimestamp((NOW_MS + step * STEP_MS) / 1000, UTC) for step in (first, last)
    )
    return {A: (judgements.Judgement(A, began, ended, 2.0, verdict),)}


def test_history_is_learned_again_without_what_was_confirmed_at_most_once_an_hour() -> None:
    scorers: list[models_scoring.QueryScorer] = []

    def make() -> models_scoring.QueryScorer:
        weekly = budget.parse_budget("1 per week per series")
        step = timedelta(milliseconds=STEP_MS)
        scorers.append(models_scoring.QueryScorer(step=step, budget=weekly))
        return scorers[-1]

    writer, clock = prometheus.RecordingWriter(), Clock()
    runner = _runner(
        prometheus.FakeReader({A: _wave, B: _wave}),
        writer,
        clock,
        history=timedelta(hours=3),
        make_scorer=make,
    )
    runner.run()
    made = len(scorers)
    runner.heed(_judged(-20, -11, alerts.Feedback.TRUE))
    clock.ms += STEP_MS
    runner.run()
    assert len(scorers) == made
    clock.ms += 3_600_000
    runner.run()
    seen = runner.scorer.samples_seen.tolist()
    assert len(scorers) == made + 1
    assert seen[1] - seen[0] == 10
    clock.ms += STEP_MS
    runner.run()
    assert len(scorers) == made + 1
    clock.ms += 3_600_000
    runner.run()
    assert len(scorers) == made + 1
    assert len(set(writer.times_of(A))) == len(writer.times_of(A))


def test_false_alarm_raises_its_series_at_once_and_is_counted() -> None:
    meters, clock = telemetry.Telemetry(), Clock()
    runner = _runner(
        prometheus.FakeReader({A: _wave, B: _wave}),
        prometheus.RecordingWriter(),
        clock,
        history=timedelta(minutes=10),
        meters=meters,
    )
    runner.run()
    runner.heed(_judged(-20, -11, alerts.Feedback.FALSE_ALARM))
    clock.ms += STEP_MS
    runner.run()
    count = meters.registry.get_sample_value("detector_query_raised_series", {"query": "q"})
    assert count == 1
    runner.heed({})
    clock.ms += STEP_MS
    runner.run()
    count = meters.registry.get_sample_value("detector_query_raised_series", {"query": "q"})
    assert count == 0


def test_raise_is_for_series_that_come_later_too_and_is_forgotten() -> None:
    meters, clock = telemetry.Telemetry(), Clock()
    reader = prometheus.FakeReader({B: _wave})
    runner = _runner(
        reader, prometheus.RecordingWriter(), clock, history=timedelta(minutes=10), meters=meters
    )
    counts: list[float | None] = []

    def run(after_ms: int) -> None:
        clock.ms += after_ms
        runner.run()
        name, labels = "detector_query_raised_series", {"query": "q"}
        counts.append(meters.registry.get_sample_value(name, labels))

    run(0)
    runner.heed(_judged(-20, -11, alerts.Feedback.FALSE_ALARM))
    run(STEP_MS)
    reader.series[A] = _wave
    run(STEP_MS)
    run(round(runner.spec.false_alarm_memory.total_seconds() * 1000))
    assert counts == [0, 0, 1, 0]


def test_raise_holds_when_history_is_learned_again() -> None:
    raised: list[tuple[int, dict[int, float]]] = []
    scorers: list[models_scoring.QueryScorer] = []

    class Told(models_scoring.QueryScorer):
        def raise_thresholds(self, raises: Mapping[int, float]) -> None:
            raised.append((scorers.index(self), dict(raises)))
            super().raise_thresholds(raises)

    def make() -> models_scoring.QueryScorer:
        step = timedelta(milliseconds=STEP_MS)
        scorers.append(Told(step=step, budget=budget.parse_budget("1 per day per series")))
        return scorers[-1]

    reader, clock = prometheus.FakeReader({A: _wave, B: _wave}), Clock()
    runner = _runner(
        reader,
        prometheus.RecordingWriter(),
        clock,
        history=timedelta(hours=3),
        make_scorer=make,
    )
    runner.run()
    (told,) = _judged(-20, -11, alerts.Feedback.FALSE_ALARM).values()
    (confirmed,) = _judged(-20, -11, alerts.Feedback.TRUE).values()
    runner.heed({A: told, B: confirmed})
    clock.ms += 3_600_000 - STEP_MS
    runner.run()
    before = len(scorers)
    clock.ms += STEP_MS
    runner.run()
    assert len(scorers) == before + 1
    assert raised[-1] == (before, {0: 2.0})
