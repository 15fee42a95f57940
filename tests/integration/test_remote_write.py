"""What real Prometheus servers do to the writer, and what the writer makes of it."""

from __future__ import annotations

import threading
import time as clocks
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest
import requests

from detector import frames
from detector.prometheus import encode, reader, writer
from tests import conftest, remote, stack
from tests.detector.prometheus import recording

NO_WINDOW = "global: {scrape_interval: 1s}\n"
WINDOW = "global: {scrape_interval: 1s}\nstorage: {tsdb: {out_of_order_time_window: 1h}}\n"
S = timedelta(seconds=1)
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


@pytest.fixture
def now_ms() -> int:
    """Whole seconds, so that PromQL's times are exact."""
    return int(clocks.time()) * 1000


@pytest.fixture
def metrics() -> recording.Metrics:
    return recording.Metrics()


MakeWriter = Callable[[str], writer.Writer]


@pytest.fixture
def write_to(metrics: recording.Metrics) -> Iterator[MakeWriter]:
    """write_to(url): a writer that runs on the real clock and does not sleep for long."""
    made: list[writer.Writer] = []
    stopping = threading.Event()

    def make(url: str) -> writer.Writer:
        made.append(
            writer.Writer(
                url,
                timeout=timedelta(seconds=10),
                auth=None,
                metrics=metrics,
                clock=clocks.time,
                wait=lambda seconds: stopping.wait(min(seconds, 0.05)),
            )
        )
        made[-1].start()
        return made[-1]

    yield make
    stopping.set()
    for each in made:
        each.stop(S)


def write(by: writer.Writer, series: int, time_ms: int, value: float = 1.0) -> None:
    values = np.full((1, series), value)
    by.write("q", recording.table_of(series), recording.scores_of(values, [time_ms]))
    assert by.flush(timedelta(seconds=30))


def count(server: stack.Prometheus, expr: str, at_ms: int) -> float:
    result = server.query(f"count({expr})", time=str(at_ms / 1000))
    return float(result[0]["value"][1]) if result else 0.0


@pytest.fixture(params=[NO_WINDOW, WINDOW], ids=["no window", "window of 1h"])
def config(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_scores_arrive_and_an_exact_duplicate_is_accepted(
    prometheus: conftest.MakePrometheus,
    config: str,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    server = prometheus(config)
    by = write_to(server.url)
    write(by, 20, now_ms, 0.1 + 0.2)
    write(by, 20, now_ms, 0.1 + 0.2)
    assert (metrics.sent, metrics.lost) == (160, {})
    result = server.query("anomaly_score", time=str(now_ms / 1000))
    assert len(result) == 20
    assert {each["value"][1] for each in result} == {"0.30000000000000004"}


def test_another_value_at_the_same_time_is_refused_and_counted(
    prometheus: conftest.MakePrometheus,
    config: str,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    by = write_to(prometheus(config).url)
    write(by, 1, now_ms, 1.0)
    write(by, 1, now_ms, 2.0)
    assert (metrics.sent, metrics.lost) == (4, {"refused": 4})


def test_an_older_sample_is_kept_within_the_window_and_else_refused(
    prometheus: conftest.MakePrometheus,
    config: str,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    by = write_to(prometheus(config).url)
    write(by, 1, now_ms)
    write(by, 1, now_ms - MINUTE_MS)
    kept = config == WINDOW
    assert (metrics.sent, metrics.lost) == ((8, {}) if kept else (4, {"refused": 4}))


def test_a_sample_far_too_old_is_given_up_and_the_queue_moves_on(
    prometheus: conftest.MakePrometheus,
    config: str,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    by = write_to(prometheus(config).url)
    write(by, 1, now_ms)
    write(by, 1, now_ms - 2 * HOUR_MS)
    write(by, 1, now_ms + 1000)
    assert metrics.sent == 8
    assert metrics.lost in ({"refused": 4}, {"failed": 4})


def test_one_out_of_order_series_among_500_does_not_take_the_others_along(
    prometheus: conftest.MakePrometheus,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    server = prometheus(NO_WINDOW)
    ahead = [
        (remote.labels(name, host="77", query="q"), 5.0, now_ms + 1000)
        for name in ("anomaly_score", "anomaly_expected", "anomaly_lower", "anomaly_upper")
    ]
    assert remote.push(server.url, ahead).status_code == 204
    write(write_to(server.url), 500, now_ms)
    assert (metrics.sent, metrics.lost) == (1996, {"refused": 4})
    assert count(server, "anomaly_score", now_ms) == 499


def test_a_sample_a_day_ahead_never_reaches_the_server(
    prometheus: conftest.MakePrometheus,
    config: str,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    server = prometheus(config)
    by = write_to(server.url)
    write(by, 1, now_ms + DAY_MS)
    write(by, 1, now_ms)
    assert (metrics.sent, metrics.lost) == (4, {"future": 4})
    assert count(server, "anomaly_score", now_ms) == 1


def test_a_stale_marker_ends_the_series_at_once_and_no_other(
    prometheus: conftest.MakePrometheus,
    now_ms: int,
    write_to: MakeWriter,
) -> None:
    server = prometheus()
    by = write_to(server.url)
    write(by, 3, now_ms)
    by.write_stale("q", recording.table_of(3), [1], time_ms=now_ms + 1000)
    assert by.flush(10 * S)
    left = server.query("anomaly_score", time=str(now_ms // 1000 + 1))
    assert {each["metric"]["host"] for each in left} == {"0", "2"}


def test_a_forecast_stands_at_now_and_ends_where_there_is_none_any_more(
    prometheus: conftest.MakePrometheus, now_ms: int, write_to: MakeWriter
) -> None:
    server, table = prometheus(), recording.table_of(2)
    by = write_to(server.url)
    values = np.array([[1.0, 2.0], [3.0, np.nan]])
    by.write_forecasts("q", ("2h", "1d"), table, values, time_ms=now_ms - 1000)
    values[0, 0] = np.nan
    by.write_forecasts("q", ("2h", "1d"), table, values, time_ms=now_ms)
    assert by.flush(10 * S)

    def told(at_ms: int) -> set[tuple[str, str, str]]:
        found = server.query('anomaly_forecast{query="q"}', time=str(at_ms / 1000))
        return {(e["metric"]["host"], e["metric"]["horizon"], e["value"][1]) for e in found}

    assert told(now_ms - 1000) == {("0", "2h", "1"), ("0", "1d", "2"), ("1", "2h", "3")}
    assert told(now_ms) == {("0", "1d", "2"), ("1", "2h", "3")}


def test_the_time_to_a_limit_is_written_and_ends(
    prometheus: conftest.MakePrometheus, now_ms: int, write_to: MakeWriter
) -> None:
    server, table = prometheus(), recording.table_of(2)
    by = write_to(server.url)
    by.write_exhaustion("q", table, np.array([60.0, 7.0]), time_ms=now_ms - 1000)
    by.write_exhaustion("q", table, np.array([59.0, np.nan]), time_ms=now_ms)
    assert by.flush(10 * S)
    found = server.query('anomaly_exhaustion_seconds{query="q"}', time=str(now_ms / 1000))
    assert [(e["metric"]["host"], e["value"][1]) for e in found] == [("0", "59")]


def test_other_horizons_of_a_query_take_the_place_of_those_before(
    prometheus: conftest.MakePrometheus, now_ms: int, write_to: MakeWriter
) -> None:
    server, table = prometheus(), recording.table_of(2)
    by = write_to(server.url)
    by.write_forecasts("q", ("2h",), table, np.ones((2, 1)), time_ms=now_ms - 2000)
    by.write_forecasts("q", ("2h",), table, np.full((2, 1), np.nan), time_ms=now_ms - 1999)
    by.write_forecasts("q", ("1d", "2h"), table, np.full((2, 2), 2.0), time_ms=now_ms)
    assert by.flush(10 * S)
    found = server.query('anomaly_forecast{query="q"}', time=str(now_ms / 1000))
    assert sorted((e["metric"]["horizon"], e["value"][1]) for e in found) == [
        ("1d", "2"), ("1d", "2"), ("2h", "2"), ("2h", "2"),
    ]  # fmt: skip


HOSTILE = ['quote " and \\', "line\nbreak", "emoji 🦀", "nul \x00 char", "x" * 200_000, "{}=~,"]


def test_hostile_label_values_come_back_as_they_were(
    prometheus: conftest.MakePrometheus, now_ms: int, write_to: MakeWriter
) -> None:
    server = prometheus()
    table = frames.SeriesTable()
    for value in HOSTILE:
        table.row((("__name__", "up"), ("host", value)))
    by = write_to(server.url)
    by.write("q", table, recording.scores_of(np.ones((1, len(HOSTILE))), [now_ms]))
    assert by.flush(30 * S)
    back = frames.SeriesTable()
    reads = reader.Reader(
        server.url, timeout=10 * S, auth=None, lookback=300 * S, clock=clocks.time
    )
    reads.read_instant("anomaly_score", at_ms=now_ms, table=back)
    assert {dict(labels or ())["host"] for labels in back.labels} == set(HOSTILE)


def test_a_server_killed_in_between_gets_every_sample_once_it_is_back(
    prometheus: conftest.MakePrometheus,
    now_ms: int,
    write_to: MakeWriter,
    metrics: recording.Metrics,
) -> None:
    server = prometheus()
    by = write_to(server.url)
    write(by, 50, now_ms - 10_000)
    server.kill9()
    for step in range(9):
        scores = recording.scores_of(np.full((1, 50), 1.0 + step), [now_ms - 9_000 + 1000 * step])
        by.write("q", recording.table_of(50), scores)
    assert not by.flush(timedelta(milliseconds=200))
    server.start()
    assert by.flush(30 * S)
    assert (metrics.sent, metrics.lost) == (2000, {})
    (total,) = server.query("sum(count_over_time(anomaly_score[1m]))", time=str(now_ms / 1000))
    assert total["value"][1] == "500"


def test_each_server_is_spoken_to_in_the_newest_version_it_knows(
    prometheus: conftest.MakePrometheus, now_ms: int, write_to: MakeWriter
) -> None:
    server = prometheus()
    by = write_to(server.url)
    write(by, 1, now_ms)
    wanted = encode.Protocol.V2 if _major(server) >= 3 else encode.Protocol.V1
    assert by.protocol is wanted


def _major(server: stack.Prometheus) -> int:
    build = requests.get(f"{server.url}/api/v1/status/buildinfo", timeout=5).json()
    return int(build["data"]["version"].split(".")[0])
