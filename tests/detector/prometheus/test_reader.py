"""The reader against servers that fail in every way; the call after a failure works."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from detector import errors, frames
from detector.prometheus import connection, matrix_kernels, reader
from tests import faults

AT_MS = 1_800_000_000_000


def reader_of(
    url: str, timeout_s: float = 5.0, auth: connection.Auth | None = None
) -> reader.Reader:
    return reader.Reader(
        url,
        timeout=timedelta(seconds=timeout_s),
        auth=auth,
        lookback=timedelta(minutes=5),
        clock=time.monotonic,
    )


def vector(*values: str, **extra: object) -> bytes:
    result = [
        {"metric": {"__name__": "m", "i": str(number)}, "value": [AT_MS / 1000, value]}
        for number, value in enumerate(values)
    ]
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": result}, **extra},
        separators=(",", ":"),
    ).encode()


def failure(error_type: str) -> bytes:
    return json.dumps({"status": "error", "errorType": error_type, "error": "the\nreason"}).encode()


def instant(by: reader.Reader, table: frames.SeriesTable | None = None) -> list[float]:
    table = frames.SeriesTable() if table is None else table
    return list(map(float, by.read_instant("m", at_ms=AT_MS, table=table)))


def a_range(by: reader.Reader) -> frames.Frame:
    return by.read_range(
        "m", start_ms=AT_MS, end_ms=AT_MS + 60_000, step_ms=60_000, table=frames.SeriesTable()
    )


GOOD = faults.Planned(200, body=vector("1.5"))
REFUSALS = [
    (200, b'{"status":"success","data":{"resultTy', "decode", True),
    (200, b"<html>login</html>", "decode", True),
    (200, b"", "decode", True),
    (200, vector("1").replace(b"vector", b"scalar"), "query", False),
    (200, failure("internal"), "status", False),
    (400, failure("bad_data"), "query", False),
    (422, failure("execution"), "query", False),
    (503, failure("timeout"), "timeout", True),
    (503, failure("unavailable"), "status", True),
    (502, b"<html>Bad Gateway</html>", "status", True),
    (500, b"x" * 1_000_000, "status", True),
    (302, b"", "status", False),
    (401, b"no", "refused", False),
    (403, b"no", "refused", False),
]
READS: list[Callable[[reader.Reader], object]] = [instant, a_range]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("status", "body", "kind", "retryable"), REFUSALS)
def test_a_refusal_has_its_kind_and_the_next_call_works(
    status: int, body: bytes, kind: str, retryable: bool, read: Callable[[reader.Reader], object]
) -> None:
    plan = faults.in_turn([faults.Planned(status, body=body)], GOOD)
    with faults.Receiver(plan) as server:
        by = reader_of(server.url)
        with pytest.raises(errors.UpstreamError) as caught:
            read(by)
        assert (caught.value.kind, "\n" in str(caught.value)) == (kind, False)
        assert caught.value.retryable is retryable or status == 200
        assert len(str(caught.value)) < 700
        assert instant(by) == [1.5]


def test_a_value_that_is_no_number_is_unreadable() -> None:
    with (
        faults.Receiver(lambda _: faults.Planned(200, body=vector("one"))) as server,
        pytest.raises(errors.UpstreamError) as caught,
    ):
        instant(reader_of(server.url))
    assert caught.value.kind == "decode"


def test_warnings_do_not_stop_an_answer() -> None:
    answer = faults.Planned(200, body=vector("2", warnings=["partial"], infos=["x"]))
    with faults.Receiver(lambda _: answer) as server:
        assert instant(reader_of(server.url)) == [2.0]


def test_values_are_read_exactly_and_strange_ones_too() -> None:
    texts = ["NaN", "+Inf", "-Inf", "-0", "0", "5e-324", "1.7976931348623157e+308", "0.1"]
    with faults.Receiver(lambda _: faults.Planned(200, body=vector(*texts))) as server:
        got = np.array(instant(reader_of(server.url)))
    assert (
        got.view(np.int64).tolist() == np.array([float(t) for t in texts]).view(np.int64).tolist()
    )
    assert math.copysign(1, got[3]) == -1


def test_a_series_keeps_its_row_and_a_missing_one_is_nan() -> None:
    table = frames.SeriesTable()
    plan = faults.in_turn([faults.Planned(200, body=vector("1", "2"))], GOOD)
    with faults.Receiver(plan) as server:
        by = reader_of(server.url)
        assert instant(by, table) == [1.0, 2.0]
        again = instant(by, table)
    assert again[0] == 1.5
    assert math.isnan(again[1])
    assert len(table) == 2


def _half(connected: socket.socket) -> None:
    faults.read_request(connected)
    connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + vector("1")[:40])


def _half_chunked(connected: socket.socket) -> None:
    faults.read_request(connected)
    connected.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")


def _reset(connected: socket.socket) -> None:
    faults.read_request(connected)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _silent(connected: socket.socket) -> None:
    while connected.recv(1 << 16):
        pass


def _drip(connected: socket.socket) -> None:
    faults.read_request(connected)
    connected.settimeout(0.02)
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
        connected.sendall(bytes((byte,)))
        try:
            connected.recv(1)
            return
        except TimeoutError:
            continue


FAULTS = [
    (_half, {"decode"}),
    (_half_chunked, {"decode"}),
    (_reset, {"unreachable"}),
    (_silent, {"timeout"}),
    (_drip, {"timeout"}),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("serve", "kinds"), FAULTS)
def test_a_broken_connection_is_an_error_in_time(
    serve: Callable[[socket.socket], None], kinds: set[str], read: Callable[[reader.Reader], object]
) -> None:
    began = time.monotonic()
    with faults.raw_server(serve) as url:
        with pytest.raises(errors.UpstreamError) as caught:
            read(reader_of(url, timeout_s=0.5))
        assert caught.value.kind in kinds
        assert caught.value.retryable
    assert time.monotonic() - began < 3


def test_an_idle_connection_that_was_closed_is_opened_again() -> None:
    body = vector("1.5")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    calls: list[int] = []

    def once(connected: socket.socket) -> None:
        faults.read_request(connected)
        calls.append(1)
        connected.sendall(head + body)  # and hang up without a word

    with faults.raw_server(once) as url:
        by = reader_of(url)
        assert [instant(by) for _ in range(3)] == [[1.5]] * 3
    assert len(calls) == 3


def test_nobody_listening_is_unreachable_and_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    by = reader_of(f"http://127.0.0.1:{port}")
    with pytest.raises(errors.UpstreamError, match="refused") as caught:
        instant(by)
    assert caught.value.kind == "unreachable"
    assert not by.is_ready()


def names_of(names: bytes) -> faults.Planned:
    return faults.Planned(200, body=b'{"status":"success","data":' + names + b"}")


def test_names_of_metrics_are_those_of_a_time() -> None:
    with faults.Receiver(lambda _: names_of(b'["a","b"]')) as server:
        names = reader_of(server.url).metric_names(start_ms=1_000, end_ms=2_500)
        (asked,) = server.received
    assert names == {"a", "b"}
    assert asked.path == "/api/v1/label/__name__/values?start=1.000&end=2.500"


def test_names_that_are_no_names_are_unreadable() -> None:
    with (
        faults.Receiver(lambda _: names_of(b"[1]")) as server,
        pytest.raises(errors.UpstreamError) as caught,
    ):
        reader_of(server.url).metric_names(start_ms=1_000, end_ms=2_500)
    assert caught.value.kind == "decode"


def test_the_path_prefix_and_the_credentials_go_with_each_request() -> None:
    with faults.Receiver(lambda _: GOOD) as server:
        instant(reader_of(f"{server.url}/prom/", auth=connection.Auth(bearer_token="canary")))
        instant(reader_of(server.url.replace("//", "//us%40er:p%3Aw@")))
        first, second = server.received
    assert first.path.startswith("/prom/api/v1/query?")
    assert first.headers["authorization"] == "Bearer canary"
    assert first.headers["accept-encoding"] == "identity"
    assert second.headers["authorization"] == "Basic dXNAZXI6cDp3"


def test_a_secret_in_the_url_is_in_no_message() -> None:
    for url in ("http://user:canary@127.0.0.1:1", "ftp://user:canary@host"):
        with pytest.raises(errors.MdaError) as caught:
            instant(reader_of(url))
        assert "canary" not in str(caught.value)


def test_ten_thousand_series_are_read_in_well_under_a_second() -> None:
    answer = faults.Planned(200, body=vector(*(f"{n}.25" for n in range(10_000))))
    with faults.Receiver(lambda _: answer) as server:
        by, table = reader_of(server.url), frames.SeriesTable()
        instant(by, table)
        began = time.process_time()
        values = instant(by, table)
        took = time.process_time() - began
    assert values == [n + 0.25 for n in range(10_000)]
    assert took < 0.3


NUMBERS = ["0", "-0", "1", "-1.5", "1e+06", "1.25e-07", "123456789012345680", "0.1", "1e23"]


@pytest.mark.parametrize("text", [*NUMBERS, "0.30000000000000004", "2.2250738585072014e-308"])
def test_the_compiled_reader_reads_a_number_exactly_or_leaves_it_to_float(text: str) -> None:
    body = bytearray(b'{"metric":{},"values":[[1,"%s"]]}' % text.encode())
    out, spans, hard = matrix_kernels.scratch(1)
    view = np.frombuffer(body, dtype=np.uint8)
    after = matrix_kernels.read_series(view, 0, len(view), 1000, 1000, out, spans, hard)
    assert after == len(body)
    if spans[2]:
        assert body[hard[0, 1] : hard[0, 2]].decode() == text
    else:
        assert out.view(np.int64)[0] == np.array([float(text)]).view(np.int64)[0]


def test_a_series_cut_off_anywhere_is_incomplete_and_never_misread() -> None:
    body = bytearray(b'{"metric":{"a":"}\\"{"},"values":[[1,"1.5"],[2.000,"NaN"]]}')
    out, spans, hard = matrix_kernels.scratch(2)
    view = np.frombuffer(body, dtype=np.uint8)
    for end in range(len(body)):
        assert matrix_kernels.read_series(view, 0, end, 1000, 1000, out, spans, hard) == -1
    assert matrix_kernels.read_series(view, 0, len(body), 1000, 1000, out, spans, hard) == len(body)
    assert out[0] == 1.5
    assert spans.tolist()[2] == 1
