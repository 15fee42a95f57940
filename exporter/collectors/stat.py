"""Boot time, context switches, interrupts, forks and processes, from /proc/stat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exporter import exposition, procfs
from exporter.collectors import contract

FAMILIES: Final[dict[bytes, Callable[[int], Metric]]] = {
    b"intr": lambda value: CounterMetricFamily(
        "node_intr_total", "Total number of interrupts serviced.", value
    ),
    b"ctxt": lambda value: CounterMetricFamily(
        "node_context_switches_total", "Total number of context switches.", value
    ),
    b"processes": lambda value: CounterMetricFamily(
        "node_forks_total", "Total number of forks.", value
    ),
    b"btime": lambda value: GaugeMetricFamily(
        "node_boot_time_seconds", "Node boot time, in unixtime.", value
    ),
    b"procs_running": lambda value: GaugeMetricFamily(
        "node_procs_running", "Number of processes in runnable state.", value
    ),
    b"procs_blocked": lambda value: GaugeMetricFamily(
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
        value,
    ),
}


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if host.is_linux:
        return LinuxStat(procfs.File(host.settings.paths.procfs / "stat"))
    return PsutilStat()


class LinuxStat:
    def __init__(self, file: procfs.File) -> None:
        self._file = file

    def collect(self) -> exposition.Block:
        found = procfs.parse_stat(self._file.read())
        return [family(found[key]) for key, family in FAMILIES.items() if key in found]


class PsutilStat:
    def collect(self) -> exposition.Block:
        import psutil

        stats = psutil.cpu_stats()
        return [
            FAMILIES[b"intr"](stats.interrupts),
            FAMILIES[b"ctxt"](stats.ctx_switches),
            FAMILIES[b"btime"](int(psutil.boot_time())),
        ]
