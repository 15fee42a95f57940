"""The detector's own process: its first scores from a cold start, and the memory that it keeps.

`python -m detector serve` beside a real Prometheus and PostgreSQL: 10,000 series with a day of
history, 100,000 with two hours, with ML_DETECTION_ENABLED off and on. Kernels are in their cache,
as they are after `mda warm-up` or a first start.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence

import psutil

from benchmarks import load, report
from detector import app
from detector.stack import debian
from tests import stack

STEP_S = 60
HOURS = {10_000: 24, 100_000: 2}
"""Of history, by number of series."""
MEMORY_MIB = {10_000: 350.0, 100_000: 1_800.0}
MORE_WITH_ML_MIB = 150.0
FIRST_SCORES, FIRST_SCORES_S = 10_000, 10.0
SETTLES_S = 100
"""After the first scores: a cycle of the steady state at least, and the fits, which are looked for
each half minute."""
TIMEOUT_S = 300


class Detector(stack.Detector):
    """`mda serve` with one query."""

    def __init__(
        self, prometheus: stack.Prometheus, database_url: str, hours: int, *, ml: bool
    ) -> None:
        self.query = "with_ml" if ml else "without_ml"
        query = {"name": self.query, "expr": load.METRIC, "history": f"{hours}h"}
        super().__init__(
            prometheus,
            database_url,
            MDA_QUERIES=json.dumps([query]),
            METRIC_COLLECTION_INTERVAL=str(STEP_S),
            ML_DETECTION_ENABLED=str(ml).lower(),
        )

    def memory_mib(self) -> tuple[float, float]:
        """What it holds now, and the most that it has held."""
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        kib = dict(line.split(":", 1) for line in status.splitlines())
        now, most = (int(kib[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
        return now, most

    def cpu_s(self) -> float:
        """CPU seconds that it has taken."""
        times = psutil.Process(self.child.pid).cpu_times()
        return float(times.user + times.system)

    def fits(self) -> float:
        """How many fits it has made."""
        name = 'detector_loop_out_total{loop="refits"}'
        lines = self.metrics().splitlines()
        return float(next(line for line in lines if line.startswith(name)).split()[-1])


def measure(
    prometheus: stack.Prometheus, postgres: stack.Postgres, count: int, table: report.Report
) -> None:
    """One size, without and with fitted models."""
    inputs, without_mib = load.Load(prometheus.url, count), 0.0
    written_s = time.time() // STEP_S * STEP_S - HOURS[count] * 3600 - STEP_S
    for ml in (False, True):
        written_s = append(inputs, written_s)
        detector = Detector(prometheus, postgres.database(), HOURS[count], ml=ml)
        began = time.monotonic()
        detector.start()
        try:
            await_scores(prometheus, detector.query, count)
            took, spent = time.monotonic() - began, detector.cpu_s()
            until = time.monotonic() + SETTLES_S
            while time.monotonic() < until:
                written_s = append(inputs, written_s)
                time.sleep(1)
            if ml and not detector.fits():
                raise SystemExit("no model was fitted")
            mib, most = detector.memory_mib()
        finally:
            detector.kill9()
        of = f"{count:,} series x {HOURS[count]} h, ML {'on' if ml else 'off'}"
        limit = FIRST_SCORES_S if count == FIRST_SCORES and not ml else None
        table.add(report.Figure(f"{of}: first scores after", took, "s", limit))
        table.add(report.Figure(f"{of}: CPU until then", spent, "s"))
        if ml:
            more = mib - without_mib
            table.add(report.Figure(f"{of}: more memory", more, "MiB", MORE_WITH_ML_MIB))
        else:
            without_mib = mib
            table.add(report.Figure(f"{of}: memory", mib, "MiB", MEMORY_MIB[count]))
        table.add(report.Figure(f"{of}: most memory", most, "MiB"))


def append(inputs: load.Load, written_s: float) -> float:
    """Write the points of the steps that have passed since; the last of them."""
    steps = range(int(written_s) + STEP_S, int(time.time()) + 1, STEP_S)
    inputs.append([1000 * step for step in steps])
    return steps[-1] if steps else written_s


def await_scores(prometheus: stack.Prometheus, query: str, count: int) -> None:
    """Until every series has a score in Prometheus."""

    def are_there() -> bool:
        found = prometheus.query(f'count(anomaly_score{{query="{query}"}})')
        return bool(found) and int(found[0]["value"][1]) == count

    stack.wait_until(are_there, TIMEOUT_S, f"the scores of {count:,} series")


def main(sizes: Sequence[int] = tuple(HOURS)) -> list[str]:
    """The names of the figures that missed their limit."""
    table = report.Report("The detector's process")
    app.warm_up()
    source = debian.Source(pathlib.Path(".cache/debian"), debian.Suite.HOST, print)
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="mda-bench-") as folder:
            at = pathlib.Path(folder)
            at.chmod(0o755)  # PostgreSQL does not run as root
            prometheus = stack.prometheus(source.find("prometheus"), at)
            postgres = stack.postgresql(at)
            servers = (prometheus, postgres)
            try:
                for server in servers:
                    server.start()
                measure(prometheus, postgres, count, table)
            finally:
                for server in servers:
                    server.kill9()
                shutil.rmtree(postgres.folder, ignore_errors=True)
    return table.missed


if __name__ == "__main__":
    sys.exit(bool(main([int(size) for size in sys.argv[1:]] or tuple(HOURS))))
