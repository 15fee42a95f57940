"""Load average over 1, 5 and 15 minutes, from /proc/loadavg (psutil elsewhere)."""

from __future__ import annotations

from exporter import exposition, procfs
from exporter.collectors import contract

TEMPLATE = exposition.Template(
    [
        exposition.Family(b"node_load1", "gauge", b"1m load average."),
        exposition.Family(b"node_load5", "gauge", b"5m load average."),
        exposition.Family(b"node_load15", "gauge", b"15m load average."),
    ]
)


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if host.is_linux:
        return LinuxLoadavg(procfs.File(host.settings.paths.procfs / "loadavg"))
    return PsutilLoadavg()


class LinuxLoadavg:
    def __init__(self, file: procfs.File) -> None:
        self._file = file

    def collect(self) -> exposition.Block:
        return exposition.Filled(TEMPLATE, procfs.parse_loadavg(self._file.read()))


class PsutilLoadavg:
    def collect(self) -> exposition.Block:
        import psutil

        loads = psutil.getloadavg()
        return exposition.Filled(TEMPLATE, tuple(repr(load).encode() for load in loads))
