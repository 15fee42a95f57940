"""Our exporter beside Debian's real prometheus-node-exporter, series by series.

On this host time passes between two reads, so ours is read before and after theirs, and each of
their values must lie between ours in one of a few rounds. On the fixture host nothing moves, and
every value must be equal.
"""

from __future__ import annotations

import math
import os
import pathlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors import table
from tests import stack
from tests.exporter import host, server

ROUNDS = 40
Key = tuple[str, tuple[tuple[str, str], ...]]
Samples = dict[Key, float]


class Exception_(NamedTuple):
    """Series that differ, why, and where node_exporter has it."""

    series: str
    cause: str
    source: str


EXCEPTIONS: Sequence[Exception_] = (
    Exception_(
        r"node_exporter_build_info\{",
        "ours is exporter_build_info",
        "node_exporter.go",
    ),
    Exception_(
        r"node_scrape_collector_duration_seconds\{",
        "each takes its own time",
        "collector/collector.go",
    ),
    Exception_(
        r"node_scrape_collector_success\{.*thermal_zone",
        "no zone at all is a success there and no data here",
        "collector/thermal_zone_linux.go",
    ),
    Exception_(
        r"node_cpu_(core|package)_throttles_total\{",
        "throttling of bare-metal CPUs is not served",
        "collector/cpu_linux.go",
    ),
    Exception_(
        r"node_disk_info\{",
        "newer than 1.5: a label rotational",
        "collector/diskstats_linux.go",
    ),
    Exception_(
        r"node_disk_.*zram",
        "newer than 1.5: zram is excluded by default",
        "collector/diskstats_linux.go",
    ),
    Exception_(
        r"node_filesystem_(mount_info|purgeable_bytes)\{",
        "newer than 1.5: families of their own",
        "collector/filesystem_common.go",
    ),
    Exception_(
        r"node_network_.*_dropped_total|node_pressure_irq_stalled",
        "newer than 1.5: families of their own",
        "collector/netdev_linux.go, collector/pressure_linux.go",
    ),
)
# node_exporter opens file-nr to read it (collector/filefd_linux.go), so counts its own descriptor
# and those of collectors that run beside it; ours holds its files open all the time.
OBSERVED_BY_READING = {"node_filefd_allocated": 16}
# Only in 1.5 these must agree: their exception is about newer versions.
NEWER = {it.series for it in EXCEPTIONS if it.cause.startswith("newer")}


def excused(is_1_5: bool) -> re.Pattern[str]:
    return re.compile(
        "|".join(it.series for it in EXCEPTIONS if not (is_1_5 and it.series in NEWER))
    )


def samples(text: str) -> Samples:
    """The host's series of an exposition; to Prometheus an empty label is no label."""
    return {
        (sample.name, tuple(sorted(it for it in sample.labels.items() if it[1]))): sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
        if sample.name.startswith(("node_", "job_"))
    }


def heads(text: str, names: set[str]) -> dict[str, list[str]]:
    """HELP and TYPE lines by family, of the families named."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name = line.split(" ", 3)[2] if line.startswith("# ") else ""
        if name in names:
            found.setdefault(name, []).append(line)
    return found


def shown(key: Key) -> str:
    return key[0] + "{" + ",".join(f'{name}="{value}"' for name, value in key[1]) + "}"


def is_1_5(binary: pathlib.Path) -> bool:
    """Whether it is the version whose names, texts and families are ours."""
    ran = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True)
    return " 1.5." in ran.stdout + ran.stderr


class NodeExporter:
    """The real one, with our collectors enabled; the flag --no-<collector> leaves one out."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, *flags: str) -> None:
        self.port = stack.free_port()
        self.is_1_5 = is_1_5(binary)
        argv = [
            str(binary),
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in table.COLLECTORS if f"--no-{name}" not in flags),
            f"--collector.textfile.directory={folder}",
            "--collector.netdev.device-exclude=^lo$",  # Debian 12's default, not a newer one's
            *(flag for flag in flags if flag.removeprefix("--no-") not in table.COLLECTORS),
        ]
        with (folder / "node_exporter.log").open("wb") as log:
            self._process = subprocess.Popen(argv, stderr=log)
        try:
            stack.wait_until(self._is_serving, 20, "node_exporter to serve")
        except BaseException:
            self.stop()
            raise

    def _is_serving(self) -> bool:
        assert self._process.poll() is None, "node_exporter ended"
        return bool(self.read())

    def read(self) -> str:
        answer = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10)
        answer.raise_for_status()
        return answer.text

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()


Start = Callable[..., tuple[server.Child, NodeExporter]]


@pytest.fixture
def both(tmp_path: pathlib.Path, stack_binaries: stack.Binaries) -> Iterator[Start]:
    """both(textfile folder, our configuration, *their flags)"""
    started: list[server.Child | NodeExporter] = []

    def make(folder: pathlib.Path, config: str, *flags: str) -> tuple[server.Child, NodeExporter]:
        ours = server.Child(tmp_path, stack.free_port(), config)
        started.append(ours)
        theirs = NodeExporter(stack_binaries.find("node_exporter"), folder, *flags)
        started.append(theirs)
        return ours, theirs

    yield make
    for one in started:
        one.stop()


def read(child: server.Child) -> str:
    return child.get()[1].decode()


def test_every_series_of_this_host_lies_between_two_of_our_reads(
    both: Start, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "textfile"
    folder.mkdir()
    (folder / "jobs.prom").write_bytes((host.FIXTURES / "textfile" / "jobs.prom").read_bytes())
    ours, theirs = both(folder, f"collectors: {{textfile: {{directory: {folder}}}}}\n")
    except_for = excused(theirs.is_1_5)
    before = samples(read(ours))
    unmatched: dict[Key, str] = {}
    for turn in range(ROUNDS):
        middle, after = samples(theirs.read()), samples(read(ours))
        off = {
            key: f"{before.get(key)} {value} {after.get(key)}"
            for key, value in middle.items()
            if not except_for.search(shown(key)) and not between(before, value, after, key)
        }
        unmatched = off if turn == 0 else {key: off[key] for key in unmatched if key in off}
        before = after
        if not unmatched:
            break
        time.sleep(0.1)
    assert {shown(key): text for key, text in unmatched.items()} == {}
    assert sum(not except_for.search(shown(key)) for key in middle) > 150


def between(before: Samples, value: float, after: Samples, key: Key) -> bool:
    """Whether a value lies between ours, up to the digits that a float's text may lack."""
    if key not in before or key not in after:
        return False
    low, high = sorted((before[key], after[key]))
    slack = 1e-9 * abs(value) + OBSERVED_BY_READING.get(key[0], 0)
    return low - slack <= value <= high + slack


def test_help_type_and_series_are_theirs(both: Start, tmp_path: pathlib.Path) -> None:
    ours, theirs = both(tmp_path, f"collectors: {{textfile: {{directory: {tmp_path}}}}}\n")
    our_text, their_text = read(ours), theirs.read()
    except_for = excused(theirs.is_1_5)
    names = {key[0] for key in samples(their_text) if not except_for.search(shown(key))}
    assert heads(our_text, names) == heads(their_text, names)
    if theirs.is_1_5:  # newer ones lack fields of /proc/meminfo that they do not know
        of_theirs = {shown(key) for key in samples(their_text)}
        extra = {shown(key) for key in samples(our_text)} - of_theirs
        assert {key for key in extra if not except_for.search(key)} == set()


def test_every_value_of_the_fixture_host_is_equal(
    both: Start, tmp_path: pathlib.Path, stack_binaries: stack.Binaries
) -> None:
    if not is_1_5(stack_binaries.find("node_exporter")):
        pytest.skip("node_exporter 1.11 panics on this fixture (collector/cpu_linux.go)")
    folder = tmp_path / "textfile"
    folder.mkdir()
    for path in (host.FIXTURES / "textfile").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        os.utime(folder / path.name, (1000, 1000))
    fixtures = host.FIXTURES
    ours, theirs = both(
        folder,
        f"paths: {{procfs: {fixtures}/proc, sysfs: {fixtures}/sys, udev: {fixtures}/udev}}\n"
        f"collectors: {{filesystem: {{enabled: false}}, textfile: {{directory: {folder}}}}}\n",
        f"--path.procfs={fixtures}/proc",
        f"--path.sysfs={fixtures}/sys",
        f"--path.udev.data={fixtures}/udev",
        "--no-filesystem",
        "--no-collector.netdev.netlink",  # netlink would ask the real kernel
    )
    except_for = re.compile(
        excused(theirs.is_1_5).pattern + "|node_time_seconds|_nohandler_total|_freq_"
    )
    mine, its = samples(read(ours)), samples(theirs.read())
    off = {
        shown(key): (mine.get(key), its.get(key))
        for key in mine.keys() | its.keys()
        if not except_for.search(shown(key))
        and not (key in mine and key in its and math.isclose(mine[key], its[key], rel_tol=1e-9))
    }
    assert off == {}
    assert len(its) > 250


def test_exceptions_are_few_and_each_names_its_source() -> None:
    assert len(EXCEPTIONS) <= 15
    for one in EXCEPTIONS:
        assert one.cause
        assert ".go" in one.source
