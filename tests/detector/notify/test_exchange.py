"""Requests over TLS, and what an answer is."""

from __future__ import annotations

import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from detector import messages
from detector.notify import exchange, said
from tests import certificates, faults
from tests.detector.notify import kinds


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.make(tmp_path_factory.mktemp("tls"))


def endpoint(url: str, tls: ssl.SSLContext | None = None) -> exchange.Endpoint:
    return exchange.Endpoint(
        url,
        source="test: base_url",
        scrubber=said.Scrubber(),
        clock=lambda: kinds.NOW,
        connect_timeout=timedelta(seconds=5),
        read_timeout=timedelta(seconds=5),
        tls=tls,
    )


@pytest.mark.parametrize("is_known", [True, False])
def test_only_who_is_known_is_told_anything(certificate: Path, is_known: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            heard.append(faults.read_request(secure))
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    tls = ssl.create_default_context(cafile=str(certificate)) if is_known else None
    with faults.raw_server(serve) as url:
        fate = endpoint(url.replace("http://", "https://"), tls).get("/", {"a": "b"})

    if is_known:
        assert fate == exchange.Answer(200, {"content-length": "2"}, b"OK", is_whole=True)
        assert heard[0].startswith(b"GET /?a=b HTTP/1.1\r\n")
    else:
        assert isinstance(fate, messages.Refused)
        assert fate.again
        assert "certificate" in fate.reason.lower()
        assert heard == []


def test_an_answer_that_is_too_long_is_not_whole() -> None:
    body = b" " * (exchange.LONGEST_BODY_BYTES + 1) + b"{}"
    with kinds.answering(faults.Planned(200, {}, body)) as server:
        fate = endpoint(server.url).get("/", {})
    assert isinstance(fate, exchange.Answer)
    assert not fate.is_whole
    assert fate.decoded() is None


def test_a_status_counts_though_its_body_breaks_off() -> None:
    with kinds.answering(faults.Planned(400, {}, b"half of it", resets=True)) as server:
        here = endpoint(server.url)
        fate = here.get("/", {})
    assert isinstance(fate, exchange.Answer)
    assert here.fault(fate, "") == messages.Refused("HTTP 400")


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        kinds.answering(faults.Planned(200)) as server,
        kinds.answering(faults.Planned(200)) as proxy,
    ):
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        endpoint(server.url).get("/", {})
        assert (len(server.received), proxy.received) == (1, [])
