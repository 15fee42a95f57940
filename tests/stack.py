"""Real Prometheus, Alertmanager and PostgreSQL as our own children, on free loopback ports.

Every server dies with the test process (detector.stack.execute), whatever ends that process.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pathlib
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg2
import requests

from detector.stack import children, debian, postgres

T = TypeVar("T")
POLL_S = 0.05
READY_TIMEOUT_S = 30.0

PROMETHEUS_CONFIG = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
storage: {tsdb: {out_of_order_time_window: 1h}}
"""
ALERTMANAGER_CONFIG = """\
route: {receiver: nobody}
receivers: [{name: nobody}]
"""

_given_ports: set[int] = set()


def free_port() -> int:
    """A loopback port that was free a moment ago and is given once in this process."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true answer of predicate, asked again and again for at most timeout_s.

    A refused or broken connection (OSError, which requests' errors are) counts as "not yet".
    Raises TimeoutError that says what was awaited and the last answer.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last: object
        try:
            answer = predicate()
            if answer:
                return answer
            last = answer
        except OSError as exc:
            last = exc
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s} s for {what}; the last answer was {last!r}")
        time.sleep(POLL_S)


class Binaries:
    """The stack's programs, each looked for once: `binaries.find("promtool")`."""

    def __init__(self, source: debian.Source) -> None:
        self.source = source
        self.find = functools.cache(source.find)

    @property
    def suite(self) -> debian.Suite:
        return self.source.suite


class Server:
    """One server; kill9() and restart() keep its port and data folder."""

    def __init__(
        self,
        program: children.Program,
        url: str,
        is_ready: Callable[[], bool],
        folder: pathlib.Path,
    ) -> None:
        self.url = url
        self.folder = folder
        self.child = children.Child(program)
        self._is_ready = is_ready

    def start(self) -> None:
        """Start and wait until it serves."""
        self.child.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_until(self._ready_or_dead, READY_TIMEOUT_S, f"{self.child.program.name} to serve")

    def _ready_or_dead(self) -> bool:
        if not self.child.is_running():
            raise AssertionError(
                f"{self.child.program.name} ended with {self.child.poll()}: "
                + "\n".join(self.child.last_lines(20))
            )
        return self._is_ready()

    def stop(self) -> None:
        """End it in order."""
        self.child.stop()

    def kill9(self) -> None:
        """Kill it; its port is closed when this returns."""
        self.child.kill9()

    def restart(self) -> None:
        """Stop it if it still runs, start it again, wait until it serves."""
        self.child.stop()
        self.start()


def http_ready(url: str) -> Callable[[], bool]:
    """Whether a GET of url is answered with 200."""
    return lambda: requests.get(url, timeout=2).status_code == 200


class Prometheus(Server):
    """Prometheus with its configuration file at hand."""

    config_path: pathlib.Path

    def reload(self, config_text: str | None = None) -> requests.Response:
        """The answer to a reload, after the configuration was rewritten when one is given."""
        if config_text is not None:
            self.config_path.write_text(config_text)
        return requests.post(f"{self.url}/-/reload", timeout=10)

    def query(self, expr: str, **parameters: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = requests.get(
            f"{self.url}/api/v1/query", params={"query": expr, **parameters}, timeout=10
        )
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result


def prometheus(
    binary: pathlib.Path,
    folder: pathlib.Path,
    config_text: str = PROMETHEUS_CONFIG,
    flags: Sequence[str] = (),
    port: int | None = None,
    *,
    takes_writes: bool = True,
) -> Prometheus:
    """A Prometheus that is not started yet; `{port}` in config_text becomes its own port."""
    port = port or free_port()
    config = folder / "prometheus.yml"
    config.write_text(config_text.replace("{port}", str(port)))
    url = f"http://127.0.0.1:{port}"
    program = children.Program(
        name="prometheus",
        argv=[
            str(binary),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            *(["--web.enable-remote-write-receiver"] if takes_writes else []),
            "--web.enable-lifecycle",
            *flags,
        ],
        log_path=folder / "prometheus.log",
        cwd=debian.working_folder(binary),
    )
    server = Prometheus(program, url, http_ready(f"{url}/-/ready"), folder)
    server.config_path = config
    return server


def alertmanager(
    binary: pathlib.Path,
    folder: pathlib.Path,
    config_text: str = ALERTMANAGER_CONFIG,
    flags: Sequence[str] = (),
    port: int | None = None,
) -> Server:
    """An Alertmanager, without gossip, that is not started yet."""
    port = port or free_port()
    config = folder / "alertmanager.yml"
    config.write_text(config_text.replace("{port}", str(port)))
    url = f"http://127.0.0.1:{port}"
    program = children.Program(
        name="alertmanager",
        argv=[
            str(binary),
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            *flags,
        ],
        log_path=folder / "alertmanager.log",
        cwd=debian.working_folder(binary),
    )
    return Server(program, url, http_ready(f"{url}/-/ready"), folder)


class Postgres(Server):
    """PostgreSQL; `url` is SQLAlchemy's, of the empty database `mda`."""

    place: postgres.Place
    _numbers: Iterator[int]

    def database(self, template: str = "template1") -> str:
        """The URL of a new database, a copy of template (nobody may be connected to that)."""
        name = f"copy_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.place.url(name)

    def template(self, name: str, fill: Callable[[str], None]) -> str:
        """Make the database `name` by fill(url), such as migrations; database(name) copies it."""
        self.execute(f"CREATE DATABASE {name}")
        fill(self.place.url(name))
        return name

    def drop(self, url: str) -> None:
        """Remove a database made by database(), cutting off who is still connected."""
        name = url.split("?")[0].rsplit("/", 1)[1]
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction, in the database `mda`."""
        connection = psycopg2.connect(
            host=str(self.place.socket_dir), user=postgres.DATABASE, dbname=postgres.DATABASE
        )
        with contextlib.closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)


def postgresql(home: pathlib.Path) -> Postgres:
    """A PostgreSQL of its own below home, not started yet."""
    place = postgres.prepare(home, lambda _: None)
    program = postgres.program(place, home / "postgres.log")
    server = Postgres(program, place.url(), lambda: postgres.is_ready(place), place.folder)
    server.place = place
    server._numbers = itertools.count(1)
    return server


class Detector(Server):
    """`python -m detector serve`, not started yet, in an environment of its own; env adds to its
    settings or replaces them."""

    def __init__(self, server: Prometheus, database_url: str, **env: str) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self.home = server.folder / f"home-{port}"
        program = children.Program(
            name="detector",
            argv=[sys.executable, "-m", "detector", "serve"],
            log_path=server.folder / f"detector-{port}.log",
            cwd=server.folder,
            env={
                "PATH": os.defpath,
                "MDA_HOME": str(self.home),
                "MDA_LISTEN_ADDRESS": f"127.0.0.1:{port}",
                "MDA_PROMETHEUS__URL": server.url,
                "MDA_PRESETS": "[]",
                "DATABASE_URL": database_url,
                **env,
            },
        )
        super().__init__(program, url, http_ready(f"{url}/-/healthy"), server.folder)

    def metrics(self) -> str:
        """What its /metrics says."""
        return requests.get(f"{self.url}/metrics", timeout=20).text
