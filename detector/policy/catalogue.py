"""Names that people use for what they watch, and what each is in PromQL."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Limit(StrEnum):
    """A threshold of the settings, for a policy that names none."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a name stands for.

    series  the metric that Prometheus has
    scale   times its values: 100 makes percent of a ratio
    unit    of the scaled values, as people write it
    limit   which threshold of the settings is meant where a policy gives none
    """

    series: str
    scale: float = 1.0
    unit: str = ""
    help: str = ""
    limit: Limit | None = None


CATALOGUE: Mapping[str, Metric] = {
    "cpu_percent": Metric(
        "instance:node_cpu_utilisation:rate5m",
        100,
        "%",
        "Time in which the CPUs of a host did work, over the last five minutes.",
        Limit.CPU,
    ),
    "memory_percent": Metric(
        "instance:node_memory_utilisation:ratio",
        100,
        "%",
        "Memory of a host that cannot be had without swapping.",
        Limit.MEMORY,
    ),
    "disk_percent": Metric(
        "instance_mountpoint:node_filesystem_utilisation:ratio",
        100,
        "%",
        "How full a file system is, as df prints it.",
        Limit.DISK,
    ),
    "disk_busy_percent": Metric(
        "instance_device:node_disk_io_time_seconds:rate5m",
        100,
        "%",
        "Time in which a disk had a request open, over the last five minutes.",
    ),
    "load_per_cpu": Metric(
        "instance:node_load1_per_cpu:ratio",
        unit="tasks per CPU",
        help="Tasks that run or want to run, over the number of CPUs: above 1 some wait.",
    ),
    "major_faults_per_second": Metric(
        "instance:node_vmstat_pgmajfault:rate5m",
        unit="1/s",
        help="Pages that had to be read from disk: a host that swaps has many.",
    ),
    "network_receive_bytes_per_second": Metric(
        "instance:node_network_receive_bytes_excluding_lo:rate5m",
        unit="B/s",
        help="What a host receives over all its network devices but loopback.",
    ),
    "network_transmit_bytes_per_second": Metric(
        "instance:node_network_transmit_bytes_excluding_lo:rate5m",
        unit="B/s",
        help="What a host sends over all its network devices but loopback.",
    ),
    "network_receive_drops_per_second": Metric(
        "instance:node_network_receive_drop_excluding_lo:rate5m",
        unit="1/s",
        help="Packets that a host dropped on receipt.",
    ),
    "network_transmit_drops_per_second": Metric(
        "instance:node_network_transmit_drop_excluding_lo:rate5m",
        unit="1/s",
        help="Packets that a host dropped when sending.",
    ),
    "cloud_cost_daily": Metric(
        "cloud_cost:daily",
        unit="currency",
        help="Money of the latest day that a cloud has told of.",
    ),
    "cloud_cost_month_to_date": Metric(
        "cloud_cost:month_to_date",
        unit="currency",
        help="Money of the month of the latest day that a cloud has told of, up to it.",
    ),
    "cloud_cost_projected_month": Metric(
        "cloud_cost:projected_month",
        unit="currency",
        help="Money of that month, if all its other days are like the last seven.",
    ),
    "cloud_cost_age_seconds": Metric(
        "cloud_cost:age_seconds",
        unit="s",
        help="Time since the end of the latest day that a cloud has told of.",
    ),
}
"""By name; what is not here is taken for the name of a metric in Prometheus."""


def metric_of(name: str) -> Metric:
    """The catalogue's metric of this name, else Prometheus' own one."""
    return CATALOGUE.get(name) or Metric(name)


def nearest(name: str, known: Iterable[str] = (), *, most: int = 3) -> list[str]:
    """Names of the catalogue, and of `known`, that this may have been meant for, best first.

    >>> nearest("cpu_percnt")
    ['cpu_percent']
    """
    return difflib.get_close_matches(name, sorted({*CATALOGUE, *known}), n=most, cutoff=0.75)
