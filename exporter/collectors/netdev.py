"""Bytes, packets and errors of network devices, from /proc/net/dev (psutil elsewhere).

node_exporter 1.5 asks netlink and folds the counters into the columns of /proc/net/dev, which
lacks only rx_nohandler: that comes from sysfs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from exporter import exposition, procfs
from exporter.collectors import contract, devices

COLUMNS: Final = (
    *(b"bytes", b"packets", b"errs", b"drop", b"fifo", b"frame", b"compressed", b"multicast"),
    *(b"bytes", b"packets", b"errs", b"drop", b"fifo", b"colls", b"carrier", b"compressed"),
)
STATISTICS: Final = tuple(
    (b"receive_" if at < 8 else b"transmit_") + column for at, column in enumerate(COLUMNS)
)
NOHANDLER: Final = b"receive_nohandler"


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    is_wanted = devices.device_filter(host.settings.collectors.netdev)
    if not host.is_linux:
        return PsutilNetdev(is_wanted)
    paths = host.settings.paths
    return LinuxNetdev(
        procfs.File(paths.procfs / "net" / "dev"), paths.sysfs / "class" / "net", is_wanted
    )


def family(statistic: bytes, names: Sequence[bytes]) -> exposition.Family:
    """The counter of one statistic, a series per device."""
    return exposition.Family(
        b"node_network_" + statistic + b"_total",
        "counter",
        b"Network device statistic " + statistic + b".",
        [exposition.labels(device=name) for name in names],
    )


class LinuxNetdev:
    """Digits are passed on as they are read."""

    def __init__(self, file: procfs.File, class_net: Path, is_wanted: devices.Choice) -> None:
        self._file = file
        self._class_net = class_net
        self._is_wanted = is_wanted
        self._names: list[bytes] = []
        self._template = exposition.Template([])
        self._nohandler: list[procfs.File] = []

    def collect(self) -> exposition.Block:
        rows = [row for row in procfs.parse_net_dev(self._file.read()) if self._is_wanted(row[0])]
        if not rows:
            raise procfs.NoData("no network device is wanted")
        names = [row[0] for row in rows]
        if names != self._names:
            self._lay_out(names)
        values = [value for column in list(zip(*rows, strict=True))[1:] for value in column]
        values += self._read_nohandler()
        return exposition.Filled(self._template, tuple(values))

    def _lay_out(self, names: list[bytes]) -> None:
        for file in self._nohandler:
            file.close()
        files = {name: self._nohandler_file(name) for name in names}
        present = {name: file for name, file in files.items() if file.path.exists()}
        self._nohandler = list(present.values())
        families = [family(statistic, names) for statistic in STATISTICS]
        if present:
            families.append(family(NOHANDLER, list(present)))
        self._template = exposition.Template(families)
        self._names = names

    def _nohandler_file(self, name: bytes) -> procfs.File:
        folder = self._class_net / name.decode("utf-8", "surrogateescape")
        return procfs.File(folder / "statistics" / "rx_nohandler")

    def _read_nohandler(self) -> list[bytes]:
        try:
            return [file.read().strip() for file in self._nohandler]
        except (OSError, procfs.NoData):
            self._names = []  # a device went away since: the next scrape lays out anew
            raise


class PsutilNetdev:
    """The statistics that psutil has on every system."""

    FIELDS: Final = {
        b"receive_bytes": "bytes_recv",
        b"receive_packets": "packets_recv",
        b"receive_errs": "errin",
        b"receive_drop": "dropin",
        b"transmit_bytes": "bytes_sent",
        b"transmit_packets": "packets_sent",
        b"transmit_errs": "errout",
        b"transmit_drop": "dropout",
    }

    def __init__(self, is_wanted: devices.Choice) -> None:
        self._is_wanted = is_wanted

    def collect(self) -> exposition.Block:
        import psutil

        counters = {
            name.encode(): counts
            for name, counts in psutil.net_io_counters(pernic=True, nowrap=False).items()
            if self._is_wanted(name.encode())
        }
        if not counters:
            raise procfs.NoData("no network device is wanted")
        template = exposition.Template([family(field, list(counters)) for field in self.FIELDS])
        values = [
            b"%d" % getattr(counts, attribute)
            for attribute in self.FIELDS.values()
            for counts in counters.values()
        ]
        return exposition.Filled(template, tuple(values))
