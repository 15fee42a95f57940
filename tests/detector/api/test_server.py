from __future__ import annotations

import contextlib
import os
import pathlib
import select
import socket
import stat
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import fastapi
import pytest
import requests

from detector import errors
from detector.api import application, auth, server
from detector.services import status
from tests.detector.api.conftest import API_TOKEN, BODY_MAX_BYTES, WEBHOOK_TOKEN, Served

HEAD = (
    "POST /api/webhooks/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    f"Authorization: Bearer {WEBHOOK_TOKEN}\r\n"
)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


def connect(served: Served) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served.port))
    connection.settimeout(10)
    return connection


def test_body_said_to_be_too_large_is_refused_before_it_is_sent(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(f"{HEAD}Content-Length: {BODY_MAX_BYTES + 1}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_body_of_unknown_length_is_refused_when_it_grows_too_large(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(BODY_MAX_BYTES // 65536 + 1):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_body_of_the_largest_size_is_read(served: Served) -> None:
    body = b'{"version":"4","alerts":[]}'
    answer = served.post(body + b" " * (BODY_MAX_BYTES - len(body)))
    assert answer.status_code == 200
    assert served.post(body + b" " * (BODY_MAX_BYTES - len(body) + 1)).status_code == 413


def test_body_is_not_read_without_a_token(served: Served) -> None:
    with connect(served) as connection:
        head = HEAD.replace(WEBHOOK_TOKEN, "wrong-token-0123456789")
        connection.sendall(f"{head}Content-Length: {BODY_MAX_BYTES}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_slow_body_is_given_up(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode() + b'{"version"')
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"not complete after 1 s" in answer


def test_slow_headers_are_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_TIMEOUT_S", 0.5)
    with connect(served) as fresh, connect(served) as used:
        used.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"healthy\n"):
            answer += used.recv(65536)
        for connection in (fresh, used):
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: ")
        began = time.monotonic()
        assert (read_all(fresh), read_all(used)) == (b"", b"")
        assert time.monotonic() - began < 5


def test_refused_body_is_not_swallowed_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_TIMEOUT_S", 0.5)
    began = time.monotonic()
    with connect(served) as connection:
        connection.sendall(f"{HEAD}Content-Length: {2**40}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 10:
                connection.sendall(b" " * 65536)
                time.sleep(0.01)
    assert time.monotonic() - began < 5


def test_long_request_is_not_taken_for_slow_headers(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_TIMEOUT_S", 0.3)
    ready = served.source.now

    def slow() -> object:
        time.sleep(0.8)
        return ready

    served.source.answer = slow  # type: ignore[assignment]
    assert served.get("/api/status").status_code == 200


def test_headers_beyond_the_limit_are_refused(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * server.HEADERS_MAX_BYTES * 2)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_not_http_is_refused_and_the_server_goes_on(served: Served, garbage: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
    assert requests.get(f"{served.url}/-/healthy", timeout=5).ok


def test_probes_are_answered_when_every_thread_is_taken(served: Served) -> None:
    let_go = threading.Event()
    now = status.Status(ready=False, reasons=("loop scoring has stalled",))
    served.source.now = now

    def wait() -> object:
        let_go.wait(20)
        return now

    served.source.answer = wait  # type: ignore[assignment]
    threads = [threading.Thread(target=served.get, args=("/api/status",)) for _ in range(60)]
    for thread in threads:
        thread.start()
    try:
        assert requests.get(f"{served.url}/-/healthy", timeout=5).ok
        assert requests.get(f"{served.url}/metrics", timeout=5).ok
        red = requests.get(f"{served.url}/-/ready", timeout=5)
    finally:
        let_go.set()
        for thread in threads:
            thread.join()

    assert red.json()["reasons"] == ["loop scoring has stalled"]


def test_idle_connections_however_many_keep_nobody_out(served: Served) -> None:
    with contextlib.ExitStack() as kept:
        for _ in range(2 * server.CONNECTIONS_MAX):
            ask(kept.enter_context(connect(served)), "/-/healthy", until=b"healthy\n")
        for path in ("/-/healthy", "/-/ready", "/metrics", "/api/status"):
            assert served.get(path).status_code == 200, path


def test_the_connection_that_was_idle_for_longest_makes_room(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
    let_go, now = threading.Event(), served.source.now

    def wait() -> object:
        let_go.wait(20)
        return now

    served.source.answer = wait  # type: ignore[assignment]
    with connect(served) as busy, connect(served) as used, connect(served) as newest:
        ask(used, "/-/healthy", until=b"healthy\n")
        ask(busy, "/api/status", API_TOKEN)
        ask(newest, "/-/healthy", until=b"healthy\n")
        ask(used, "/-/healthy", until=b"healthy\n")
        with connect(served) as another:
            ask(another, "/-/healthy", until=b"healthy\n")
            assert newest.recv(65536) == b""
        let_go.set()
        assert busy.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_beyond_the_most_requests_at_a_time_only_probes_are_answered(served: Served) -> None:
    let_go, now = threading.Event(), served.source.now

    def wait() -> object:
        let_go.wait(20)
        return now

    served.source.answer = wait  # type: ignore[assignment]
    with contextlib.ExitStack() as waiting:
        waiting.callback(let_go.set)
        sent = [waiting.enter_context(connect(served)) for _ in range(application.REQUESTS_MAX + 1)]
        for connection in sent:
            ask(connection, "/api/status", API_TOKEN)
        (refused,), _, _ = select.select(sent, [], [], 10)
        refusal = read_all(refused)
        for path in ("/-/healthy", "/-/ready", "/metrics"):
            assert requests.get(served.url + path, timeout=5).ok, path
        let_go.set()
        answers = [each.recv(65536)[:13] for each in sent if each is not refused]

    assert refusal.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in refusal
    assert b"100 requests are under way" in refusal
    assert set(answers) == {b"HTTP/1.1 200 "}


def ask(connection: socket.socket, path: str, token: str = "", until: bytes = b"") -> None:
    """Send a request on this connection, and read until the answer ends so."""
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    connection.sendall(head.encode())
    answer = b""
    while until and not answer.endswith(until):
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(served: Served) -> None:
    """With Nagle's algorithm on, each takes the 40 ms of a delayed acknowledgement, once the
    first ones of a connection, which are acknowledged at once, are over."""
    took = []
    with requests.Session() as session:
        for _ in range(31):
            began = time.monotonic()
            session.get(f"{served.url}/-/healthy", timeout=5)
            took.append(time.monotonic() - began)
    assert min(took[10:]) < 0.03


def test_address_in_use_is_one_line_with_the_way_out(served: Served) -> None:
    address = f"127.0.0.1:{served.port}"
    with pytest.raises(errors.ConfigError) as caught:
        server.Server(fastapi.FastAPI(), address).start()
    assert str(caught.value) == (
        f"listen_address: {address}: Address already in use: "
        "choose another host:port (MDA_LISTEN_ADDRESS) or free this one"
    )


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:99999", "0-65535"),
        ("192.0.2.1:80", "Cannot assign requested address"),
        ("no-such-host.invalid:80", ""),
        ("127.0.0.1:port", "invalid literal"),
    ],
)
def test_impossible_address_is_refused(address: str, reason: str) -> None:
    with pytest.raises(errors.ConfigError, match=f"^listen_address: {address}: .*{reason}"):
        server.Server(fastapi.FastAPI(), address).start()


def test_server_stops_within_5_s_though_a_request_runs_and_a_client_is_idle(
    served: Served,
) -> None:
    let_go = threading.Event()
    now = served.source.now
    arrived = threading.Event()

    def wait() -> object:
        arrived.set()
        let_go.wait(20)
        return now

    served.source.answer = wait  # type: ignore[assignment]
    asking = threading.Thread(target=quietly(lambda: served.get("/api/status")))
    asking.start()
    arrived.wait(5)
    with connect(served):
        began = time.monotonic()
        stopping = threading.Timer(1.0, let_go.set)
        stopping.start()
        assert served.running.stop(timedelta(seconds=5))
        assert time.monotonic() - began < 5
    asking.join()
    stopping.join()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", served.port))


def quietly(ask: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            ask()
        except requests.RequestException:
            return

    return run


def test_token_file_is_made_once_for_our_eyes_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "folder" / "token"
    assert auth.make_token_file(path)
    text = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not auth.make_token_file(path)
    assert path.read_text().strip() == text
    token = auth.token_from_file(path)
    assert token.is_it(text)
    assert not token.is_it(text[:-1])
    assert text not in repr(vars(token))


@pytest.mark.parametrize("content", [b"", b"short\n", b"two words of token text\n", b"\xff" * 20])
def test_unfit_token_file_is_refused_by_name(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(errors.ConfigError, match=f"^token file: {path}: ") as caught:
        auth.token_from_file(path)
    assert "words" not in str(caught.value).split("must hold")[0]


def test_missing_token_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"token file: .*/none: No such file"):
        auth.token_from_file(tmp_path / "none")
    with pytest.raises(errors.ConfigError, match="token file: "):
        auth.make_token_file(pathlib.Path(os.devnull) / "token")
