"""Every road of reading gives the frame that query_range gives, on a real Prometheus."""

from __future__ import annotations

import math
import random
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import requests

from detector import frames
from detector.prometheus import reader
from tests import conftest, remote, stack

STEP_MS = 15_000
STEPS = 240
LOOKBACKS = (timedelta(minutes=5), timedelta(seconds=45))
NEVER = 10**9
METRIC = "road_test"


@pytest.fixture(scope="module")
def end_ms() -> int:
    """The last step of the grid, so that everything pushed is recent enough for any Prometheus."""
    return int(time.time() * 1000) // STEP_MS * STEP_MS


def make_reader(
    url: str,
    lookback: timedelta,
    *,
    chunks_from_steps: int,
    points_per_answer: int = reader.POINTS_PER_ANSWER,
) -> reader.Reader:
    return reader.Reader(
        url,
        timeout=timedelta(seconds=20),
        auth=None,
        lookback=lookback,
        clock=time.time,
        chunks_from_steps=chunks_from_steps,
        points_per_answer=points_per_answer,
    )


def hard_samples(end_ms: int) -> list[remote.Sample]:
    """Series with all that makes stepping hard, in time order."""
    rng = random.Random(7)  # noqa: S311 - repeatable data
    start_ms = end_ms - (STEPS + 40) * STEP_MS
    stamps = range(start_ms, end_ms + 1, STEP_MS)
    rows: dict[str, list[tuple[int, float]]] = {
        "on the grid": [(at, rng.gauss(0, 1)) for at in stamps],
        "irregular": [(at + rng.randrange(STEP_MS), rng.gauss(0, 1e9)) for at in stamps[:-1]],
        "gaps": [(at, rng.random()) for at in stamps if rng.random() < 0.05],
        "exactly the lookback apart": [(at, rng.random()) for at in stamps[::20]],
        "just over the lookback apart": [(at + 1, rng.random()) for at in stamps[:-1:3]],
        "counter": [(at, float(k // 3)) for k, at in enumerate(stamps)],
        "constant": [(at, 42.0) for at in stamps],
        "starts midway": [(at, 1 / (1 + k)) for k, at in enumerate(stamps[150:])],
        "ends midway": [(at, rng.random()) for at in stamps[:100]],
        "ended by a marker": [*((at, 1.5) for at in stamps[:100]), (stamps[100], remote.STALE)],
        "flaps": [(at, remote.STALE if k % 7 == 6 else 0.1 * k) for k, at in enumerate(stamps)],
        "strange values": [
            (at, (0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e308, 0.1 + 0.2)[k % 8])
            for k, at in enumerate(stamps)
        ],
        "one point": [(stamps[200], 3.0)],
        "between two steps": [(stamps[200] + 1, 7.0), (stamps[200] + 2, remote.STALE)],
        'hostile "\\\n\t é 🦀': [(at, 1.0) for at in stamps],
    }
    return sorted(
        (
            (remote.labels(METRIC, case=case), value, at)
            for case, points in rows.items()
            for at, value in points
        ),
        key=lambda sample: sample[2],
    )


@pytest.fixture
def lookback() -> timedelta:
    """The lookback of the server, as its flag says."""
    return timedelta(minutes=5)


@pytest.fixture
def filled(
    prometheus: conftest.MakePrometheus, end_ms: int, lookback: timedelta
) -> stack.Prometheus:
    server = prometheus(flags=[f"--query.lookback-delta={lookback.total_seconds():g}s"])
    samples = hard_samples(end_ms)
    for first in range(0, len(samples), 1000):
        answer = remote.push(server.url, samples[first : first + 1000])
        assert answer.status_code == 204, answer.text
    return server


def frame_of_plain_json(
    url: str, expr: str, end_ms: int, lookback: timedelta
) -> tuple[frames.SeriesTable, frames.Floats]:
    """A table and float64[T, S] by requests, json and float(): nothing of ours."""
    table = frames.SeriesTable()
    start_ms = end_ms - (STEPS - 1) * STEP_MS
    answer = requests.get(
        f"{url}/api/v1/query_range",
        params={
            "query": expr,
            "start": str(start_ms / 1000),
            "end": str(end_ms / 1000),
            "step": str(STEP_MS / 1000),
            "lookback_delta": f"{lookback.total_seconds():g}s",
        },
        timeout=30,
    )
    answer.raise_for_status()
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    rows = [table.row(frames.labels_from_pairs(series["metric"].items())) for series in result]
    values = np.full((STEPS, len(table)), math.nan)
    for row, series in zip(rows, result, strict=True):
        for time_s, text in series["values"]:
            values[(round(time_s * 1000) - start_ms) // STEP_MS, row] = float(text)
    return table, values


def read(by: reader.Reader, expr: str, end_ms: int, table: frames.SeriesTable) -> frames.Floats:
    """The values of the frame from STEPS before end_ms."""
    start_ms = end_ms - (STEPS - 1) * STEP_MS
    frame = by.read_range(expr, start_ms=start_ms, end_ms=end_ms, step_ms=STEP_MS, table=table)
    assert frame.times_ms.tolist() == list(range(start_ms, end_ms + 1, STEP_MS))
    assert frame.values.T.flags.c_contiguous
    return frame.values


def assert_same(got: frames.Floats, wanted: frames.Floats, table: frames.SeriesTable) -> None:
    """Bit for bit; what wanted has no column for must be NaN."""
    series = wanted.shape[1]
    assert np.isnan(got[:, series:]).all()
    differ = np.argwhere(bits(got[:, :series]) != bits(wanted))
    assert not len(differ), [(table.labels[s], t) for t, s in differ.tolist()][:10]


def bits(values: frames.Floats) -> frames.Ints:
    """Values as bits, every NaN the same one."""
    same_nan: frames.Floats = np.where(np.isnan(values), math.nan, values)
    return np.ascontiguousarray(same_nan).view(np.int64)


@pytest.mark.parametrize("lookback", LOOKBACKS, ids=str)
def test_every_road_gives_the_frame_of_query_range(
    filled: stack.Prometheus, end_ms: int, lookback: timedelta
) -> None:
    table, wanted = frame_of_plain_json(filled.url, METRIC, end_ms, lookback)
    series = len(table)
    by_json = make_reader(filled.url, lookback, chunks_from_steps=NEVER)
    by_chunks = make_reader(filled.url, lookback, chunks_from_steps=0)
    start_ms = end_ms - (STEPS - 1) * STEP_MS
    columns = [
        by_json.read_instant(METRIC, at_ms=start_ms + k * STEP_MS, table=table)
        for k in range(STEPS)
    ]
    roads = {
        "json": read(by_json, METRIC, end_ms, table),
        "chunks": read(by_chunks, METRIC, end_ms, table),
        "instant": np.array(columns),
    }

    assert by_chunks.roads_taken["chunks"] == 1
    for values in roads.values():
        assert_same(values, wanted, table)
    assert table.live == series
    assert 0.2 < np.isfinite(wanted).mean() < 0.9


def test_another_lookback_than_the_servers_gives_what_the_server_makes_of_it(
    filled: stack.Prometheus, end_ms: int
) -> None:
    lookback = timedelta(seconds=45)
    table, wanted = frame_of_plain_json(filled.url, METRIC, end_ms, lookback)
    got = read(make_reader(filled.url, lookback, chunks_from_steps=0), METRIC, end_ms, table)
    assert_same(got, wanted, table)


EXPRESSIONS = (
    f"rate({METRIC}[2m])",
    f"sum({METRIC})",
    f"{METRIC} offset 1m",
    f'{METRIC}{{case=~".*midway"}} > 0.5',
    f"({METRIC})",
    f'{METRIC}{{case!="constant",case!~"on.*"}}',
    'no_such_metric{a="b"}',
)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_any_expression_gives_the_frame_of_query_range(
    filled: stack.Prometheus, end_ms: int, lookback: timedelta, expr: str
) -> None:
    table, wanted = frame_of_plain_json(filled.url, expr, end_ms, lookback)
    got = read(make_reader(filled.url, lookback, chunks_from_steps=0), expr, end_ms, table)
    assert_same(got, wanted, table)


def test_external_labels_are_not_taken_for_labels_of_series(
    prometheus: conftest.MakePrometheus, end_ms: int, lookback: timedelta
) -> None:
    server = prometheus("global:\n  external_labels: {cluster: a}\n")
    assert remote.push(server.url, [(remote.labels("x"), 1.0, end_ms)]).status_code == 204
    table = frames.SeriesTable()
    values = read(make_reader(server.url, lookback, chunks_from_steps=0), "x", end_ms, table)
    assert table.labels == [(("__name__", "x"),)]
    assert values[-1].tolist() == [1.0]


def test_last_written_is_the_newest_score_even_after_stale_markers(
    prometheus: conftest.MakePrometheus, end_ms: int, lookback: timedelta
) -> None:
    server = prometheus()
    by = make_reader(server.url, lookback, chunks_from_steps=0)
    name = 'we"ird\\'
    score = remote.labels("anomaly_score", query=name, host="a")
    other = remote.labels("anomaly_score", query="other", host="a")
    written = [end_ms - 40 * 60_000, end_ms - 31 * 60_000]
    within = timedelta(hours=2)

    assert by.last_written_ms(name, at_ms=end_ms, within=within) is None
    samples = [(score, 1.0, at) for at in written] + [(other, 1.0, end_ms)]
    assert remote.push(server.url, samples).status_code == 204
    assert by.last_written_ms(name, at_ms=end_ms, within=within) == written[-1]
    markers = [(score, remote.STALE, written[-1] + 5_000)]
    assert remote.push(server.url, markers).status_code == 204
    assert by.last_written_ms(name, at_ms=end_ms, within=within) == written[-1]
    assert by.last_written_ms(name, at_ms=end_ms, within=timedelta(minutes=10)) is None


def test_a_large_json_answer_is_asked_for_in_parts_and_is_the_same(
    filled: stack.Prometheus, end_ms: int, lookback: timedelta
) -> None:
    table, wanted = frame_of_plain_json(filled.url, METRIC, end_ms, lookback)
    by = make_reader(filled.url, lookback, chunks_from_steps=NEVER, points_per_answer=1_000)
    assert_same(read(by, METRIC, end_ms, table), wanted, table)
    table, wanted = frame_of_plain_json(filled.url, f"{METRIC} * 2", end_ms, lookback)
    assert_same(read(by, f"{METRIC} * 2", end_ms, table), wanted, table)
    assert by.roads_taken == {"chunks": 0, "json": 2}
