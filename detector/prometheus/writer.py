"""Writes scores to Prometheus behind the caller's back."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

import numpy as np

from detector import frames
from detector.prometheus import (
    backlog,
    blocks,
    chunk_kernels,
    connection,
    encode,
    matrix_kernels,
    outputs,
    sender,
)

logger = logging.getLogger(__name__)

LANES = 2
"""Two connections: a third did not make Prometheus faster, one cost up to a quarter more time."""
ACTIVE = "anomaly_active"
_GRACE = timedelta(milliseconds=500)
_Foreseen: TypeAlias = tuple[str, str, tuple[str, ...]]
"""A query, a metric of what is to come, and its horizons."""


class Writer:
    """The ScoreWriter of one server: a bounded queue and a thread for each lane.

    A series is always in the same lane, so its samples go out oldest first. When the queue is
    full the oldest samples go. Nothing that is more than a minute ahead of `clock` is sent.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        auth: connection.Auth | None,
        metrics: sender.WriterMetrics,
        clock: Callable[[], float],
        queue_samples: int = 2_000_000,
        max_age: timedelta = timedelta(hours=1),
        protocol: encode.Protocol = encode.Protocol.V2,
        wait: Callable[[float], bool] | None = None,
        ca_file: str | None = None,
        insecure_skip_verify: bool = False,
    ) -> None:
        self._client = connection.Client(
            url,
            timeout=timeout,
            auth=auth,
            ca_file=ca_file,
            insecure_skip_verify=insecure_skip_verify,
        )
        self._metrics = metrics
        self._clock = clock
        self._stop = threading.Event()
        self._queries: dict[str, blocks.QueryBlocks] = {}
        self._beside: dict[tuple[str, str], blocks.QueryBlocks] = {}
        self._foreseen: dict[_Foreseen, tuple[blocks.QueryBlocks, frames.Bools]] = {}
        self._active: dict[tuple[str, int, frames.Kind], tuple[frames.Labels, blocks.Block]] = {}
        self._backlog = backlog.Backlog(
            lanes=LANES,
            capacity=queue_samples,
            on_drop=lambda count: metrics.dropped(count, "full"),
            on_count=metrics.queue_samples,
        )
        self._negotiation = sender.Negotiation(protocol)
        self._senders = [
            sender.Sender(
                self._client,
                negotiation=self._negotiation,
                metrics=metrics,
                clock=clock,
                wait=wait or self._stop.wait,
                max_age=max_age,
            )
            for _ in range(LANES)
        ]
        self._threads = [
            threading.Thread(
                target=self._run, args=(lane,), name=f"remote-write-{lane}", daemon=True
            )
            for lane in range(LANES)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    @property
    def protocol(self) -> encode.Protocol:
        """The version of remote write that is used now."""
        return self._negotiation.protocol

    def flush(self, timeout: timedelta) -> bool:
        """Whether everything queued so far is sent or given up before the timeout."""
        return self._backlog.wait_empty(timeout)

    def stop(self, timeout: timedelta) -> bool:
        """Send what waits, then end; what is left at the timeout is given up. False if so."""
        deadline_s = time.monotonic() + timeout.total_seconds()
        started = [thread for thread in self._threads if thread.ident is not None]
        emptied = (
            self._backlog.wait_empty(max(timeout - _GRACE, timedelta(0))) if started else False
        )
        self._stop.set()
        self._give_up(self._backlog.close(), "shutdown")
        self._client.abort()
        for thread in started:
            thread.join(max(deadline_s - time.monotonic(), _GRACE.total_seconds()))
        return emptied

    def write(self, query: str, table: frames.SeriesTable, scores: frames.Scores) -> None:
        """Queue anomaly_score, _expected, _lower, _upper and drift_score of every finite value,
        oldest first; and anomaly_model_score of each member that the scores tell of."""
        known = self._known(query, table)
        columns = (scores.score, scores.expected, scores.lower, scores.upper)
        rows = scores.score.shape[1]
        for step, time_ms in enumerate(scores.times_ms.tolist()):
            dense = np.empty((rows, len(outputs.METRICS)))
            for number, column in enumerate(columns):
                dense[:, number] = column[step]
            self._put_finite(known, dense, time_ms)
        self._write_beside(query, outputs.DRIFT, (), table, scores, scores.drift[:, :, np.newaxis])
        if scores.members:
            values = np.stack(list(scores.members.values()), axis=2)
            models = tuple(scores.members)
            self._write_beside(query, outputs.MODEL_METRIC, models, table, scores, values)

    def _write_beside(
        self,
        query: str,
        metric: str,
        models: Sequence[str],
        table: frames.SeriesTable,
        scores: frames.Scores,
        values: frames.Floats,
    ) -> None:
        """Queue what is told beside the scores, float64[T, S, K], at the steps that tell it."""
        told = np.isfinite(values).any(axis=(1, 2))
        if not told.any():
            return
        known = self._beside_of(query, metric, models)
        known.follow(table)
        for step in np.flatnonzero(told).tolist():
            self._put_finite(known, values[step].copy(), int(scores.times_ms[step]))

    def _beside_of(self, query: str, metric: str, models: Sequence[str]) -> blocks.QueryBlocks:
        if (query, metric) not in self._beside:
            self._beside[query, metric] = blocks.QueryBlocks(query, (metric,), models)
        return self._beside[query, metric]

    def _put_finite(self, known: blocks.QueryBlocks, dense: frames.Floats, time_ms: int) -> None:
        finite = np.isfinite(dense)
        finite &= known.usable[: len(dense), np.newaxis]
        if not finite.all():
            dense[~finite] = np.nan
        self._put(known, dense, finite, time_ms)

    def write_stale(
        self, query: str, table: frames.SeriesTable, rows: Sequence[int], *, time_ms: int
    ) -> None:
        """Queue stale markers for all series of each of these rows: scores, drift, models'."""
        self._beside_of(query, outputs.DRIFT, ())  # told before we started, perhaps
        for (of, _), beside in list(self._beside.items()):  # other queries add theirs meanwhile
            if of == query:
                beside.follow(table)
                self._put_stale(beside, table, rows, time_ms)
        self._put_stale(self._known(query, table), table, rows, time_ms)

    def _put_stale(
        self,
        known: blocks.QueryBlocks,
        table: frames.SeriesTable,
        rows: Sequence[int],
        time_ms: int,
    ) -> None:
        wanted = np.zeros((len(table), known.width), dtype=bool)
        wanted[list(rows)] = True
        wanted &= known.usable[: len(table), np.newaxis]
        markers = encode.stale_markers(wanted.size).reshape(wanted.shape)
        self._put(known, np.where(wanted, markers, np.nan), wanted, time_ms)

    def write_active(
        self,
        query: str,
        table: frames.SeriesTable,
        row: int,
        kind: frames.Kind,
        *,
        time_ms: int,
        stale: bool,
    ) -> None:
        """Queue anomaly_active{kind} = 1 for this row, or its stale marker."""
        source = table.labels[row]
        known = self._known(query, table)
        if source is None or not known.usable[row]:
            return  # its scores are refused too, and counted there
        values = encode.stale_markers(1) if stale else np.ones(1)
        block = self._active_block(query, row, kind, source)
        self._queue(block, values, np.array([time_ms], dtype=np.int64), 1)

    def write_forecasts(
        self,
        query: str,
        horizons: Sequence[str],
        table: frames.SeriesTable,
        values: frames.Floats,
        *,
        time_ms: int,
    ) -> None:
        """Queue anomaly_forecast{horizon} of every finite value of float64[S, H]; a stale marker
        where there was one the last time and is none now. One thread for all queries may call."""
        self._write_foreseen((query, outputs.FORECAST, tuple(horizons)), table, values, time_ms)

    def write_exhaustion(
        self, query: str, table: frames.SeriesTable, seconds: frames.Floats, *, time_ms: int
    ) -> None:
        """Likewise anomaly_exhaustion_seconds, of float64[S]."""
        key = (query, outputs.EXHAUSTION, ())
        self._write_foreseen(key, table, seconds[:, np.newaxis], time_ms)

    def _write_foreseen(
        self, key: _Foreseen, table: frames.SeriesTable, values: frames.Floats, time_ms: int
    ) -> None:
        if key in self._foreseen:
            known, before = self._foreseen.pop(key)
        else:
            query, metric, horizons = key
            known = blocks.QueryBlocks(query, (metric,), horizons, label="horizon")
            before = np.zeros((0, values.shape[1]), np.bool_)
        known.follow(table)
        now = np.isfinite(values)
        now &= known.usable[: len(values), np.newaxis]
        ended = np.zeros_like(now)
        ended[: len(before)] = before & ~now[: len(before)]
        markers = encode.stale_markers(now.size).reshape(now.shape)
        told = np.where(now, values, np.where(ended, markers, np.nan))
        if now.any():
            self._foreseen[key] = (known, now)
        self._put(known, told, now | ended, time_ms)

    def forget(self, query: str) -> None:
        """Free what is known of this query; what is queued is sent all the same."""
        self._queries.pop(query, None)
        self._beside = {key: each for key, each in self._beside.items() if key[0] != query}
        self._active = {key: each for key, each in self._active.items() if key[0] != query}

    def _active_block(
        self, query: str, row: int, kind: frames.Kind, source: frames.Labels
    ) -> blocks.Block:
        """The one series of this row and kind, made when the row first needs it."""
        held, block = self._active.get((query, row, kind), (None, None))
        if block is None or held is not source:
            own = {"query": query, "kind": kind.name.lower()}
            labels = outputs.output_labels(source, ACTIVE, **own)
            block = blocks.Block((ACTIVE, zlib.crc32(repr(labels).encode())), [labels])
            self._active[query, row, kind] = (source, block)
        return block

    def _put(
        self,
        known: blocks.QueryBlocks,
        values: frames.Floats,
        wanted: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
        time_ms: int,
    ) -> None:
        for number, block in enumerate(known.blocks):
            part = slice(number * known.rows, (number + 1) * known.rows)
            count = int(np.count_nonzero(wanted[part]))
            if count:
                flat = np.full(len(block.series), np.nan)
                flat[: values[part].size] = values[part].ravel()
                times_ms = np.full(len(flat), time_ms, dtype=np.int64)
                self._queue(block, flat, times_ms, count)

    def _queue(
        self, block: blocks.Block, values: frames.Floats, times_ms: frames.Ints, count: int
    ) -> None:
        if self._stop.is_set():
            self._give_up(count, "shutdown")
            return
        item = backlog.Item(block, values, times_ms, count, self._clock())
        self._backlog.put(blocks.lane_of(block.key, LANES), item)

    def _known(self, query: str, table: frames.SeriesTable) -> blocks.QueryBlocks:
        known = self._queries.setdefault(query, blocks.QueryBlocks(query))
        refused = known.follow(table)
        if refused:
            logger.warning(
                "series differ in nothing but their names, or have unusable labels; the later "
                "ones get no score (label_replace can keep the name in another label)",
                extra={"query": query, "series": refused},
            )
            self._give_up(refused, "labels")
        return known

    def _give_up(self, count: int, reason: str) -> None:
        if count:
            self._metrics.dropped(count, reason)

    def _run(self, lane: int) -> None:
        while items := self._backlog.take(lane):
            try:
                self._senders[lane].deliver(items)
            except Exception:  # a turn of a loop: one batch must not end the lane
                logger.exception("a batch was lost")
                self._give_up(sum(item.count for item in items), "bug")
            finally:
                self._backlog.done(lane)
        self._client.close()


def warm_up() -> None:
    """Compile this edge's kernels into their cache."""
    encode.warm_up()
    matrix_kernels.warm_up()
    chunk_kernels.warm_up()
