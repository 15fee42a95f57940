"""Reads series from a Prometheus: the road that is cheapest for what is asked, one frame by all."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from datetime import timedelta

from detector import errors, frames
from detector.prometheus import connection, grid, outputs, query, ranges, selectors

MAX_POINTS = 11_000
"""Prometheus refuses a query_range of more points per series (web/api/v1, since 2.1)."""
POINTS_PER_ANSWER = 2_000_000
"""So many samples are asked for at once: the server holds them all, 40 MB of JSON goes over."""
_LONGEST_GET = 2_000
_PROBE_STEPS = 200
"""A frame of so few steps is read at once, without asking how many series there are."""


class Reader:
    """The SeriesReader of one server.

    url       with a path prefix if need be
    timeout   for each call
    lookback  how old a sample may be to stand for a step; asked of the server on every road
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
    ) -> None:
        self._client = connection.Client(
            url,
            timeout=timeout,
            auth=auth,
            ca_file=ca_file,
            insecure_skip_verify=insecure_skip_verify,
        )
        self._lookback = lookback
        self._clock = clock

    def read_instant(self, expr: str, *, at_ms: int, table: frames.SeriesTable) -> frames.Floats:
        """float64[len(table)] values at at_ms, NaN where a row has none; new series get rows.

        Raises UpstreamError.
        """
        return self._instant(expr, at_ms, table, self._lookback)

    def read_range(
        self, expr: str, *, start_ms: int, end_ms: int, step_ms: int, table: frames.SeriesTable
    ) -> frames.Frame:
        """The frame of query_range from start to end, both included, any length; new series get
        rows.

        Raises UpstreamError; ValueError if start is not on the grid or end is before it.
        """
        target = grid.Grid(start_ms=start_ms, end_ms=end_ms, step_ms=step_ms)
        target.reserve(len(table))
        self._read_json(expr, target, table)
        return target.frame(table)

    def last_written_ms(self, query: str, *, at_ms: int, within: timedelta) -> int | None:
        """When the newest score of this query that the server holds is from, looking back
        `within` from at_ms; None if there is none.

        Exact: timestamp() of a selector is the sample's own time, and the lookback is ours to
        choose. Where stale markers have ended every series, a subquery looks for what was before
        them, second by second (in a span of more than three hours at wider steps).

        Raises UpstreamError.
        """
        score = selectors.selector(
            (
                selectors.Matcher("__name__", selectors.MatchType.EQUAL, outputs.METRICS[0]),
                selectors.Matcher("query", selectors.MatchType.EQUAL, query),
            )
        )
        times = f"timestamp({score})"
        newest = self._number(f"max({times})", at_ms=at_ms, lookback=within)
        if newest is None:
            span_s = max(within // timedelta(seconds=1), 1)
            step_s = -(-span_s // MAX_POINTS)
            newest = self._number(
                f"max(max_over_time({times}[{span_s}s:{step_s}s]))",
                at_ms=at_ms,
                lookback=timedelta(seconds=step_s),
            )
        return None if newest is None else round(newest * 1000)

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
        other = selectors.other_type(tree)
        if other is not None:
            raise query.wrong_type(other)

    def _read_json(self, expr: str, target: grid.Grid, table: frames.SeriesTable) -> None:
        for block in self._blocks(expr, target):
            first_ms = target.start_ms + block.first * target.step_ms
            last_ms = first_ms + (block.steps - 1) * target.step_ms
            form = {
                "query": expr,
                "start": _seconds(first_ms),
                "end": _seconds(last_ms),
                "step": _seconds(target.step_ms),
                **self._common(self._lookback),
            }
            method, path, body, headers = _request("/api/v1/query_range", form)
            with self._client.stream(method, path, body=body, headers=headers) as stream:
                ranges.matrix_into_grid(stream, target, block, table)

    def _blocks(self, expr: str, target: grid.Grid) -> Iterator[ranges.Block]:
        steps = min(target.steps, MAX_POINTS)
        if target.steps > _PROBE_STEPS:
            end_ms = target.start_ms + (target.steps - 1) * target.step_ms
            series = max(self._count(expr, end_ms), 1)
            steps = min(steps, max(POINTS_PER_ANSWER // series, _PROBE_STEPS))
        for first in range(0, target.steps, steps):
            yield ranges.Block(first, min(steps, target.steps - first))

    def _count(self, expr: str, at_ms: int) -> int:
        """About how many series the expression gives."""
        return int(self._number(f"count({expr}\n)", at_ms=at_ms) or 0)

    def _number(self, expr: str, *, at_ms: int, lookback: timedelta | None = None) -> float | None:
        """The value of an expression that gives one series or none."""
        table = frames.SeriesTable()
        values = self._instant(expr, at_ms, table, lookback or self._lookback)
        return float(values[0]) if len(table) else None

    def _instant(
        self, expr: str, at_ms: int, table: frames.SeriesTable, lookback: timedelta
    ) -> frames.Floats:
        form = {"query": expr, "time": _seconds(at_ms), **self._common(lookback)}
        answer = self._api("/api/v1/query", **form)
        if answer.status != 200:
            query.envelope_from_answer(answer.status, answer.body)
        return query.vector_into_table(answer.body, table)

    def _common(self, lookback: timedelta) -> dict[str, str]:
        return {
            "timeout": f"{self._client.timeout.total_seconds():g}s",
            "lookback_delta": _seconds(lookback // timedelta(milliseconds=1)),
        }

    def _api(self, path: str, **form: str) -> connection.Answer:
        method, target, body, headers = _request(path, form)
        return self._client.call(method, target, body=body, headers=headers)


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
