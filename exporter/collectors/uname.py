"""Name and release of the system."""

from __future__ import annotations

import platform

from prometheus_client.core import GaugeMetricFamily

from exporter import exposition, procfs
from exporter.collectors import contract

UNKNOWN_DOMAIN = "(none)"


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    return Uname(procfs.File(host.settings.paths.procfs / "sys" / "kernel" / "domainname"))


class Uname:
    """One constant series; the domain name is the NIS one, as uname(2) has it."""

    def __init__(self, domain: procfs.File) -> None:
        self._domain = domain

    def collect(self) -> exposition.Block:
        system = platform.uname()
        labels = {
            "sysname": system.system,
            "release": system.release,
            "version": system.version,
            "machine": system.machine,
            "nodename": system.node,
            "domainname": self._domain_name(),
        }
        family = GaugeMetricFamily(
            "node_uname_info",
            "Labeled system information as provided by the uname system call.",
            labels=list(labels),
        )
        family.add_metric(list(labels.values()), 1)
        return [family]

    def _domain_name(self) -> str:
        try:
            return self._domain.read().decode("utf-8", "replace").strip()
        except procfs.NoData:
            return UNKNOWN_DOMAIN
