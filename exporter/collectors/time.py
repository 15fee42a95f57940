"""System time, its zone and its clock sources."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily

from exporter import exposition, procfs
from exporter.collectors import contract

FOLDER = "devices/system/clocksource"
PREFIX = "clocksource"


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    return Time(host.clock, host.settings.paths.sysfs / FOLDER)


class Time:
    """Clock sources where sysfs has them."""

    def __init__(self, clock: Callable[[], float], folder: Path) -> None:
        self._clock = clock
        self._folder = folder

    def collect(self) -> exposition.Block:
        now = self._clock()
        local = datetime.datetime.fromtimestamp(now, datetime.UTC).astimezone()
        offset = local.utcoffset() or datetime.timedelta()
        zone = GaugeMetricFamily(
            "node_time_zone_offset_seconds",
            "System time zone offset in seconds.",
            labels=["time_zone"],
        )
        zone.add_metric([local.tzname() or ""], offset.total_seconds())
        seconds = GaugeMetricFamily(
            "node_time_seconds", "System time in seconds since epoch (1970).", now
        )
        return [seconds, zone, *self._clock_sources()]

    def _clock_sources(self) -> list[GaugeMetricFamily]:
        available = GaugeMetricFamily(
            "node_time_clocksource_available_info",
            "Available clocksources read from '/sys/devices/system/clocksource'.",
            labels=["device", "clocksource"],
        )
        current = GaugeMetricFamily(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            labels=["device", "clocksource"],
        )
        for folder in sorted(self._folder.glob(f"{PREFIX}[0-9]*")):
            device = folder.name.removeprefix(PREFIX)
            for name in _words(folder / "available_clocksource"):
                available.add_metric([device, name], 1)
            for name in _words(folder / "current_clocksource"):
                current.add_metric([device, name], 1)
        return [family for family in (available, current) if family.samples]


def _words(path: Path) -> list[str]:
    return procfs.read_once(path).decode("utf-8", "replace").split()
