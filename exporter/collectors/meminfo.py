"""Every field of /proc/meminfo in bytes (psutil's fields elsewhere)."""

from __future__ import annotations

from collections.abc import Sequence

from exporter import exposition, procfs
from exporter.collectors import contract

KIB = 1024


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
        self._keys: list[bytes] = []
        self._units: list[int] = []
        self._template = template_of([])

    def collect(self) -> exposition.Block:
        lines = [line.split() for line in self._file.read().splitlines()]
        keys = [b" ".join(words[::2]) for words in lines]
        if keys != self._keys:
            self._lay_out(lines, keys)
        try:
            values = [int(words[1]) for words in lines]
        except ValueError:
            raise procfs.Malformed("/proc/meminfo: a value is not a number") from None
        units = self._units
        return exposition.Filled(
            self._template, tuple([value * unit for value, unit in zip(values, units, strict=True)])
        )

    def _lay_out(self, lines: list[list[bytes]], keys: list[bytes]) -> None:
        for words in lines:
            if len(words) not in (2, 3) or (len(words) == 3 and words[2] != b"kB"):
                raise procfs.Malformed(f"/proc/meminfo: {b' '.join(words)[:80]!r}")
        if not lines:
            raise procfs.Malformed("/proc/meminfo is empty")
        names = [field_name(words[0], has_unit=len(words) == 3) for words in lines]
        self._template = template_of(names)
        self._units = [KIB if len(words) == 3 else 1 for words in lines]
        self._keys = keys


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
