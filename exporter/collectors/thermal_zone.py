"""Temperatures of thermal zones and states of cooling devices, from /sys/class/thermal."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.core import GaugeMetricFamily

from exporter import exposition, procfs
from exporter.collectors import absent, contract

ZONE = "thermal_zone"
COOLING = "cooling_device"


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if not host.is_linux:
        return absent.LinuxOnly()
    return ThermalZone(host.settings.paths.sysfs / "class" / "thermal")


class ThermalZone:
    """A zone whose sensor is switched off, and so cannot be read, is left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> exposition.Block:
        families = [*self._zones(), *self._cooling()]
        if not families:
            raise procfs.NoData("no thermal zone and no cooling device")
        return families

    def _zones(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "node_thermal_zone_temp", "Zone temperature in Celsius", labels=["zone", "type"]
        )
        for folder in sorted(self._folder.glob(f"{ZONE}[0-9]*")):
            try:
                labels = [folder.name.removeprefix(ZONE), _text(folder / "type")]
                family.add_metric(labels, int(_text(folder / "temp")) / 1000)
            except OSError:
                continue
        return [family] if family.samples else []

    def _cooling(self) -> list[GaugeMetricFamily]:
        current = GaugeMetricFamily(
            "node_cooling_device_cur_state",
            "Current throttle state of the cooling device",
            labels=["name", "type"],
        )
        highest = GaugeMetricFamily(
            "node_cooling_device_max_state",
            "Maximum throttle state of the cooling device",
            labels=["name", "type"],
        )
        for folder in sorted(self._folder.glob(f"{COOLING}[0-9]*")):
            labels = [folder.name.removeprefix(COOLING), _text(folder / "type")]
            current.add_metric(labels, int(_text(folder / "cur_state")))
            highest.add_metric(labels, int(_text(folder / "max_state")))
        return [family for family in (current, highest) if family.samples]


def _text(path: Path) -> str:
    return procfs.read_once(path).decode("utf-8", "replace").strip()
