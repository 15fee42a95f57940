"""Queries that need no editing, by the name that `presets` in the configuration gives.

`$__rate_interval` stands for four steps, so that a rate survives one missed scrape.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class PresetQuery:
    """A query of a preset; deviations below min_deviation (in the query's unit) never alarm.

    exhaustion  how far ahead it is told that the ratio reaches 1
    scale, unit  what messages make of its values: times 100, "%" where they are ratios
    """

    name: str
    expr: str
    direction: str
    min_deviation: float
    exhaustion: timedelta | None = None
    scale: float = 100
    unit: str = "%"


_CPU_BUSY = (
    '1 - avg by (job, instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))'
)
_MEMORY_USED = "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"
_DISK_BUSY = "rate(node_disk_io_time_seconds_total[$__rate_interval])"
_FILESYSTEM_USED = (
    '1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|squashfs|overlay"}'
    " / node_filesystem_size_bytes"
)
_RECEIVED = (
    "sum by (job, instance) "
    '(rate(node_network_receive_bytes_total{device!~"lo|veth.*|br-.*|docker.*"}[$__rate_interval]))'
)
_LOAD_PER_CPU = (
    'node_load1 / on (job, instance) count by (job, instance) (node_cpu_seconds_total{mode="idle"})'
)
_PRESSURE = "rate(node_pressure_{}_waiting_seconds_total[$__rate_interval])"

_HOST = (
    PresetQuery("host_cpu", _CPU_BUSY, "both", 0.05),
    PresetQuery("host_memory", _MEMORY_USED, "both", 0.02, timedelta(days=1)),
    PresetQuery("host_disk", _DISK_BUSY, "above", 0.10),
    PresetQuery("host_filesystem", _FILESYSTEM_USED, "above", 0.01, timedelta(days=1)),
    PresetQuery("host_network_receive", _RECEIVED, "both", 100_000.0, scale=1, unit="B/s"),
    PresetQuery(
        "host_network_transmit",
        _RECEIVED.replace("receive", "transmit"),
        "both",
        100_000.0,
        scale=1,
        unit="B/s",
    ),
    PresetQuery("host_load", _LOAD_PER_CPU, "above", 0.25, scale=1, unit="tasks per CPU"),
    PresetQuery("host_pressure_cpu", _PRESSURE.format("cpu"), "above", 0.10),
    PresetQuery("host_pressure_io", _PRESSURE.format("io"), "above", 0.10),
    PresetQuery("host_pressure_memory", _PRESSURE.format("memory"), "above", 0.05),
)

PRESETS: dict[str, tuple[PresetQuery, ...]] = {"host": _HOST}
