"""Temperatures, fans, voltages and power of hardware monitors, from /sys/class/hwmon.

psutil reads the same folder but has neither the chip and sensor names that dashboards know nor
voltages and power, so it serves other systems only. The files are described in
Documentation/hwmon/sysfs-interface.rst.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exporter import exposition, procfs
from exporter.collectors import contract

TYPES: Final = {
    *("vrm", "beep_enable", "update_interval", "in", "cpu", "fan", "pwm", "temp", "curr"),
    *("power", "energy", "humidity", "intrusion"),
}
FILE: Final = re.compile(r"([^0-9]+)([0-9]*)(?:_(.+))?")
INTERVALS: Final = frozenset(("average_interval", "average_interval_min", "average_interval_max"))
FAN_SPEEDS: Final = frozenset(("input", "min", "max", "target"))
MILLI: Final = 0.001
MICRO: Final = 1e-6
Sensors = dict[str, dict[str, str]]


class Reading(NamedTuple):
    """One value of one sensor, named and in base units."""

    name: str
    help: str
    value: float


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if host.is_linux:
        return LinuxHwmon(host.settings.paths.sysfs / "class" / "hwmon")
    return PsutilHwmon()


def clean(name: str) -> str:
    """A name as label values have it.

    >>> clean("Core 0 (left)")
    'core_0__left'
    """
    return re.sub(r"[^a-z0-9:_]", "_", name.lower()).strip("_")


def split_file_name(name: str) -> tuple[str, str, str] | None:
    """(type, sensor, property) of a sensor's file, None for other files.

    >>> split_file_name("temp1_crit_alarm"), split_file_name("vrm"), split_file_name("uevent")
    (('temp', 'temp1', 'crit_alarm'), ('vrm', 'vrm0', ''), None)
    """
    match = FILE.fullmatch(name)
    if match is None or match[1] not in TYPES:
        return None
    return match[1], f"{match[1]}{int(match[2] or 0)}", match[3] or ""


def reading(kind: str, sensor: dict[str, str], element: str) -> Reading | None:
    """The reading of one property of a sensor, None for what is no number."""
    try:
        value = float(sensor[element])
    except ValueError:
        return None
    if kind in ("beep_enable", "vrm", "update_interval"):
        return _chip_reading(kind, value)
    name = f"node_hwmon_{kind}"
    if element == "input":
        name += "_input" if "" in sensor else ""
    elif element:
        name += f"_{clean(element)}"
    return _sensor_reading(kind, name, element, value)


def _chip_reading(kind: str, value: float) -> Reading:
    if kind == "beep_enable":
        is_on = float(value == 1)
        return Reading("node_hwmon_beep_enabled", "Hardware beep enabled", is_on)
    if kind == "vrm":
        name = "node_hwmon_voltage_regulator_version"
        return Reading(name, "Hardware voltage regulator", value)
    name = "node_hwmon_update_interval_seconds"
    return Reading(name, "Hardware monitor update interval", value * MILLI)


def _sensor_reading(kind: str, name: str, element: str, value: float) -> Reading | None:
    if element in ("fault", "alarm"):
        return Reading(name, f"Hardware sensor {element} status ({kind})", value)
    if element == "beep":
        return Reading(f"{name}_enabled", "Hardware monitor sensor has beeping enabled", value)
    if kind in ("in", "cpu"):
        return Reading(f"{name}_volts", f"Hardware monitor for voltage ({element})", value * MILLI)
    if kind == "temp" and element != "type":
        text = f"Hardware monitor for temperature ({element or 'input'})"
        return Reading(f"{name}_celsius", text, value * MILLI)
    if kind == "curr":
        return Reading(f"{name}_amps", f"Hardware monitor for current ({element})", value * MILLI)
    if kind == "energy":
        text = f"Hardware monitor for joules used so far ({element})"
        return Reading(f"{name}_joule_total", text, value * MICRO)
    if kind == "power":
        return _power_reading(name, element, value)
    if kind == "humidity":
        text = (
            "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity "
            f"as a percentage) ({element})"
        )
        return Reading(name, text, value * MICRO)
    if kind == "fan" and element in FAN_SPEEDS:
        text = f"Hardware monitor for fan revolutions per minute ({element})"
        return Reading(f"{name}_rpm", text, value)
    return Reading(name, f"Hardware monitor {kind} element {element}", value)


def _power_reading(name: str, element: str, value: float) -> Reading:
    if element == "accuracy":
        text = "Hardware monitor power meter accuracy, as a ratio"
        return Reading(name, text, value * MICRO)
    if element in INTERVALS:
        text = f"Hardware monitor power usage update interval ({element})"
        return Reading(f"{name}_seconds", text, value * MILLI)
    text = f"Hardware monitor for power usage in watts ({element})"
    return Reading(f"{name}_watt", text, value * MICRO)


class Families:
    """Families by name, made when their first series comes."""

    def __init__(self) -> None:
        self._by_name: dict[str, Metric] = {}

    def add(self, name: str, text: str, labels: dict[str, str], value: float) -> None:
        family = self._by_name.get(name)
        if family is None:
            make = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = self._by_name[name] = make(name, text)
        family.add_sample(name, labels, value)

    def all(self) -> list[Metric]:
        return list(self._by_name.values())


class LinuxHwmon:
    """A sensor that cannot be read just now (many chips sleep) is left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> exposition.Block:
        families = Families()
        chips = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        for chip in chips:
            if chip.is_dir():
                _add_chip(chip, families)
        if not families.all():
            raise procfs.NoData("no hardware monitor")
        return families.all()


def _add_chip(folder: Path, families: Families) -> None:
    chip = chip_label(folder)
    name = clean(_text(folder / "name"))
    if name:
        text = "Annotation metric for human-readable chip names"
        families.add("node_hwmon_chip_names", text, {"chip": chip, "chip_name": name}, 1)
    for sensor, elements in sorted(_sensors(folder).items()):
        _add_sensor(chip, sensor, elements, families)


def _add_sensor(chip: str, sensor: str, elements: dict[str, str], families: Families) -> None:
    labels = {"chip": chip, "sensor": sensor}
    label = elements.pop("label", "")
    if clean(label):
        text = "Label for given chip and sensor"
        families.add("node_hwmon_sensor_label", text, {**labels, "label": label}, 1)
    kind = sensor.rstrip("0123456789")
    for element in sorted(elements):
        found = reading(kind, elements, element)
        if found is not None:
            families.add(found.name, found.help, labels, found.value)


def chip_label(folder: Path) -> str:
    """A name that stays over reboots: the device's path, else the chip's name, else hwmonN."""
    device = folder / "device"
    if device.exists():
        path = Path(os.path.realpath(device))
        parts = [clean(path.parent.name), clean(path.name)]
        if parts[1]:
            return "_".join(part for part in parts if part)
    return clean(_text(folder / "name")) or clean(Path(os.path.realpath(folder)).name)


def _sensors(folder: Path) -> Sensors:
    sensors: Sensors = defaultdict(dict)
    for source in (folder, folder / "device"):  # old drivers put their files beside the device
        for path, (_, sensor, element) in _sensor_files(source):
            text = _text(path)
            if text:
                sensors[sensor][element] = text
    return sensors


def _sensor_files(folder: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            split = split_file_name(path.name)
            if split is not None and path.is_file():
                yield path, split


def _text(path: Path) -> str:
    """The text of a sysfs file, "" where it cannot be read now."""
    try:
        return procfs.read_once(path).decode("utf-8", "replace").strip("\n")
    except (OSError, procfs.NoData):
        return ""


class PsutilHwmon:
    """Temperatures where psutil has them (FreeBSD)."""

    def collect(self) -> exposition.Block:
        import psutil

        read = getattr(psutil, "sensors_temperatures", None)
        temperatures = read() if read is not None else {}
        families = Families()
        for chip, sensors in temperatures.items():
            for number, sensor in enumerate(sensors, 1):
                labels = {"chip": clean(chip), "sensor": clean(sensor.label) or f"temp{number}"}
                text = "Hardware monitor for temperature (input)"
                families.add("node_hwmon_temp_celsius", text, labels, sensor.current)
        if not families.all():
            raise procfs.NoData("psutil knows no sensor here")
        return families.all()
