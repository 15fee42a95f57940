"""CPU per scrape of our exporter beside node_exporter's: python -m benchmarks.exporter

Both serve the same six groups of this host, without metrics about themselves, to one keep-alive
client, which takes gzip as Prometheus does or not. The CPU is what the kernel charges all threads
of the process (/proc/PID/task/*/schedstat). Hot is one scrape after the other, 2 ms apart; cold is
one each 0.25 s, when caches have gone cold as they do between real scrapes; rounds of both programs
take turns, and the ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import report
from detector.stack import debian

ROOT = pathlib.Path(__file__).resolve().parent.parent
GROUPS = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev")
ROUNDS = 7
HOT_SCRAPES, HOT_GAP_S = 200, 0.002
COLD_SCRAPES, COLD_GAP_S = 10, 0.25
MAX_COLD_RATIO = 0.5
MAX_RSS_MIB = 40.0
START_TIMEOUT_S = 20.0


class Case(NamedTuple):
    """How scrapes follow each other."""

    name: str
    scrapes: int
    gap_s: float
    encoding: str
    max_ratio: float | None


CASES = (
    Case("hot, gzip", HOT_SCRAPES, HOT_GAP_S, "gzip", None),
    Case("cold, gzip", COLD_SCRAPES, COLD_GAP_S, "gzip", MAX_COLD_RATIO),
    Case("cold, identity", COLD_SCRAPES, COLD_GAP_S, "identity", MAX_COLD_RATIO),
)


class Target:
    """A running exporter and a connection to it."""

    def __init__(self, argv: list[str], port: int, env: dict[str, str]) -> None:
        self.child = subprocess.Popen(
            argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.scrape()
                return
            except OSError:
                self._connection.close()
                if time.monotonic() > deadline or self.child.poll() is not None:
                    raise
                time.sleep(0.05)

    def scrape(self, encoding: str = "gzip") -> bytes:
        headers = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": encoding}
        self._connection.request("GET", "/metrics", headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, answer.status
        return body

    def cpu_ms(self) -> float:
        tasks = pathlib.Path(f"/proc/{self.child.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in tasks) / 1e6

    def rss_mib(self) -> float:
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        self._connection.close()
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def cpu_per_scrape_ms(target: Target, case: Case) -> float:
    """The mean over the scrapes of one round."""
    target.scrape(case.encoding)
    before = target.cpu_ms()
    for _ in range(case.scrapes):
        time.sleep(case.gap_s)
        target.scrape(case.encoding)
    return (target.cpu_ms() - before) / case.scrapes


@contextlib.contextmanager
def running(argv: list[str], port: int, env: dict[str, str]) -> Iterator[Target]:
    target = Target(argv, port, env)
    try:
        target.wait_ready()
        yield target
    finally:
        target.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def node_exporter(port: int) -> list[str]:
    source = debian.Source(ROOT / ".cache" / "debian", debian.Suite.HOST, debian.say_on_stderr)
    return [
        str(source.find("node_exporter")),
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.disable-exporter-metrics",
        "--collector.disable-defaults",
        *(f"--collector.{group}" for group in GROUPS),
    ]


def our_config(folder: pathlib.Path, port: int) -> pathlib.Path:
    from exporter.collectors import table

    off = [name for name in table.COLLECTORS if name not in GROUPS]
    lines = [f"listen_address: 127.0.0.1:{port}", "self_metrics: false", "collectors:"]
    path = folder / "exporter.yml"
    path.write_text("\n".join(lines + [f"  {name}: {{enabled: false}}" for name in off]) + "\n")
    return path


def main() -> list[str]:
    """The names of the figures that missed their limit."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        env = dict(os.environ)
        ours_port, theirs_port = free_port(), free_port()
        config = our_config(pathlib.Path(name), ours_port)
        argv = [sys.executable, "-m", "exporter", "--config", str(config)]
        ours = stack.enter_context(running(argv, ours_port, env))
        theirs = stack.enter_context(running(node_exporter(theirs_port), theirs_port, env))
        table = report.Report("exporter: CPU per scrape of six groups, beside node_exporter's")
        for case in CASES:
            measure(table, case, ours, theirs)
        table.add(report.Figure("memory, ours", ours.rss_mib(), "MiB", MAX_RSS_MIB))
        table.add(report.Figure("memory, node_exporter", theirs.rss_mib(), "MiB"))
    return table.missed


def measure(table: report.Report, case: Case, ours: Target, theirs: Target) -> None:
    """Add the figures of one case: rounds of both in turns."""
    pairs = [
        (cpu_per_scrape_ms(ours, case), cpu_per_scrape_ms(theirs, case)) for _ in range(ROUNDS)
    ]
    table.add(report.Figure(f"{case.name}, ours", statistics.median(p[0] for p in pairs), "ms"))
    table.add(
        report.Figure(f"{case.name}, node_exporter", statistics.median(p[1] for p in pairs), "ms")
    )
    ratio = statistics.median(mine / its for mine, its in pairs)
    table.add(report.Figure(f"{case.name}, ours / node_exporter", ratio, "x", case.max_ratio))


if __name__ == "__main__":
    sys.exit(bool(main()))
