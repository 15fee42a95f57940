"""Sockets by protocol and state, from /proc/net/sockstat and sockstat6."""

from __future__ import annotations

import mmap

from prometheus_client.core import GaugeMetricFamily, Metric

from exporter import exposition, procfs
from exporter.collectors import absent, contract


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if not host.is_linux:
        return absent.LinuxOnly()
    folder = host.settings.paths.procfs / "net"
    return Sockstat([procfs.File(folder / "sockstat"), procfs.File(folder / "sockstat6")])


def family(protocol: str, state: str, count: int) -> Metric:
    """The gauge of one protocol and state."""
    if (protocol, state) == ("sockets", "used"):
        return GaugeMetricFamily(
            "node_sockstat_sockets_used", "Number of IPv4 sockets in use.", count
        )
    return GaugeMetricFamily(
        f"node_sockstat_{protocol}_{state}",
        f"Number of {protocol} sockets in state {state}.",
        count,
    )


class Sockstat:
    """Memory also in bytes: the kernel counts it in pages."""

    def __init__(self, files: list[procfs.File]) -> None:
        self._files = files

    def collect(self) -> exposition.Block:
        found: list[Metric] = []
        for file in self._files:
            try:
                data = file.read()
            except procfs.NoData:
                continue  # a kernel without IPv4 or IPv6
            for protocol, state, count in procfs.parse_sockstat(data, str(file.path)):
                found.append(family(protocol, state, count))
                if state == "mem":
                    found.append(family(protocol, "mem_bytes", count * mmap.PAGESIZE))
        if not found:
            raise procfs.NoData("this kernel has no sockstat")
        return found
