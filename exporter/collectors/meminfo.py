"""Every field of /proc/meminfo in bytes (psutil's fields elsewhere)."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence

from exporter import exposition, procfs
from exporter.collectors import contract

KIB = 1024
Pick = Callable[[Sequence[bytes]], tuple[bytes, ...]]


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if host.is_linux:
        return LinuxMeminfo(procfs.File(host.settings.paths.procfs / "meminfo"))
    return PsutilMeminfo()


def field_name(key: bytes, *, has_unit: bool) -> bytes:
    """The name of a field as node_exporter has it.

    >>> field_name(b"Active(anon):", has_unit=True)
    b'Active_anon_bytes'
    """
    name = key.rstrip(b":").replace(b"(", b"_").replace(b")", b"")
    return name + b"_bytes" if has_unit else name


def template_of(names: Sequence[bytes]) -> exposition.Template:
    """One gauge per field."""
    return exposition.Template(
        [
            exposition.Family(
                b"node_memory_" + name,
                "gauge",
                b"Memory information field " + name + b".",
                slot=b"%d",
            )
            for name in names
        ]
    )


class LinuxMeminfo:
    """Keeps the layout of the last reading: a kernel's fields hardly ever change."""

    def __init__(self, file: procfs.File) -> None:
        self._file = file
        self._count = 0
        self._shape: tuple[bytes, ...] = ()  # every word that is no value
        self._shape_of: Pick = tuple
        self._values_of: Pick = tuple
        self._units: list[int] = []
        self._template = template_of([])

    def collect(self) -> exposition.Block:
        data = self._file.read()
        words = data.split()
        if len(words) != self._count or self._shape_of(words) != self._shape:
            self._lay_out(data, words)
        try:
            values = [int(word) for word in self._values_of(words)]
        except ValueError as error:
            raise procfs.Malformed(f"/proc/meminfo: {data[:80]!r}") from error
        return exposition.Filled(
            self._template,
            tuple([value * unit for value, unit in zip(values, self._units, strict=True)]),
        )

    def _lay_out(self, data: bytes, words: list[bytes]) -> None:
        lines = [line.split() for line in data.splitlines()]
        for line in lines:
            if len(line) not in (2, 3) or (len(line) == 3 and line[2] != b"kB"):
                raise procfs.Malformed(f"/proc/meminfo: {b' '.join(line)[:80]!r}")
        if len(lines) < 2:
            raise procfs.Malformed("/proc/meminfo is empty")
        ends = list(itertools.accumulate(len(line) for line in lines))
        values = [end - len(line) + 1 for end, line in zip(ends, lines, strict=True)]
        shape = sorted(set(range(len(words))) - set(values))
        self._values_of = operator.itemgetter(*values)
        self._shape_of = operator.itemgetter(*shape)
        self._shape = self._shape_of(words)
        self._units = [KIB if len(line) == 3 else 1 for line in lines]
        names = [field_name(line[0], has_unit=len(line) == 3) for line in lines]
        self._template = template_of(names)
        self._count = len(words)


class PsutilMeminfo:
    """The fields that rules need, under the names that Linux has for them."""

    def collect(self) -> exposition.Block:
        import psutil

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        fields = {
            b"MemTotal_bytes": memory.total,
            b"MemAvailable_bytes": memory.available,
            b"MemFree_bytes": memory.free,
            b"SwapTotal_bytes": swap.total,
            b"SwapFree_bytes": swap.free,
        }
        return exposition.Filled(template_of(list(fields)), tuple(fields.values()))
