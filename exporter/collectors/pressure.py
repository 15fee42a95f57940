"""Time lost waiting for CPU, memory and I/O (PSI), from /proc/pressure."""

from __future__ import annotations

from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

from exporter import exposition, procfs
from exporter.collectors import absent, contract

# resource -> kind of stall -> (name, help); "full" of cpu has no meaning for the whole system.
FAMILIES: Final = {
    "cpu": {
        "some": (
            "node_pressure_cpu_waiting_seconds_total",
            "Total time in seconds that processes have waited for CPU time",
        ),
    },
    "io": {
        "some": (
            "node_pressure_io_waiting_seconds_total",
            "Total time in seconds that processes have waited due to IO congestion",
        ),
        "full": (
            "node_pressure_io_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IO congestion",
        ),
    },
    "memory": {
        "some": (
            "node_pressure_memory_waiting_seconds_total",
            "Total time in seconds that processes have waited for memory",
        ),
        "full": (
            "node_pressure_memory_stalled_seconds_total",
            "Total time in seconds no process could make progress due to memory congestion",
        ),
    },
}


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if not host.is_linux:
        return absent.LinuxOnly()
    folder = host.settings.paths.procfs / "pressure"
    return Pressure({resource: procfs.File(folder / resource) for resource in FAMILIES})


class Pressure:
    """No data on kernels without PSI, or booted with psi=0."""

    def __init__(self, files: dict[str, procfs.File]) -> None:
        self._files = files

    def collect(self) -> exposition.Block:
        found: list[Metric] = []
        for resource, file in self._files.items():
            try:
                stalls = procfs.parse_pressure(file.read(), f"/proc/pressure/{resource}")
            except OSError as error:
                raise procfs.NoData(f"pressure is switched off ({error.strerror})") from error
            found += [
                CounterMetricFamily(name, text, stalls[kind])
                for kind, (name, text) in FAMILIES[resource].items()
                if kind in stalls
            ]
        return found
