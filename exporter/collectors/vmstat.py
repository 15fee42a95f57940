"""Paging, swapping and out-of-memory kills, from /proc/vmstat."""

from __future__ import annotations

import re

from prometheus_client.core import UnknownMetricFamily

from exporter import exposition, procfs
from exporter.collectors import absent, contract


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if not host.is_linux:
        return absent.LinuxOnly()
    wanted = re.compile(host.settings.collectors.vmstat.fields)
    return Vmstat(procfs.File(host.settings.paths.procfs / "vmstat"), wanted)


class Vmstat:
    """Only the fields that the pattern finds; values in pages, as the kernel counts."""

    def __init__(self, file: procfs.File, wanted: re.Pattern[str]) -> None:
        self._file = file
        self._wanted = wanted

    def collect(self) -> exposition.Block:
        pairs = procfs.parse_pairs(self._file.read(), "/proc/vmstat")
        return [
            UnknownMetricFamily(
                f"node_vmstat_{name}", f"/proc/vmstat information field {name}.", value
            )
            for name, value in pairs.items()
            if self._wanted.search(name)
        ]
