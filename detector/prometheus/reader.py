"""Reads series from a Prometheus: the road that is cheapest for what is asked, one frame by all."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import timedelta

import numpy as np

from detector import errors, frames
from detector.policy import promql
from detector.prometheus import (
    chunks,
    connection,
    grid,
    outputs,
    query,
    ranges,
    selectors,
    servers,
    shards,
)

NAMES_PATH = "/api/v1/label/__name__/values"
MAX_POINTS = 11_000
"""Prometheus refuses a query_range of more points per series (web/api/v1, since 2.1)."""
POINTS_PER_ANSWER = 2_000_000
"""So many samples are asked for at once: the server holds them all, 40 MB of JSON goes over."""
CHUNKS_FROM_STEPS = 60
"""A chunk holds some 120 samples and is sent whole: for few steps JSON is less work."""
_REMEMBERED = 1_000
_RECENT_MS = 120_000
_HOUR_MS = 3_600_000
_AT_ONCE = 2
"""Parts of a large answer under way: one is parsed while the server works on the other."""
_LONGEST_GET = 2_000
_LEAST_STEPS = 60
"""Shorter answers would cost the server more in parsing and looking up than they spare it."""
_PROBE_STEPS = 200
"""A frame of so few steps is read at once, without asking how many series there are."""


class Reader:
    """The SeriesReader of one server.

    url       with a path prefix if need be
    timeout   for each call
    lookback  how old a sample may be to stand for a step. Asked of the server in each query, but
              Prometheus 2.42 does not heed that and takes its --query.lookback-delta
    chunks_from_steps
              a frame of so many steps is read from raw chunks where that is possible
    points_per_answer
              about so many samples are asked for in one JSON answer
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        auth: connection.Auth | None,
        lookback: timedelta,
        clock: Callable[[], float],
        ca_file: str | None = None,
        insecure_skip_verify: bool = False,
        chunks_from_steps: int = CHUNKS_FROM_STEPS,
        points_per_answer: int = POINTS_PER_ANSWER,
    ) -> None:
        self._client = connection.Client(
            url,
            timeout=timeout,
            auth=auth,
            ca_file=ca_file,
            insecure_skip_verify=insecure_skip_verify,
        )
        self._lookback = lookback
        self._probe = servers.Probe(self._client, clock)
        self._chunks_from_steps = chunks_from_steps
        self._points_per_answer = points_per_answer
        self._not_by_chunks: set[str] = set()
        self.roads_taken = {"chunks": 0, "json": 0}
        """How many frames were read by which road."""

    def read_instant(self, expr: str, *, at_ms: int, table: frames.SeriesTable) -> frames.Floats:
        """float64[len(table)] values at at_ms, NaN where a row has none; new series get rows.

        Raises UpstreamError.
        """
        answer = self._api("/api/v1/query", query=expr, time=_seconds(at_ms), **self._common())
        if answer.status != 200:
            query.envelope_from_answer(answer.status, answer.body)
        return query.vector_into_table(answer.body, table)

    def read_range(
        self, expr: str, *, start_ms: int, end_ms: int, step_ms: int, table: frames.SeriesTable
    ) -> frames.Frame:
        """The frame of query_range from start to end, both included, any length; new series get
        rows.

        Raises UpstreamError; ValueError if start is not on the grid or end is before it.
        """
        span = {"start_ms": start_ms, "end_ms": end_ms, "step_ms": step_ms}
        target = grid.Grid(**span)
        target.reserve(len(table))
        if target.steps < self._chunks_from_steps or not self._read_chunks(expr, target, table):
            target = grid.Grid(**span)
            target.reserve(len(table))
            self._read_json(expr, target, table)
            self.roads_taken["json"] += 1
        else:
            self.roads_taken["chunks"] += 1
        return target.frame(table)

    def last_written_ms(self, query: str, *, at_ms: int, within: timedelta) -> int | None:
        """When the newest score of this query that the server holds is from, looking back
        `within` from at_ms; None if there is none.

        timestamp() of a selector is the sample's own time. The last two minutes are looked at by
        seconds: a search by minutes sees nothing that began after the last whole one. Before them a
        search by minutes finds about when, and one by seconds also sees scores that a stale marker
        ended within the minute.

        Raises UpstreamError.
        """
        times = f"timestamp({promql.matchers(_score_of(query))})"
        earliest_ms = at_ms - within // timedelta(milliseconds=1)
        recent_ms = min(at_ms - earliest_ms, _RECENT_MS)
        newest_ms = self._newest_ms(times, at_ms, max(recent_ms, 1000), timedelta(seconds=1))
        if newest_ms is not None:
            return newest_ms if newest_ms >= earliest_ms else None
        end_ms = at_ms
        while end_ms > earliest_ms:
            span_ms = min(end_ms - earliest_ms, _HOUR_MS)
            about_ms = self._newest_ms(times, end_ms, span_ms, timedelta(minutes=1))
            if about_ms is not None:
                span_ms = max(end_ms - about_ms, 1000)
                exact_ms = self._newest_ms(times, end_ms, span_ms, timedelta(seconds=1))
                newest_ms = max(about_ms, exact_ms or about_ms)
                return newest_ms if newest_ms >= earliest_ms else None
            end_ms -= span_ms
        return None

    def _newest_ms(self, times: str, end_ms: int, span_ms: int, step: timedelta) -> int | None:
        """The greatest of these times, looked at every step of the span before end_ms."""
        window = f"{-(-span_ms // 1000)}s:{step // timedelta(seconds=1)}s"
        newest_s = self._number(f"max(max_over_time({times}[{window}]))", at_ms=end_ms)
        return None if newest_s is None else round(newest_s * 1000)

    def metric_names(self, *, start_ms: int, end_ms: int) -> frozenset[str]:
        """Names of all metrics of which the server has samples about this time.

        Raises UpstreamError.
        """
        answer = self._api(NAMES_PATH, start=_seconds(start_ms), end=_seconds(end_ms))
        return query.names_from_answer(answer.status, answer.body)

    def is_ready(self) -> bool:
        """Whether the server answers and says that it is ready."""
        try:
            return self._client.call("GET", "/-/ready").status == 200
        except errors.UpstreamError:
            return False

    def validate(self, expr: str) -> None:
        """Raise UpstreamError(kind="query") for what the server cannot parse or gives no series."""
        answer = self._api("/api/v1/format_query", query=expr)
        if answer.status != 404:  # an older server or another one: our own parser has to do
            query.envelope_from_answer(answer.status, answer.body)
            try:
                tree = selectors.parse(expr)
            except errors.UpstreamError:
                return  # newer syntax than our parser's, and the server knows it
        else:
            tree = selectors.parse(expr)
        other = promql.other_type(tree)
        if other is not None:
            raise query.wrong_type(other)

    def _read_chunks(self, expr: str, target: grid.Grid, table: frames.SeriesTable) -> bool:
        """Whether the grid could be filled from chunks; if not it may be filled in part."""
        matchers = selectors.plain_matchers(expr)
        if matchers is None or expr in self._not_by_chunks:
            return False
        server = self._probe.server()
        if not server.can_stream_chunks(self._lookback):
            return False
        lookback_ms = self._lookback // timedelta(milliseconds=1)
        end_ms = target.start_ms + (target.steps - 1) * target.step_ms
        body = chunks.request(matchers, target.start_ms - lookback_ms, end_ms)
        with self._client.stream("POST", chunks.PATH, body=body, headers=chunks.HEADERS) as stream:
            if stream.status in {401, 403} or stream.status >= 500:
                query.envelope_from_answer(stream.status, stream.read(connection.ERROR_BODY_BYTES))
            if not stream.headers.get("content-type", "").startswith(chunks.STREAMED):
                return False
            try:
                chunks.chunks_into_grid(
                    stream,
                    target,
                    table,
                    lookback=self._lookback,
                    includes_lookback=server.includes_lookback,
                )
            except chunks.Unsuitable:
                self._remember_not_by_chunks(expr)
                return False
        return True

    def _remember_not_by_chunks(self, expr: str) -> None:
        if len(self._not_by_chunks) >= _REMEMBERED:
            self._not_by_chunks.clear()
        self._not_by_chunks.add(expr)

    def _read_json(self, expr: str, target: grid.Grid, table: frames.SeriesTable) -> None:
        plan = list(self._plan(expr, target, table))
        if len(plan) == 1:
            self._read_part(*plan[0], target, table)
            return
        with futures.ThreadPoolExecutor(_AT_ONCE, "read-range") as pool:
            reading = [pool.submit(self._read_part, *part, target, table) for part in plan]
            try:
                for each in futures.as_completed(reading):
                    each.result()
            except errors.UpstreamError:
                pool.shutdown(cancel_futures=True)
                raise

    def _read_part(
        self, expr: str, block: ranges.Block, target: grid.Grid, table: frames.SeriesTable
    ) -> None:
        first_ms = target.start_ms + block.first * target.step_ms
        last_ms = first_ms + (block.steps - 1) * target.step_ms
        form = {
            "query": expr,
            "start": _seconds(first_ms),
            "end": _seconds(last_ms),
            "step": _seconds(target.step_ms),
            **self._common(),
        }
        method, path, body, headers = _request("/api/v1/query_range", form)
        with self._client.stream(method, path, body=body, headers=headers) as stream:
            ranges.matrix_into_grid(stream, target, block, table)

    def _plan(
        self, expr: str, target: grid.Grid, table: frames.SeriesTable
    ) -> Iterator[tuple[str, ranges.Block]]:
        """What to ask for, so that no answer is too large for the server: parts of a plain
        selector's series, for the server does that in two thirds of the time; else parts of the
        time.
        """
        parts, steps = [expr], min(target.steps, MAX_POINTS)
        if target.steps > _PROBE_STEPS:
            end_ms = target.start_ms + (target.steps - 1) * target.step_ms
            series = max(int(self._number(f"count({expr}\n)", at_ms=end_ms) or 0), 1)
            matchers = selectors.plain_matchers(expr)
            if series * steps > self._points_per_answer and matchers is not None:
                count = -(-series * steps // self._points_per_answer)
                parts = self._parts(expr, matchers, end_ms, count, table)
            else:
                steps = min(steps, max(self._points_per_answer // series, _LEAST_STEPS))
        for part in parts:
            for first in range(0, target.steps, steps):
                yield part, ranges.Block(first, min(steps, target.steps - first))

    def _parts(
        self,
        expr: str,
        matchers: shards.Matchers,
        at_ms: int,
        count: int,
        table: frames.SeriesTable,
    ) -> list[str]:
        present = ~np.isnan(self.read_instant(expr, at_ms=at_ms, table=table))
        found = [table.labels[row] for row in np.flatnonzero(present).tolist()]
        labels = [each for each in found if each is not None]
        return [promql.matchers(part) for part in shards.split(matchers, labels, count)]

    def _number(self, expr: str, *, at_ms: int) -> float | None:
        """The value of an expression that gives one series or none."""
        table = frames.SeriesTable()
        values = self.read_instant(expr, at_ms=at_ms, table=table)
        return float(values[0]) if len(table) else None

    def _common(self) -> dict[str, str]:
        return {
            "timeout": f"{self._client.timeout.total_seconds():g}s",
            "lookback_delta": _seconds(self._lookback // timedelta(milliseconds=1)),
        }

    def _api(self, path: str, **form: str) -> connection.Answer:
        method, target, body, headers = _request(path, form)
        return self._client.call(method, target, body=body, headers=headers)


def _score_of(query: str) -> tuple[promql.Matcher, ...]:
    return (
        promql.Matcher("__name__", promql.MatchType.EQUAL, outputs.METRICS[0]),
        promql.Matcher("query", promql.MatchType.EQUAL, query),
    )


def _request(
    path: str, form: dict[str, str]
) -> tuple[str, str, bytes | None, dict[str, str] | None]:
    """A GET, which caches and read-only users may do, or a POST for what is too long for one."""
    text = urllib.parse.urlencode(form)
    if len(text) <= _LONGEST_GET:
        return "GET", f"{path}?{text}", None, None
    content_type = {"Content-Type": "application/x-www-form-urlencoded"}
    return "POST", path, text.encode(), content_type


def _seconds(milliseconds: int) -> str:
    """Exact decimal seconds.

    >>> _seconds(1700000000050)
    '1700000000.050'
    """
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
