"""One query from Prometheus through its scorer back to Prometheus, step after step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from detector import errors, frames, loops, ports, telemetry
from detector.models import calendars
from detector.models import scoring as models_scoring
from detector.services import heeding, watching

DELAY_RATIO = 0.2
"""A step is read this share of a step after its time, so that its scrapes are in, but at most"""
DELAY_AT_MOST = timedelta(seconds=10)

READ_SAMPLES = 6_000_000
"""A long range is read so many samples at once, 48 MB: each read decodes the chunks at its edges
in full, which the next decodes again. Of at most"""
READ_STEPS = 10_000
"""at once, since a read may bring more series than are live now."""
BLOCK_SAMPLES = 2_000_000
"""What was read is scored in blocks of so many samples, which have 48 MB of scores."""

CLOCK_BACK = timedelta(minutes=1)
"""How far, or a step, a clock may go back before that is taken for more than a correction."""

RELEARN_EVERY = timedelta(hours=1)
"""History is read and learnt anew at most so often for what people said of it."""
RAISED_EVERY = timedelta(hours=1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spec:
    """What is asked of one query.

    history    how far back is learned from before the first score
    catch_up   steps missed longer ago than this are not scored any more
    series_ttl a series that has had no sample for so long is forgotten
    false_alarm_memory
               how long a false alarm raises the threshold of its series
    """

    name: str
    expr: str
    step: timedelta
    history: timedelta
    catch_up: timedelta
    series_ttl: timedelta
    false_alarm_memory: timedelta = timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a query stands after its newest step; arrays have one entry a live series.

    labels of the live series, values and scores at time_ms (NaN: no sample), samples seen.
    """

    time_ms: int
    labels: tuple[frames.Labels, ...]
    values: frames.Floats
    scores: frames.Floats
    expected: frames.Floats
    samples_seen: frames.Ints


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _s(span: timedelta) -> float:
    return span.total_seconds()


class QueryRunner:
    """Reads the steps that are due, scores them in order and writes the scores.

    The first run learns from history. After downtime the missed steps come first, in order, each
    once. A failed read changes nothing, so the next run takes up where this one began.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        reader: ports.SeriesReader,
        writer: ports.ScoreWriter,
        make_scorer: Callable[[], models_scoring.QueryScorer],
        calendar: ports.PlannedTime = calendars.NOTHING_PLANNED,
        watch: watching.Watch = watching.NOBODY,
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self.spec = spec
        self.standing: Standing | None = None
        self.lock = threading.Lock()
        self.blocks_learned = 0
        """How many blocks of history have been read and learned: grows while the first run does."""
        self._reader, self._writer = reader, writer
        self._make_scorer, self._calendar, self._watch = make_scorer, calendar, watch
        self._meters, self._clock = meters, clock
        self._step_ms = _ms(spec.step)
        self._delay_ms = _ms(min(spec.step * DELAY_RATIO, DELAY_AT_MOST))
        self._done_ms: int | None = None
        self._learned_s = self._raised_s = 0.0
        self._before: QueryRunner | None = None
        self._heeded = self._learned_with = heeding.Heeded(
            heeding.NOTHING_JUDGED, memory=spec.false_alarm_memory
        )
        self._start_afresh()
        self._live: tuple[frames.Ints, tuple[frames.Labels, ...]] = (np.zeros(0, np.int64), ())
        meters.query_samples_needed.labels(spec.name).set(self.scorer.samples_needed)
        meters.query_last_success.labels(spec.name).set(0)
        for kind in telemetry.FAILURE_KINDS:
            meters.query_failures.labels(spec.name, kind)
        meters.loop_dropped.labels("scoring", "too_old")

    def due_in(self) -> float:
        """Seconds until the next step can be read; 0 or less when it can."""
        if self._done_ms is None:
            return 0.0
        return (self._done_ms + self._step_ms + self._delay_ms) / 1000 - self._clock()

    def run(self) -> loops.Turn:
        """Score every step that is due.

        Raises UpstreamError when Prometheus cannot be read; no step is lost by it.
        """
        with self.lock:
            try:
                return self._run()
            except errors.UpstreamError:
                raise
            except Exception:
                self._done_ms = None  # half a step may be learned: begin with history again
                raise

    def fresh_scorer(self) -> models_scoring.QueryScorer:
        """A scorer as this query's, with its fits, that has seen nothing."""
        fresh = self._make_scorer()
        with self.lock:
            fits = self.scorer.adopted
        for fit in fits:
            fresh.adopt(fit)
        return fresh

    def succeed(self, before: QueryRunner) -> None:
        """Take the place of another runner of this query when history is learnt. Before run()."""
        self._before = before

    def follow_calendar(self, calendar: ports.PlannedTime) -> None:
        """Heed this one from the next step on."""
        self._calendar = calendar

    def heed(self, judged: heeding.Judged) -> None:
        """What people said of this query's anomalies, all of it, from the next step on. Where that
        changes what history teaches, history is learnt again, at most every RELEARN_EVERY."""
        self._heeded = heeding.Heeded(judged, memory=self.spec.false_alarm_memory)

    def end(self) -> None:
        """End all that was written and told of this query, which is not run again; waits for a run
        under way."""
        with self.lock:
            self._end_series(frozenset())
            self._watch.end()
            self._writer.forget(self.spec.name)
            self._meters.forget_query(self.spec.name)

    def _hand_over(self, to: frozenset[frames.Labels]) -> watching.Open:
        """End the series that are not among those of who goes on; gives what is open."""
        with self.lock:
            self._end_series(to)
            return self._watch.hand_over()

    def _end_series(self, but: frozenset[frames.Labels]) -> None:
        self._take_place(but)
        if self._done_ms is None:
            return
        at_ms = self._done_ms + 1  # behind the last score, and not in the future
        ended = [
            row
            for row in np.flatnonzero(self._is_live).tolist()
            if self._table.labels[row] not in but
        ]
        if ended:
            self._writer.write_stale(self.spec.name, self._table, ended, time_ms=at_ms)
        self._write_active(np.flatnonzero(self._kind), self._kind, at_ms, stale=True)

    def _take_place(self, to: frozenset[frames.Labels]) -> None:
        """Of the runner before, if it has not been done: these series are ours."""
        before, self._before = self._before, None
        if before is not None:
            self._watch.take_over(before._hand_over(to))
            self._writer.forget(self.spec.name)

    def _run(self) -> loops.Turn:
        now_ms = int(self._clock() * 1000)
        newest_ms = (now_ms - self._delay_ms) // self._step_ms * self._step_ms
        self._heed_clock(newest_ms)
        self._heed_people()
        if self._done_ms is None:
            self._done_ms = self._learn_history(newest_ms)
        if self._before is not None:
            self._take_place(frozenset(labels for labels in self._table.labels if labels))
        turn = self._score_until(newest_ms)
        self._forget_ended(newest_ms)
        self._report(newest_ms)
        return turn

    def _heed_clock(self, newest_ms: int) -> None:
        """Begin with history again if the clock has gone back: what is done was never now. A little
        is waited for."""
        ahead_ms = 0 if self._done_ms is None else self._done_ms - newest_ms
        if ahead_ms > max(self._step_ms, _ms(CLOCK_BACK)):
            extra = {"query": self.spec.name, "seconds": ahead_ms / 1000}
            logger.warning("the clock has gone back, history is learned again", extra=extra)
            self._done_ms = None

    def _heed_people(self) -> None:
        """Begin with history again if it would teach something else by what people said of it."""
        if self._done_ms is None or self._clock() - self._learned_s < _s(RELEARN_EVERY):
            return
        since = datetime.fromtimestamp(self._clock() - _s(self.spec.history), UTC)
        if self._heeded.is_news(self._learned_with, since=since):
            logger.info(
                "history is learned again by what people said of it",
                extra={"query": self.spec.name},
            )
            self._done_ms = None

    def _learn_history(self, newest_ms: int) -> int:
        """Learn up to the last score written before; the time of the last step learned."""
        self._start_afresh()
        began_s = self._learned_s = self._clock()
        self._learned_with = self._heeded
        written_ms = self._last_written_ms(newest_ms)
        end_ms = newest_ms - self._step_ms
        if written_ms is not None:
            end_ms = min(max(written_ms // self._step_ms * self._step_ms, 0), newest_ms)
        start_ms = end_ms - _ms(self.spec.history) // self._step_ms * self._step_ms
        if start_ms < end_ms:
            self._reader.read_instant(self.spec.expr, at_ms=end_ms, table=self._table)
            for frame in self._frames(start_ms, end_ms):
                scores = self._score(frame)
                self.blocks_learned += 1
            self._watch.take_up(self._table, frame, scores, self.scorer.explain)
            if written_ms is not None:
                self._take_up(scores)
        logger.info(
            "history learned",
            extra={
                "query": self.spec.name,
                "series": self._table.live,
                "steps": max(end_ms - start_ms, 0) // self._step_ms,
                "seconds": round(self._clock() - began_s, 3),
            },
        )
        return end_ms

    def _last_written_ms(self, newest_ms: int) -> int | None:
        """By us or, of which the server may not hold all yet, by the runner before."""
        done_ms = None if self._before is None else self._before._last_done_ms()
        if done_ms is not None and newest_ms - done_ms <= _ms(self.spec.catch_up):
            return done_ms
        return self._reader.last_written_ms(
            self.spec.name, at_ms=newest_ms, within=self.spec.catch_up
        )

    def _last_done_ms(self) -> int | None:
        """The newest step done here, or by the runner before while its place is not taken; waits
        for a run under way."""
        with self.lock:
            if self._done_ms is not None or self._before is None:
                return self._done_ms
            return self._before._last_done_ms()

    def _start_afresh(self) -> None:
        self._table, self.scorer = frames.SeriesTable(), self._make_scorer()
        self._watch.start_afresh()
        self._live_version = self._named_version = -1
        self._raised_by: tuple[heeding.Heeded, int] | None = None
        self._kind = np.zeros(0, np.int8)
        self._seen_ms = np.zeros(0, np.int64)
        self._is_live = np.zeros(0, np.bool_)

    def _take_up(self, written: frames.Scores) -> None:
        """Stand where the scores written before left off: what they had open is ended by us."""
        self._grow(written.score.shape[1], int(written.times_ms[-1]))
        self._is_live = np.isfinite(written.score[-1])
        self._kind = _open_kinds(written)[-1]

    def _score_until(self, newest_ms: int) -> loops.Turn:
        done_ms = self._done_ms or 0
        oldest_ms = newest_ms - _ms(self.spec.catch_up) // self._step_ms * self._step_ms
        first_ms = max(done_ms + self._step_ms, oldest_ms)
        skipped = (first_ms - done_ms) // self._step_ms - 1
        if skipped > 0:
            self._meters.query_skipped_steps.labels(self.spec.name).inc(skipped)
            self._meters.loop_dropped.labels("scoring", "too_old").inc(skipped * self._table.live)
        came_in = went_out = 0
        for frame in self._frames(first_ms, newest_ms):
            scores = self._score(frame, records=True)
            self._write(scores)
            self._watch.follow(self._table, frame, scores, self.scorer.explain)
            self._stand(frame, scores)
            self._done_ms = int(frame.times_ms[-1])
            came_in += int(np.isfinite(frame.values).sum())
            went_out += 4 * int(np.isfinite(scores.score).sum())
            went_out += int(np.isfinite(scores.drift).sum())
        return loops.Turn(came_in, went_out)

    def _score(self, frame: frames.Frame, *, records: bool = False) -> frames.Scores:
        labels, heeded = self._table.labels[: frame.values.shape[1]], self._heeded
        planned = heeded.planned(labels, frame.times_ms, self._calendar.is_planned(frame.times_ms))
        self._raise_thresholds(heeded)
        if self._named_version != self._table.version:
            self._named_version = self._table.version
            self.scorer.follow_labels(self._table.labels)
        return self.scorer.score(frame, planned=planned, records=records)

    def _raise_thresholds(self, heeded: heeding.Heeded) -> None:
        """After news of series or judgements, and every RAISED_EVERY, since those are forgotten."""
        now_s, known = self._clock(), (heeded, self._table.version)
        if self._raised_by == known and now_s - self._raised_s < _s(RAISED_EVERY):
            return
        self._raised_by, self._raised_s = known, now_s
        raises = heeded.raises(self._table.labels, at=datetime.fromtimestamp(now_s, UTC))
        self.scorer.raise_thresholds(raises)
        self._meters.query_raised_series.labels(self.spec.name).set(len(raises))

    def _frames(self, first_ms: int, last_ms: int) -> Iterator[frames.Frame]:
        """The frames from first to last step, read as they are asked for, in bounded blocks."""
        if first_ms == last_ms:
            values = self._reader.read_instant(self.spec.expr, at_ms=last_ms, table=self._table)
            times_ms = np.array([last_ms], np.int64)
            yield frames.Frame(times_ms, values.reshape(1, -1), self._step_ms)
            return
        while first_ms <= last_ms:
            steps = min(max(1, READ_SAMPLES // max(1, len(self._table))), READ_STEPS)
            end_ms = min(first_ms + (steps - 1) * self._step_ms, last_ms)
            frame = self._reader.read_range(
                self.spec.expr,
                start_ms=first_ms,
                end_ms=end_ms,
                step_ms=self._step_ms,
                table=self._table,
            )
            yield from frame.blocks(max(1, BLOCK_SAMPLES // max(1, frame.values.shape[1])))
            first_ms = end_ms + self._step_ms

    def _write(self, scores: frames.Scores) -> None:
        """Queue the scores; where a series or an anomaly ends, its stale marker in its place."""
        self._grow(scores.score.shape[1], int(scores.times_ms[0]))
        present = np.isfinite(scores.score)
        before = np.vstack([self._is_live, present[:-1]])
        kinds = _open_kinds(scores)
        kind_before = np.vstack([self._kind, kinds[:-1]])
        if not ((before & ~present).any() or kinds.any() or kind_before.any()):
            self._writer.write(self.spec.name, self._table, scores)
        else:
            for t in range(len(scores.times_ms)):
                self._write_step(_step(scores, t), before[t] & ~present[t], kind_before[t])
        self._is_live = present[-1].copy()
        self._kind = kinds[-1].copy()
        rows, times = present.any(axis=0), scores.times_ms
        last = len(times) - 1 - present[::-1].argmax(axis=0)
        self._seen_ms = np.where(rows, times[last], self._seen_ms)

    def _write_step(
        self, scores: frames.Scores, gone: npt.NDArray[np.bool_], kind_before: frames.Bytes
    ) -> None:
        time_ms = int(scores.times_ms[0])
        self._writer.write(self.spec.name, self._table, scores)
        if gone.any():
            rows = [int(row) for row in np.flatnonzero(gone)]
            self._writer.write_stale(self.spec.name, self._table, rows, time_ms=time_ms)
        kind = _open_kinds(scores)[0]
        ended = np.flatnonzero((kind_before != kind) & (kind_before != 0))
        self._write_active(ended, kind_before, time_ms, stale=True)
        self._write_active(np.flatnonzero(kind), kind, time_ms, stale=False)

    def _write_active(
        self, rows: frames.Ints, kinds: frames.Bytes, time_ms: int, *, stale: bool
    ) -> None:
        for row in rows.tolist():
            kind = frames.Kind(int(kinds[row]))
            self._writer.write_active(
                self.spec.name, self._table, row, kind, time_ms=time_ms, stale=stale
            )

    def _grow(self, series: int, time_ms: int) -> None:
        more = series - len(self._kind)
        if more > 0:
            self._kind = np.concatenate([self._kind, np.zeros(more, np.int8)])
            self._is_live = np.concatenate([self._is_live, np.zeros(more, np.bool_)])
            self._seen_ms = np.concatenate([self._seen_ms, np.full(more, time_ms, np.int64)])

    def _forget_ended(self, newest_ms: int) -> None:
        ended = self._seen_ms < newest_ms - _ms(self.spec.series_ttl)
        rows = [
            int(row) for row in np.flatnonzero(ended) if self._table.labels[int(row)] is not None
        ]
        if rows:
            still_open = np.array([row for row in rows if self._kind[row]], np.int64)
            self._write_active(still_open, self._kind, newest_ms, stale=True)
            self._kind[rows] = 0
            self._table.forget(rows)
            self.scorer.forget(rows)

    def _stand(self, frame: frames.Frame, scores: frames.Scores) -> None:
        rows, labels = self._live_rows()
        self.standing = Standing(
            time_ms=int(frame.times_ms[-1]),
            labels=labels,
            values=frame.values[-1, rows],
            scores=scores.score[-1, rows],
            expected=scores.expected[-1, rows],
            samples_seen=self.scorer.samples_seen[rows],
        )

    def _live_rows(self) -> tuple[frames.Ints, tuple[frames.Labels, ...]]:
        """Rows of the table that hold a series, and its labels; worked out once a change."""
        if self._live_version != self._table.version:
            live = [(row, labels) for row, labels in enumerate(self._table.labels) if labels]
            self._live = (
                np.array([row for row, _ in live], np.int64),
                tuple(labels for _, labels in live),
            )
            self._live_version = self._table.version
        return self._live

    def _report(self, newest_ms: int) -> None:
        name, standing = self.spec.name, self.standing
        self._meters.query_last_success.labels(name).set(newest_ms / 1000)
        self._meters.query_series.labels(name).set(self._table.live)
        if standing is not None and len(standing.samples_seen):
            seen = min(int(standing.samples_seen.max()), self.scorer.samples_needed)
            self._meters.query_samples_seen.labels(name).set(seen)
            self._meters.confidence.labels(name).set(float(np.mean(self.scorer.confidence)))


def _open_kinds(scores: frames.Scores) -> frames.Bytes:
    """int8[T, S]: the kinds that are written: where there is a sample, or it is missed."""
    is_told = np.isfinite(scores.score) | (scores.kind == frames.Kind.MISSING)
    return np.where(is_told, scores.kind, 0).astype(np.int8)


def _step(scores: frames.Scores, t: int) -> frames.Scores:
    at = slice(t, t + 1)
    return frames.Scores(
        scores.times_ms[at],
        scores.score[at],
        scores.expected[at],
        scores.lower[at],
        scores.upper[at],
        scores.drift[at],
        scores.kind[at],
        {name: each[at] for name, each in scores.members.items()},
    )
