"""The heartbeat URL on loopback, working and not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from detector import errors
from detector.notify import heartbeat
from tests import faults, stack

SECRET = "canary-heartbeat-5f1c"


def test_any_2xx_is_a_success() -> None:
    with faults.Receiver(faults.in_turn([faults.Planned(204)], faults.Planned(200))) as outside:
        sender = heartbeat.HeartbeatUrl(f"{outside.url}/{SECRET}?status=up")
        sender.beat("it is well")
        sender.beat("ü")
    first, second = outside.received
    assert (first.method, first.path, first.body) == ("POST", f"/{SECRET}?status=up", b"it is well")
    assert second.body == "ü".encode()


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_all_else_is_a_failure_without_the_secret(status: int) -> None:
    answer = faults.Planned(status, {"Location": "/elsewhere"}, SECRET.encode())
    with faults.Receiver(lambda _: answer) as outside:
        failed = failure_of(f"{outside.url}/{SECRET}")
    assert (failed.kind, failed.retryable) == ("status", True)
    assert str(failed) == (
        f"heartbeat URL at 127.0.0.1: answered {status}: see heartbeat.url (HEARTBEAT_URL)"
    )
    assert len(outside.received) == 1


def test_nobody_there_silence_and_nonsense_are_told_apart() -> None:
    nobody = f"http://127.0.0.1:{stack.free_port()}/{SECRET}"
    assert failure_of(nobody).kind == "unreachable"

    def silence(connection: socket.socket) -> None:
        faults.read_request(connection)
        time.sleep(2)

    def nonsense(connection: socket.socket) -> None:
        faults.read_request(connection)
        connection.sendall(b"\x00\x01 no HTTP\r\n\r\n")

    cases: list[tuple[Callable[[socket.socket], None], str]] = [
        (silence, "timeout"),
        (nonsense, "unreachable"),
    ]
    for serve, kind in cases:
        with faults.raw_server(serve) as url:
            assert failure_of(f"{url}/{SECRET}").kind == kind


def failure_of(url: str) -> errors.UpstreamError:
    """What beating there raises, in whose whole traceback the secret is not."""
    sender = heartbeat.HeartbeatUrl(
        url, connect_timeout=timedelta(seconds=1), read_timeout=timedelta(seconds=0.3)
    )
    with pytest.raises(errors.UpstreamError) as caught:
        sender.beat("it is well")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert SECRET not in str(caught.value)
    return caught.value
