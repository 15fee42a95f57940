from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from exporter import access, messages, serving, telemetry
from tests import conftest, stack
from tests.exporter import server

PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
Start = Callable[..., server.Child]


@pytest.fixture
def start(tmp_path: pathlib.Path, free_port: Callable[[], int]) -> Iterator[Start]:
    children = []

    def make(config: str = "", **env: str) -> server.Child:
        children.append(server.Child(tmp_path, free_port(), config, env))
        return children[-1]

    yield make
    for child in children:
        child.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.Child]:
    child = server.Child(tmp_path_factory.mktemp("exporter"), stack.free_port())
    yield child
    child.stop()


def test_text_is_served_by_default_and_parses(shared: server.Child) -> None:
    answer, body = shared.get()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {metric.name for metric in plain(body.decode())}
    assert {"node_cpu_seconds", "node_load1", "exporter_build_info", "process_open_fds"} <= names


def test_prometheus_is_served_openmetrics_gzipped(shared: server.Child) -> None:
    answer, body = shared.get(accept=PROMETHEUS_ACCEPT, accept_encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    text = gzip.decompress(body).decode()
    families = list(openmetrics(text))  # type: ignore[no-untyped-call]
    assert text.endswith("# EOF\n")
    assert len(families) > 100


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0,*/*", False),
        ("application/openmetrics-text;q=x", False),
        (PROMETHEUS_ACCEPT, True),
    ],
)
def test_the_format_is_what_the_client_prefers(accept: str, is_openmetrics: bool) -> None:
    assert messages.wants_openmetrics(accept) is is_openmetrics


@pytest.mark.parametrize(
    ("encoding", "is_gzip"),
    [("", False), ("gzip", True), ("gzip;q=0", False), ("*", True), ("br, gzip;q=0.5", True)],
)
def test_gzip_is_used_only_where_it_is_taken(encoding: str, is_gzip: bool) -> None:
    assert messages.accepts_gzip(encoding) is is_gzip


def test_one_connection_serves_many_scrapes_and_no_descriptor_leaks(shared: server.Child) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=10)
    counts = []
    for _ in range(40):
        connection.request("GET", "/metrics")
        assert connection.getresponse().read()
        counts.append(shared.open_fds())
    connection.close()
    assert counts[5] == counts[-1]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 200),
        ("/-/healthy", "GET", 200),
        ("/metrics", "HEAD", 200),
        ("/metrics/", "GET", 404),
        ("/absent", "GET", 404),
        ("/metrics", "POST", 405),
        ("/metrics", "DELETE", 405),
        ("/metrics?collect[]=nope", "GET", 400),
    ],
)
def test_paths_and_methods(shared: server.Child, path: str, method: str, status: int) -> None:
    answer, body = shared.get(path, method)
    assert answer.status == status
    assert (method == "HEAD") == (body == b"")


def test_collectors_and_families_can_be_chosen(shared: server.Child) -> None:
    _, body = shared.get("/metrics?collect[]=loadavg&collect[]=time")
    assert b"node_load15 " in body
    assert b"node_cpu" not in body
    _, body = shared.get("/metrics?name[]=node_load1&name[]=node_load5")
    assert [line.split()[2] for line in body.decode().splitlines() if "HELP" in line] == [
        "node_load1",
        "node_load5",
    ]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /?" + b"a=1&" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 20000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_a_bad_request_is_answered_and_closed(
    shared: server.Child, sent: bytes, status: int
) -> None:
    assert shared.raw(sent).startswith(b"HTTP/1.1 %d " % status)


def test_pipelined_requests_are_answered_in_order(shared: server.Child) -> None:
    received = shared.raw(
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /metrics?collect[]=loadavg HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /absent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    places = [received.index(part) for part in (b"Healthy.", b"node_load1 ", b"404 Not Found")]
    assert places == sorted(places)


def test_http_1_0_is_closed_after_the_answer(shared: server.Child) -> None:
    assert b"Connection: close" in shared.raw(b"GET /-/healthy HTTP/1.0\r\n\r\n")


def test_a_client_that_goes_away_or_dawdles_holds_up_nobody(shared: server.Child) -> None:
    dawdling = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(50)]
    for client in dawdling:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHo")
    for client in dawdling[:25]:
        client.close()
    started = time.monotonic()
    assert shared.get()[0].status == 200
    assert time.monotonic() - started < 2
    for client in dawdling[25:]:
        client.close()


class Nowhere(serving.Site):
    """A site that no request of this test reaches."""

    def __init__(self) -> None:
        pass


def test_a_head_that_does_not_come_in_time_is_answered_408() -> None:
    own = telemetry.Telemetry()

    async def dawdle() -> bytes:
        connections = serving.Connections(Nowhere(), own, head_timeout_s=0.1)
        loop = asyncio.get_running_loop()
        async with await loop.create_server(connections.make, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHo")
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer

    assert asyncio.run(dawdle()).startswith(b"HTTP/1.1 408 ")
    assert own.requests["408"] == 1


def test_prometheus_scrapes_it_without_complaint(
    shared: server.Child, prometheus: conftest.MakePrometheus
) -> None:
    config = (
        "global: {scrape_interval: 1s}\nscrape_configs:\n"
        f"- {{job_name: exporter, static_configs: [{{targets: ['127.0.0.1:{shared.port}']}}]}}\n"
    )
    server_ = prometheus(config)
    stack.wait_until(lambda: server_.query("up == 1"), 20, "a scrape that worked")
    assert float(server_.query("scrape_samples_scraped")[0]["value"][1]) > 200
    assert server_.query('node_cpu_seconds_total{mode="idle",cpu="0"}')
    answer = requests.get(f"{server_.url}/api/v1/metadata?metric=node_vmstat_pgfault", timeout=10)
    assert answer.json()["data"]["node_vmstat_pgfault"][0]["type"] == "unknown"


def test_beyond_its_limit_of_connections_new_ones_are_closed(start: Start) -> None:
    child = start()

    def is_refused() -> bool:
        try:
            child.get("/-/healthy")
        except (ConnectionError, http.client.RemoteDisconnected):
            return True
        return False

    with contextlib.ExitStack() as clients:
        for _ in range(256):
            clients.enter_context(socket.create_connection(("127.0.0.1", child.port)))
        stack.wait_until(is_refused, 10, "one to be refused, when all are accepted")
    stack.wait_until(lambda: child.get("/-/healthy")[0].status == 200, 10, "room again")


def test_memory_stays_under_40_mib_and_numpy_is_never_loaded(start: Start) -> None:
    child = start()
    for _ in range(50):
        child.get(accept=PROMETHEUS_ACCEPT, accept_encoding="gzip")
    assert child.status("VmRSS") < 40 * 1024
    assert "numpy" not in pathlib.Path(f"/proc/{child.process.pid}/maps").read_text()


def test_basic_auth_by_hash_and_by_file(start: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "password").write_text("from file\n")
    users = {
        "prom": {"password_hash": access.hash_password("pa:ss")},
        "file": {"password_file": str(tmp_path / "password")},
    }
    child = start(f"auth: {{users: {json.dumps(users)}}}\n")

    def status(credentials: str) -> int:
        field = "Basic " + base64.b64encode(credentials.encode()).decode()
        return child.get(authorization=field)[0].status

    assert status("prom:pa:ss") == 200
    assert status("file:from file") == 200
    assert status("file:wrong") == 401
    assert status("prom:wrong") == 401
    assert status("nobody:pa:ss") == 401
    assert status("prom:pa:ss") == 200  # remembered, though guesses came meanwhile
    answer, _ = child.get()
    assert (answer.status, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    for field in ("Basic ???", "Basic", "Bearer x", "Basic /w=="):
        assert child.get(authorization=field)[0].status == 401
    assert child.get("/-/healthy")[0].status == 200


def test_bearer_token_from_a_secret_file(start: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    child = start(EXPORTER_AUTH__BEARER_TOKEN_FILE=str(tmp_path / "token"))
    assert child.get(authorization="Bearer s3cret")[0].status == 200
    assert child.get(authorization="Bearer s3cre")[0].status == 401
    assert child.get(authorization="Basic s3cret")[0].status == 401
    assert child.get()[0].headers["WWW-Authenticate"].startswith("Bearer")
    child.stop()
    assert "s3cret" not in child.log.read_text()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_with_a_certificate_of_its_own(start: Start, tmp_path: pathlib.Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    child = start(f"tls: {{cert_file: {cert}, key_file: {key}}}\n")
    context = ssl.create_default_context(cafile=str(cert))
    url = f"https://127.0.0.1:{child.port}/metrics"
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        assert b"node_load1 " in answer.read()
    with pytest.raises((OSError, http.client.HTTPException)):
        child.get()


def test_sigterm_ends_it_with_0_even_while_clients_are_connected(start: Start) -> None:
    child = start()
    clients = [socket.create_connection(("127.0.0.1", child.port)) for _ in range(5)]
    clients[0].sendall(b"GET /metrics HT")
    started = time.monotonic()
    assert child.stop() == 0
    assert time.monotonic() - started < 10
    assert 'msg="stopped"' in child.log.read_text()
    for client in clients:
        client.close()


def test_a_taken_port_is_one_line_with_the_way_out(
    shared: server.Child, tmp_path: pathlib.Path
) -> None:
    env = {**os.environ, "EXPORTER_LISTEN_ADDRESS": f"127.0.0.1:{shared.port}"}
    ran = subprocess.run(
        [sys.executable, "-m", "exporter"], env=env, capture_output=True, text=True, timeout=30
    )
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert f"127.0.0.1:{shared.port}: another program listens there" in ran.stderr
    assert "EXPORTER_LISTEN_ADDRESS" in ran.stderr


def test_promtool_finds_nothing_wrong_but_the_names_that_node_exporter_chose(
    shared: server.Child, stack_binaries: stack.Binaries
) -> None:
    _, body = shared.get()
    promtool = str(stack_binaries.find("promtool"))
    ran = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True)
    complaints = (ran.stdout + ran.stderr).decode().splitlines()
    ours = [line for line in complaints if not line.startswith("node_")]
    assert ours == []
