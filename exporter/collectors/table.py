"""Every collector by name. A new one is a file, a line here, a section in config and in docs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from exporter.collectors import (
    contract,
    cpu,
    diskstats,
    filefd,
    filesystem,
    hwmon,
    loadavg,
    meminfo,
    netdev,
    pressure,
    sockstat,
    stat,
    textfile,
    thermal_zone,
    time,
    uname,
    vmstat,
)

COLLECTORS: Final[dict[str, Callable[[contract.Host], contract.Collector]]] = {
    "cpu": cpu.build,
    "diskstats": diskstats.build,
    "filefd": filefd.build,
    "filesystem": filesystem.build,
    "hwmon": hwmon.build,
    "loadavg": loadavg.build,
    "meminfo": meminfo.build,
    "netdev": netdev.build,
    "pressure": pressure.build,
    "sockstat": sockstat.build,
    "stat": stat.build,
    "textfile": textfile.build,
    "thermal_zone": thermal_zone.build,
    "time": time.build,
    "uname": uname.build,
    "vmstat": vmstat.build,
}


def build_enabled(host: contract.Host) -> dict[str, contract.Collector]:
    """The collectors that the settings enable, in the order of the table."""
    sections = host.settings.collectors
    return {name: build(host) for name, build in COLLECTORS.items() if sections.of(name).enabled}
