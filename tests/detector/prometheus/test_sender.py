"""The remote write sender, line by line of what the specification asks of one."""

from __future__ import annotations

import dataclasses
import re
import socket
import struct
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.prometheus import connection, encode, writer
from tests import faults
from tests.detector.prometheus import recording

S = timedelta(seconds=1)
SPEC_RESERVED = {
    "content-type": "application/x-protobuf",
    "content-encoding": "snappy",
    "x-prometheus-remote-write-version": "0.1.0",
}


@pytest.fixture
def metrics() -> recording.Metrics:
    return recording.Metrics()


@pytest.fixture
def time() -> recording.Time:
    return recording.Time()


@pytest.fixture
def planned() -> list[faults.Planned]:
    return []


@pytest.fixture
def receiver(planned: list[faults.Planned]) -> Iterator[faults.Receiver]:
    """Answers by the test's plan, then 204."""

    def answer(_: faults.Received) -> faults.Planned:
        return planned.pop(0) if planned else recording.OK

    with faults.Receiver(answer) as server:
        yield server


@pytest.fixture
def writing(
    receiver: faults.Receiver, metrics: recording.Metrics, time: recording.Time
) -> Iterator[writer.Writer]:
    made = recording.writer_to(receiver.url, metrics, time)
    made.start()
    yield made
    made.stop(S)


def write(by: writer.Writer, series: int, steps: int = 1) -> None:
    """Scores 0, 1, 2 ... of `series` series at each of `steps` seconds, delivered."""
    values = np.arange(steps * series, dtype=np.float64).reshape(steps, series)
    times_ms = [recording.NOW_MS + 1000 * step for step in range(steps)]
    by.write("q", recording.table_of(series), recording.scores_of(values, times_ms))
    assert by.flush(recording.FLUSH)


def points(received: list[faults.Received]) -> dict[frames.Labels, list[tuple[int, float]]]:
    """All samples that came, by series, in the order of arrival."""
    found: dict[frames.Labels, list[tuple[int, float]]] = {}
    for request in received:
        for labels, samples in recording.decoded(request):
            found.setdefault(labels, []).extend(samples)
    return found


def test_a_request_carries_the_headers_of_the_protocol(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    write(writing, 1)
    (request,) = receiver.received
    assert (request.method, request.path) == ("POST", "/api/v1/write")
    assert {name: request.headers[name] for name in SPEC_RESERVED} == SPEC_RESERVED
    assert re.fullmatch(r"monitor-drift-agent/\d\S*", request.headers["user-agent"])


def test_the_body_is_one_snappy_block_without_framing(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    write(writing, 1)
    assert not receiver.received[0].body.startswith(b"\xff\x06\x00\x00sNaPpY")
    assert recording.decoded(receiver.received[0])


def test_labels_are_sorted_unique_and_not_empty(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    write(writing, 3)
    for labels in points(receiver.received):
        names = [name for name, _ in labels]
        assert names == sorted(set(names))
        assert all(name and value for name, value in labels)


def test_each_score_becomes_four_series_named_for_the_query(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    write(writing, 1)
    assert points(receiver.received) == {
        (("__name__", name), ("host", "0"), ("query", "q")): [(recording.NOW_MS, value)]
        for name, value in {
            "anomaly_score": 0.0,
            "anomaly_expected": 1.0,
            "anomaly_lower": -1.0,
            "anomaly_upper": 2.0,
        }.items()
    }


def test_every_series_is_sent_oldest_first_over_all_requests(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    write(writing, 6_000, steps=4)
    by_series = points(receiver.received)
    assert len(by_series) == 24_000
    wanted = [recording.NOW_MS + 1000 * step for step in range(4)]
    assert all([at for at, _ in samples] == wanted for samples in by_series.values())


def test_no_request_holds_more_than_ten_thousand_series_or_one_twice(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    write(writing, 6_000, steps=2)
    for request in receiver.received:
        labels = [each for each, _ in recording.decoded(request)]
        assert len(labels) == len(set(labels)) <= 10_000


def test_a_nan_score_is_never_sent(
    writing: writer.Writer, receiver: faults.Receiver, metrics: recording.Metrics
) -> None:
    stale = float(encode.stale_markers(1)[0])
    values = [[1.0, np.nan, 2.0, np.inf, -np.inf, stale]]
    scores = recording.scores_of(values, [recording.NOW_MS])
    writing.write("q", recording.table_of(6), scores)
    assert writing.flush(recording.FLUSH)
    hosts = {dict(labels)["host"] for labels in points(receiver.received)}
    assert hosts == {"0", "2"}
    assert metrics.sent == 8


def test_drift_is_written_where_it_is_told(
    writing: writer.Writer, receiver: faults.Receiver, metrics: recording.Metrics
) -> None:
    scores = recording.scores_of([[1.0, 2.0, 3.0]] * 2, [recording.NOW_MS, recording.NOW_MS + 1])
    scores.drift[0] = [0.5, np.nan, 2.0]
    writing.write("q", recording.table_of(3), scores)
    assert writing.flush(recording.FLUSH)
    drifts = {
        dict(labels)["host"]: (dict(labels)["query"], samples)
        for labels, samples in points(receiver.received).items()
        if dict(labels)["__name__"] == "drift_score"
    }
    assert drifts == {
        "0": ("q", [(recording.NOW_MS, 0.5)]),
        "2": ("q", [(recording.NOW_MS, 2.0)]),
    }
    assert metrics.sent == 26


def test_a_series_that_ends_gets_the_stale_marker_and_no_other_does(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    table = recording.table_of(3)
    writing.write_stale("q", table, [1], time_ms=recording.NOW_MS)
    assert writing.flush(recording.FLUSH)
    by_series = points(receiver.received)
    assert {dict(labels)["host"] for labels in by_series} == {"1"}
    assert len(by_series) == 5
    for ((at, value),) in by_series.values():
        assert at == recording.NOW_MS
        assert struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


def test_series_of_two_queries_may_end_at_the_same_moment(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    class Meanwhile(frames.SeriesTable):
        """One that is looked at while another query's series end too, as on another thread."""

        def __len__(self) -> int:
            if queries:
                others = recording.table_of(1)
                writing.write_stale(queries.pop(), others, [0], time_ms=recording.NOW_MS)
            return super().__len__()

    queries: list[str] = []
    table = Meanwhile()
    table.row((("__name__", "up"), ("host", "0")))
    queries += ["other", "another"]
    writing.write_stale("q", table, [0], time_ms=recording.NOW_MS)
    assert writing.flush(recording.FLUSH)
    ended = {dict(labels)["query"] for labels in points(receiver.received)}
    assert ended == {"q", "other", "another"}


def test_an_open_anomaly_is_written_with_its_kind_and_ended_by_a_marker(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    table = recording.table_of(1)
    at = recording.NOW_MS
    writing.write_active("q", table, 0, frames.Kind.SPIKE, time_ms=at, stale=False)
    writing.write_active("q", table, 0, frames.Kind.SPIKE, time_ms=at + 1, stale=True)
    assert writing.flush(recording.FLUSH)
    ((labels, samples),) = points(receiver.received).items()
    assert dict(labels) == {
        "__name__": "anomaly_active",
        "host": "0",
        "kind": "spike",
        "query": "q",
    }
    assert samples[0] == (at, 1.0)
    assert np.array([samples[1][1]]).view(np.int64)[0] == encode.STALE_BITS


def test_single_models_are_written_under_their_names_and_end_with_their_series(
    writing: writer.Writer, receiver: faults.Receiver
) -> None:
    table = frames.SeriesTable()
    table.row((("__name__", "up"), ("host", "0")))
    table.row((("__name__", "up"), ("host", "1"), ("model", "theirs")))
    at = recording.NOW_MS
    members = {"near": np.array([[0.5, np.nan]]), "knn": np.array([[1.5, 2.5]])}
    scores = dataclasses.replace(recording.scores_of([[1.0, 1.0]], [at]), members=members)
    writing.write("q", table, scores)
    writing.write_stale("q", table, [1], time_ms=at + 1)
    assert writing.flush(recording.FLUSH)
    told = {
        (dict(labels)["host"], dict(labels)["model"]): (dict(labels), samples)
        for labels, samples in points(receiver.received).items()
        if dict(labels)["__name__"] == "anomaly_model_score"
    }
    assert told["0", "near"][1] == [(at, 0.5)]
    assert told["0", "knn"][1] == [(at, 1.5)]
    labels, samples = told["1", "knn"]
    assert (labels["query"], labels["exported_model"]) == ("q", "theirs")
    assert samples[0] == (at, 2.5)
    assert np.array([samples[1][1]]).view(np.int64)[0] == encode.STALE_BITS


@pytest.mark.parametrize("status", [200, 204, 202])
def test_any_2xx_is_success_and_its_body_is_ignored(
    status: int,
    planned: list[faults.Planned],
    writing: writer.Writer,
    receiver: faults.Receiver,
    metrics: recording.Metrics,
) -> None:
    planned.append(faults.Planned(status, body=b"error: out of order"))
    write(writing, 1)
    assert len(receiver.received) == 1
    assert (metrics.sent, metrics.lost) == (4, {})


@pytest.mark.parametrize("status", [301, 401, 403, 404, 413, 418, 499])
def test_a_4xx_is_tried_once_and_counted_as_dropped(
    status: int,
    planned: list[faults.Planned],
    writing: writer.Writer,
    receiver: faults.Receiver,
    metrics: recording.Metrics,
    time: recording.Time,
) -> None:
    planned.append(faults.Planned(status, body=b"no"))
    write(writing, 1)
    assert len(receiver.received) == 1
    assert metrics.lost == {"refused": 4}
    assert time.slept == []


def test_a_400_is_never_sent_again_as_it_was_and_single_samples_once(
    writing: writer.Writer, receiver: faults.Receiver, planned: list[faults.Planned]
) -> None:
    planned.extend([faults.Planned(400, body=b"out of order sample")] * 7)
    write(writing, 1)
    bodies = [request.body for request in receiver.received]
    assert len(bodies) == len(set(bodies)) == 7  # 4, then 2 + 2, then four of 1


def test_one_bad_series_among_many_does_not_take_the_others_along(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    def answer(request: faults.Received) -> faults.Planned:
        hosts = {dict(labels)["host"] for labels, _ in recording.decoded(request)}
        return faults.Planned(400, body=b"out of bounds") if "77" in hosts else recording.OK

    with faults.Receiver(answer) as receiver:
        by = recording.writer_to(receiver.url, metrics, time)
        by.start()
        write(by, 500)
        by.stop(S)
    assert metrics.sent == 1996
    assert metrics.lost == {"refused": 4}


def test_a_wholly_bad_batch_costs_a_bounded_number_of_requests(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    with faults.Receiver(lambda _: faults.Planned(400, body=b"no")) as receiver:
        by = recording.writer_to(receiver.url, metrics, time)
        by.start()
        write(by, 2_000)
        by.stop(S)
        assert len(receiver.received) <= 65
    assert metrics.lost == {"refused": 8_000}


def test_5xx_is_retried_with_growing_jittered_pauses_until_it_works(
    planned: list[faults.Planned],
    writing: writer.Writer,
    receiver: faults.Receiver,
    metrics: recording.Metrics,
    time: recording.Time,
) -> None:
    planned.extend([faults.Planned(status, body=b"later") for status in (500, 503, 502, 504) * 2])
    write(writing, 1)
    assert len({request.body for request in receiver.received}) == 1
    assert len(receiver.received) == 9
    assert (metrics.sent, metrics.retries) == (4, 8)
    longest = [min(0.5 * 2**number, 30.0) for number in range(8)]
    shares = [slept / most for slept, most in zip(time.slept, longest, strict=True)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert len(set(shares)) > 1


def test_batches_stay_in_order_while_the_first_is_retried(
    planned: list[faults.Planned], writing: writer.Writer, receiver: faults.Receiver
) -> None:
    planned.extend([faults.Planned(503)] * 3)
    write(writing, 1, steps=3)
    accepted = points(receiver.received[3:])
    assert all([at for at, _ in each] == sorted(at for at, _ in each) for each in accepted.values())
    assert {len(each) for each in accepted.values()} == {3}


@pytest.mark.parametrize(
    ("header", "at_least_s"),
    [("2", 2.0), ("Fri, 15 Jan 2027 08:00:07 GMT", 7.0), ("99999999", 300.0), ("soon", 0.0)],
)
def test_429_waits_as_long_as_the_server_asks(
    header: str,
    at_least_s: float,
    planned: list[faults.Planned],
    writing: writer.Writer,
    time: recording.Time,
    metrics: recording.Metrics,
) -> None:
    planned.append(faults.Planned(429, {"Retry-After": header}))
    write(writing, 1)
    (slept,) = time.slept
    assert at_least_s <= slept <= max(at_least_s, 0.5)
    assert metrics.sent == 4


def test_a_500_for_ever_is_given_up_and_the_queue_moves_on(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    def answer(request: faults.Received) -> faults.Planned:
        hosts = {dict(labels)["host"] for labels, _ in recording.decoded(request)}
        return faults.Planned(500, body=b"too old sample") if "1" in hosts else recording.OK

    with faults.Receiver(answer) as receiver:
        by = recording.writer_to(receiver.url, metrics, time)
        by.start()
        write(by, 3, steps=2)
        by.stop(S)
    assert metrics.lost == {"failed": 8}
    assert metrics.sent == 16


def test_what_waits_too_long_is_given_up(
    planned: list[faults.Planned],
    receiver: faults.Receiver,
    metrics: recording.Metrics,
    time: recording.Time,
) -> None:
    planned.extend([faults.Planned(503)] * 500)
    by = recording.writer_to(receiver.url, metrics, time, max_age=timedelta(minutes=10))
    by.start()
    write(by, 1)
    by.stop(S)
    assert metrics.lost == {"too_old": 4}
    assert 600 <= sum(time.slept) < 640


def test_a_sample_of_the_future_is_never_on_the_wire(
    writing: writer.Writer, receiver: faults.Receiver, metrics: recording.Metrics
) -> None:
    times_ms = [recording.NOW_MS + 59_000, recording.NOW_MS + 61_000]
    writing.write("q", recording.table_of(1), recording.scores_of([[1.0], [2.0]], times_ms))
    assert writing.flush(recording.FLUSH)
    sent = {at for samples in points(receiver.received).values() for at, _ in samples}
    assert sent == {times_ms[0]}
    assert metrics.lost == {"future": 4}


def test_the_oldest_samples_go_when_the_queue_is_full(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    with faults.Receiver(lambda _: recording.OK) as receiver:
        by = recording.writer_to(receiver.url, metrics, time, queue_samples=12)
        values = np.arange(5.0).reshape(5, 1)
        times_ms = [recording.NOW_MS + number for number in range(5)]
        by.write("q", recording.table_of(1), recording.scores_of(values, times_ms))
        assert metrics.lost == {"full": 8}
        by.start()
        assert by.flush(recording.FLUSH)
        by.stop(S)
        times = {at for samples in points(receiver.received).values() for at, _ in samples}
    assert times == set(times_ms[2:])
    assert metrics.most_waiting <= 16
    assert metrics.waiting == 0


def test_the_servers_words_are_logged_as_they_are_and_once(
    planned: list[faults.Planned], writing: writer.Writer, caplog: pytest.LogCaptureFixture
) -> None:
    planned.extend([faults.Planned(503, body=b'say "what" {now}')] * 3)
    write(writing, 1)
    said = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [vars(record)["reason"] for record in said] == ['say "what" {now}']


def test_a_large_error_body_is_not_read_to_its_end(
    planned: list[faults.Planned], writing: writer.Writer, metrics: recording.Metrics
) -> None:
    planned.append(faults.Planned(503, body=b"x" * 20_000_000))
    write(writing, 1)
    assert metrics.sent == 4


BROKEN = (
    b"",
    b"HTTP/1.1 2",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nhal",
)


@pytest.mark.parametrize("answer", BROKEN)
def test_the_sender_survives_broken_answers(
    answer: bytes, metrics: recording.Metrics, time: recording.Time
) -> None:
    calls: list[int] = []

    def serve(connected: socket.socket) -> None:
        head = faults.read_request(connected)
        calls.append(len(head))
        good = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        connected.sendall(answer if len(calls) < 3 else good)

    with faults.raw_server(serve) as url:
        by = recording.writer_to(url, metrics, time)
        by.start()
        write(by, 1)
        write(by, 1)
        by.stop(S)
    assert metrics.sent == 8
    assert metrics.retries >= 1


def test_the_sender_survives_a_refused_connection_and_a_silent_server(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    with faults.raw_server(say_nothing) as url:
        by = recording.writer_to(
            url, metrics, time, timeout=timedelta(milliseconds=50), max_age=timedelta(seconds=5)
        )
        by.start()
        write(by, 1)
    write(by, 1)  # nobody listens any more
    by.stop(S)
    assert metrics.lost == {"too_old": 8}


def say_nothing(connected: socket.socket) -> None:
    """Take what comes until the other side hangs up."""
    while connected.recv(1 << 20):
        pass


def test_stop_returns_in_time_though_the_server_is_silent(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    with faults.raw_server(say_nothing) as url:
        by = recording.writer_to(url, metrics, time, timeout=timedelta(seconds=60))
        by.start()
        scores = recording.scores_of([[1.0]], [recording.NOW_MS])
        by.write("q", recording.table_of(1), scores)
        assert not by.stop(timedelta(seconds=1))


def test_secrets_are_in_no_message(
    metrics: recording.Metrics, time: recording.Time, caplog: pytest.LogCaptureFixture
) -> None:
    with faults.Receiver(lambda _: faults.Planned(401, body=b"who?")) as receiver:
        url = receiver.url.replace("://", "://user:canary@")
        by = recording.writer_to(url, metrics, time)
        by.start()
        write(by, 1)
        by.stop(S)
        assert receiver.received[0].headers["authorization"].startswith("Basic ")
    assert "canary" not in caplog.text + repr([vars(record) for record in caplog.records])
    assert "canary" not in repr(connection.Auth("user", "canary", "canary"))


def v2_answer(request: faults.Received) -> faults.Planned:
    count = sum(len(samples) for _, samples in recording.decoded_v2(request))
    return faults.Planned(204, {"X-Prometheus-Remote-Write-Samples-Written": str(count)})


def test_version_2_is_kept_where_the_server_counts_what_it_wrote(
    metrics: recording.Metrics, time: recording.Time
) -> None:
    with faults.Receiver(v2_answer) as receiver:
        by = recording.writer_to(receiver.url, metrics, time, encode.Protocol.V2)
        by.start()
        write(by, 10, steps=2)
        by.stop(S)
        requests = receiver.received
    assert {each.headers["x-prometheus-remote-write-version"] for each in requests} == {"2.0.0"}
    assert {each.headers["content-type"] for each in requests} == {
        "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    }
    labels, samples = recording.decoded_v2(requests[0])[0]
    assert labels == (("__name__", "anomaly_score"), ("host", "0"), ("query", "q"))
    assert samples == [(recording.NOW_MS, 0.0)]
    assert metrics.sent == 80


@pytest.mark.parametrize("status", [204, 415, 400])
def test_version_1_is_used_and_remembered_where_2_is_not_understood(
    status: int, metrics: recording.Metrics, time: recording.Time
) -> None:
    def answer(request: faults.Received) -> faults.Planned:
        is_v2 = request.headers["x-prometheus-remote-write-version"] == "2.0.0"
        return faults.Planned(status if is_v2 else 204)

    with faults.Receiver(answer) as receiver:
        by = recording.writer_to(receiver.url, metrics, time, encode.Protocol.V2)
        by.start()
        write(by, 1)
        write(by, 1)
        by.stop(S)
        versions = [each.headers["x-prometheus-remote-write-version"] for each in receiver.received]
    assert versions == ["2.0.0", "0.1.0", "0.1.0"]
    assert metrics.sent == 8
