"""Fixtures shared by all tests: the real servers, and an environment without our settings."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import hypothesis
import pytest

from detector import app, config
from detector.stack import debian
from tests import stack

ROOT = pathlib.Path(__file__).resolve().parent.parent

WHOLE_STACKS = "whole stacks"

# How long an example takes says more of what else the machine does than of our code.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

# A developer's own DATABASE_URL or token must never reach a test.
for _name in [*os.environ]:
    if _name.startswith(("MDA_", "EXPORTER_")) or _name.removesuffix("_FILE") in config.BARE_NAMES:
        del os.environ[_name]


class MakePrometheus(Protocol):
    def __call__(
        self,
        config_text: str = ...,
        flags: Sequence[str] = ...,
        port: int | None = ...,
        *,
        takes_writes: bool = ...,
    ) -> stack.Prometheus: ...


class MakeAlertmanager(Protocol):
    def __call__(
        self, config_text: str = ..., flags: Sequence[str] = ..., port: int | None = ...
    ) -> stack.Server: ...


@pytest.fixture(scope="session")
def stack_binaries() -> stack.Binaries:
    """Programs of the suite that STACK names (host or next), fetched once into .cache/debian."""
    suite = debian.Suite(os.environ.get("STACK") or "host")
    say = sys.__stderr__.write if sys.__stderr__ else lambda _: 0
    return stack.Binaries(
        debian.Source(ROOT / ".cache" / "debian", suite, lambda text: void(say(f"{text}\n")))
    )


def void(_: object) -> None:
    """For a callback whose answer nobody wants."""


@pytest.fixture(scope="session")
def compiled_kernels() -> None:
    """For tests in which real time counts: no kernel is still to be compiled, which takes half a
    minute once, or to be loaded from its cache, which takes a second in each process. Programs
    that a test starts find the cache filled."""
    app.warm_up()


@pytest.fixture
def open_folder() -> Iterator[pathlib.Path]:
    """A temporary folder with a short path that every user may enter, unlike tmp_path's parents."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mda-test-"))
    folder.chmod(0o755)
    yield folder
    # A database that was being made when its maker was killed may write for another moment.
    stack.wait_until(lambda: _is_removed(folder), 10, f"{folder} to be removed")


def _is_removed(folder: pathlib.Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


class Tally(Protocol):
    def __call__(self, what: str, *, sent: int, received: int, doubled: int, lost: int) -> None: ...


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Prints what became of all that was sent, at the end of the run, and holds it to nothing
    doubled and nothing lost."""

    def count(what: str, *, sent: int, received: int, doubled: int, lost: int) -> None:
        line = f"{what}: sent {sent} received {received} doubled {doubled} lost {lost}"
        record_property("tally", line)
        assert (doubled, lost) == (0, 0), line

    return count


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole stacks take turns: two that choose their ports at once could choose the same."""
    for item in items:
        if "e2e" in item.path.parts or item.path.name == "test_up.py":
            item.add_marker(pytest.mark.xdist_group(WHOLE_STACKS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ends a run whose pytest and xdist do not heed the groups together, as 9.2 and 3.8 do not."""
    if not session.config.getoption("loadgroup", False):  # set in xdist's workers alone
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and not item.nodeid.endswith(f"@{WHOLE_STACKS}"):
            raise pytest.UsageError(f"{item.nodeid}: --dist loadgroup does not see its group")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        str(value)
        for reports in (terminalreporter.getreports(kind) for kind in ("passed", "failed"))
        for report in reports
        for name, value in report.user_properties
        if name == "tally" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("what became of what was sent")
        for line in sorted(lines):
            terminalreporter.line(line)


@pytest.fixture
def prometheus(
    stack_binaries: stack.Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakePrometheus]:
    """prometheus(config_text=..., flags=..., port=..., takes_writes=...): each call a running
    server of its own."""
    started: list[stack.Prometheus] = []

    def make(
        config_text: str = stack.PROMETHEUS_CONFIG,
        flags: Sequence[str] = (),
        port: int | None = None,
        *,
        takes_writes: bool = True,
    ) -> stack.Prometheus:
        folder = tmp_path_factory.mktemp("prometheus")
        binary = stack_binaries.find("prometheus")
        started.append(
            stack.prometheus(binary, folder, config_text, flags, port, takes_writes=takes_writes)
        )
        started[-1].start()
        return started[-1]

    yield make
    for server in started:
        server.kill9()


@pytest.fixture
def alertmanager(
    stack_binaries: stack.Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeAlertmanager]:
    """alertmanager(config_text=..., flags=..., port=...): each call a running server of its own."""
    started: list[stack.Server] = []

    def make(
        config_text: str = stack.ALERTMANAGER_CONFIG,
        flags: Sequence[str] = (),
        port: int | None = None,
    ) -> stack.Server:
        folder = tmp_path_factory.mktemp("alertmanager")
        binary = stack_binaries.find("alertmanager")
        started.append(stack.alertmanager(binary, folder, config_text, flags, port))
        started[-1].start()
        return started[-1]

    yield make
    for server in started:
        server.kill9()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[stack.Postgres]:
    """The one PostgreSQL that tests share; to kill one, take own_postgres."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-test-"))
    home.chmod(0o755)
    server = stack.postgresql(home)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.folder)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def database_url(postgres_server: stack.Postgres) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database of this test's own."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def own_postgres(open_folder: pathlib.Path) -> Iterator[stack.Postgres]:
    """A running PostgreSQL of this test's own, to be killed and restarted."""
    server = stack.postgresql(open_folder)
    server.start()
    yield server
    server.kill9()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """free_port(): another free loopback port at each call."""
    return stack.free_port
