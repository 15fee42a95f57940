"""Seconds each CPU spent in each mode, from /proc/stat (psutil elsewhere)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Final

from exporter import exposition, procfs
from exporter.collectors import contract

MODES: Final = (b"user", b"nice", b"system", b"idle", b"iowait", b"irq", b"softirq", b"steal")
GUEST_MODES: Final = (b"user", b"nice")
IDLE: Final = 3
# Beyond this the CPU was taken away and came back, so its counters start again (node_exporter).
HOTPLUG_JUMP_TICKS: Final = 300


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if host.is_linux:
        return LinuxCpu(procfs.File(host.settings.paths.procfs / "stat"))
    return PsutilCpu()


def template_of(cpus: Sequence[bytes]) -> exposition.Template:
    """The families of these CPUs: per CPU the modes, then per CPU the guest modes."""
    seconds = [exposition.labels(cpu=cpu, mode=mode) for cpu in cpus for mode in MODES]
    guest = [exposition.labels(cpu=cpu, mode=mode) for cpu in cpus for mode in GUEST_MODES]
    return exposition.Template(
        [
            exposition.Family(
                b"node_cpu_seconds_total",
                "counter",
                b"Seconds the CPUs spent in each mode.",
                seconds,
            ),
            exposition.Family(
                b"node_cpu_guest_seconds_total",
                "counter",
                b"Seconds the CPUs spent in guests (VMs) for each mode.",
                guest,
            ),
        ]
    )


class LinuxCpu:
    """Never lets a counter fall: the kernel's idle and iowait do now and then (proc(5))."""

    def __init__(self, file: procfs.File) -> None:
        self._file = file
        self._cpus: list[bytes] = []
        self._template = template_of([])
        self._highest: list[list[int]] = []

    def collect(self) -> exposition.Block:
        rows = procfs.parse_cpus(self._file.read())
        cpus = [row[0] for row in rows]
        if cpus != self._cpus:
            self._template, self._highest, self._cpus = (
                template_of(cpus),
                [[0] * 10] * len(rows),
                cpus,
            )
        ticks = [self._raised(at, row) for at, row in enumerate(rows)]
        seconds = [procfs.seconds_from_ticks(tick) for row in ticks for tick in row[:8]]
        guest = [procfs.seconds_from_ticks(tick) for row in ticks for tick in row[8:]]
        return exposition.Filled(self._template, (*seconds, *guest))

    def _raised(self, at: int, row: list[bytes]) -> list[bytes]:
        try:
            now = [int(tick) for tick in row[1:]]
        except ValueError:
            raise procfs.Malformed(f"/proc/stat: {b' '.join(row)!r}") from None
        before = self._highest[at]
        if all(map(operator.le, before, now)) or before[IDLE] - now[IDLE] >= HOTPLUG_JUMP_TICKS:
            self._highest[at] = now
            return row[1:]
        self._highest[at] = highest = [max(pair) for pair in zip(before, now, strict=True)]
        return [b"%d" % tick for tick in highest]


class PsutilCpu:
    """The modes that the system has; the others are 0."""

    def collect(self) -> exposition.Block:
        import psutil

        times = psutil.cpu_times(percpu=True)
        cpus = [b"%d" % number for number in range(len(times))]
        modes = [mode.decode() for mode in MODES]
        seconds = [repr(float(getattr(cpu, mode, 0.0))) for cpu in times for mode in modes]
        guest = [
            repr(float(getattr(cpu, mode, 0.0)))
            for cpu in times
            for mode in ("guest", "guest_nice")
        ]
        return exposition.Filled(
            template_of(cpus), tuple(value.encode() for value in (*seconds, *guest))
        )
