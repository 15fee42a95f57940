"""How long `mda --help` and `mda-exporter --help` take, beside a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from benchmarks import report

RUNS = 15
LIMIT_S = 0.1


def seconds(*arguments: str) -> float:
    """Wall time of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> list[str]:
    """The names of the figures that missed their limit."""
    table = report.Report("Start")
    for name, arguments, limit in (
        ("python -c pass (the floor)", ("-c", "pass"), None),
        ("mda --help", ("-m", "detector", "--help"), LIMIT_S),
        ("mda-exporter --help", ("-m", "exporter", "--help"), LIMIT_S),
    ):
        seconds(*arguments)
        took = median(seconds(*arguments) for _ in range(RUNS))
        table.add(report.Figure(f"{name}, median of {RUNS}", took, "s", limit))
    return table.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
