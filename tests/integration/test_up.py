"""`mda up` as a user runs it: all parts real, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import pytest
import requests

from tests import stack

PARTS = {"postgres", "prometheus", "alertmanager", "exporter", "detector"}
START_S = 90
STOP_S = 10


class Up:
    """One run of the command in a folder."""

    def __init__(self, folder: pathlib.Path, number: int, environ: Mapping[str, str]) -> None:
        self.home = folder / "home"
        self.output = folder / f"output{number}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "detector", "up"],
                cwd=folder,
                env={**os.environ, "MDA_HOME": str(self.home), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, pattern: str) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"mda up ended:\n{self.output.read_text()}")
        return re.search(pattern, self.output.read_text()) is not None

    def wait_said(self, pattern: str, timeout_s: float = START_S) -> None:
        stack.wait_until(lambda: self.said(pattern), timeout_s, f"{pattern} in {self.output}")

    def urls(self) -> dict[str, str]:
        urls: dict[str, str] = json.loads((self.home / "urls.json").read_text())
        return urls

    def children(self) -> dict[str, psutil.Process]:
        """Our five parts; PostgreSQL's own processes are not among them."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                words = child.cmdline() or [""]  # one that was killed and not yet waited for
                name = words[2] if words[1:2] == ["-m"] else pathlib.Path(words[0]).name
                found[name.removeprefix("prometheus-")] = child
        return found

    def query(self, expr: str, **parameters: str) -> list[dict[str, Any]]:
        answer = requests.get(
            f"{self.urls()['prometheus']}/api/v1/query",
            params={"query": expr, **parameters},
            timeout=5,
        )
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


Start = Callable[[], Up]


@pytest.fixture
def up(open_folder: pathlib.Path, stack_binaries: stack.Binaries) -> Iterator[Start]:
    """up(): `mda up` on one folder, on free ports, with the servers of the suite under test."""
    names = ("prometheus", "promtool", "alertmanager", "amtool")
    folders = [str(stack_binaries.find(name).parent) for name in names]
    environ = {
        "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
        "METRIC_COLLECTION_INTERVAL": "2",
        "MDA_HEARTBEAT__LATE_AFTER": "2m",
        "MDA_PROMETHEUS__URL": f"http://127.0.0.1:{stack.free_port()}",
        "MDA_ALERTMANAGER__URL": f"http://127.0.0.1:{stack.free_port()}",
        "MDA_LISTEN_ADDRESS": f"127.0.0.1:{stack.free_port()}",
    }
    started: list[Up] = []

    def start() -> Up:
        started.append(Up(open_folder, len(started), environ))
        return started[-1]

    yield start
    for run in started:
        run.process.kill()
        run.process.wait()


def test_everything_serves_and_what_dies_is_restarted(up: Start) -> None:
    run = up()
    run.wait_said("Everything serves")
    stack.wait_until(lambda: {*run.children()} == PARTS, 30, "every part as a process")
    for part, path in (("exporter", "/metrics"), ("detector", "/-/healthy")):
        assert requests.get(f"{run.urls()[part]}{path}", timeout=5).status_code == 200
    stack.wait_until(
        lambda: [target["value"][1] for target in run.query("up")] == ["1"] * 4,
        20,
        "four scraped targets",
    )
    before = {name: child.pid for name, child in run.children().items()}
    for child in run.children().values():
        child.kill()
    stack.wait_until(
        lambda: (
            {*run.children()} == PARTS
            and not {*before.values()} & {child.pid for child in run.children().values()}
        ),
        30,
        "every part as another process",
    )
    for part in PARTS:
        run.wait_said(f"{part} was killed by SIGKILL; starting it again in 0.5 s", 5)
        run.wait_said(f"{part} serves again")
    assert run.stop() == 0


def test_the_first_scores_appear_on_the_terminal_and_in_prometheus(up: Start) -> None:
    run = up()
    run.wait_said("Everything serves")
    # Where the kernels are compiled first, so many samples wait then that nothing is left to warm.
    run.wait_said(r"warming up: .*host_cpu \d+/\d+ samples, 1 series|First scores", 120)
    run.wait_said("First scores", 120)
    run.wait_said(r"host_cpu +1 +\d+\.\d\d +instance=")
    stack.wait_until(lambda: run.query('anomaly_score{query="host_cpu"}'), 30, "the scores")
    assert run.stop(signal.SIGINT) == 0


def test_a_second_instance_is_refused_in_one_line(up: Start) -> None:
    run = up()
    stack.wait_until((run.home / "lock").exists, 20, "the lock")
    stack.wait_until(lambda: (run.home / "lock").read_text(), 20, "its pid")
    second = up()
    assert second.process.wait(20) == 1
    assert second.output.read_text().splitlines()[-1] == (
        f"mda: {run.home} is in use by process {run.process.pid}: "
        "stop that one, or set MDA_HOME to another"
    )


def test_a_second_start_resumes_on_the_same_ports_with_all_data(up: Start) -> None:
    first = up()
    first.wait_said("Everything serves")
    sample = stack.wait_until(lambda: first.query('timestamp(up{job="node"})'), 20, "a scrape")
    urls, seen_s = first.urls(), sample[0]["value"][1]
    children = [*first.children().values()]
    assert first.stop() == 0
    assert not [child for child in children if child.is_running()]
    assert "Everything is stopped; the data stays." in first.output.read_text()

    again = up()
    again.wait_said("Everything serves")
    assert again.urls() == urls
    assert again.query('timestamp(up{job="node"})', time=seen_s)[0]["value"][1] == seen_s
    assert "creating the database" not in again.output.read_text()
    assert again.stop() == 0


def test_a_killed_run_leaves_no_process_and_starts_again(up: Start) -> None:
    first = up()
    first.wait_said("Everything serves")
    children = psutil.Process(first.process.pid).children(recursive=True)
    first.process.kill()
    first.process.wait()
    stack.wait_until(
        lambda: all(
            not child.is_running() or child.status() == psutil.STATUS_ZOMBIE for child in children
        ),
        10,
        "the children to die",
    )
    again = up()
    again.wait_said("Everything serves")
    assert again.stop() == 0


def test_a_part_that_cannot_start_ends_the_command_with_the_reason(
    up: Start, open_folder: pathlib.Path
) -> None:
    (open_folder / "home").mkdir()
    (open_folder / "home/prometheus").write_text("where its folder should be")
    run = up()
    assert run.process.wait(60) == 1
    assert "mda: prometheus does not start (ended with exit status " in run.output.read_text()
    (open_folder / "home/prometheus").unlink()


@pytest.mark.timeout(400)
def test_a_part_that_hangs_is_told_of_by_who_is_not_in_the_chain(up: Start) -> None:
    run = up()
    run.wait_said("Everything serves")
    hung = run.children()["alertmanager"]
    hung.suspend()  # alive, so it is not restarted
    try:
        run.wait_said(
            "no Watchdog for 2 min: alerts do not arrive: alertmanager does not answer: "
            f"look at {run.home}/logs/alertmanager.log",
            180,
        )
    finally:
        hung.resume()
    run.wait_said(r"Watchdog comes again after \d+ min", 150)
    assert run.output.read_text().count("no Watchdog") == 1
    assert run.stop() == 0
