"""Reads, writes, discards and times of block devices, from /proc/diskstats (psutil elsewhere)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporter import exposition, procfs
from exporter.collectors import contract, devices, udev

SECTOR_BYTES: Final = 512  # "standard UNIX 512-byte sectors", Documentation/block/stat.rst
UDEV_MAX_AGE_S: Final = 60.0  # a label, a serial or a file system may change while the disk stays


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    is_wanted = devices.device_filter(host.settings.collectors.diskstats)
    if not host.is_linux:
        return PsutilDiskstats(is_wanted)
    return LinuxDiskstats(host, is_wanted)


def _same(digits: bytes) -> bytes:
    return digits


def _bytes_from_sectors(sectors: bytes) -> bytes:
    return b"%d" % (int(sectors) * SECTOR_BYTES)


_MS = procfs.seconds_from_ms

# In the order of the counts in /proc/diskstats; names and texts are node_exporter's.
STATISTICS: Final = (
    (b"reads_completed_total", b"The total number of reads completed successfully.", _same),
    (b"reads_merged_total", b"The total number of reads merged.", _same),
    (b"read_bytes_total", b"The total number of bytes read successfully.", _bytes_from_sectors),
    (b"read_time_seconds_total", b"The total number of seconds spent by all reads.", _MS),
    (b"writes_completed_total", b"The total number of writes completed successfully.", _same),
    (b"writes_merged_total", b"The number of writes merged.", _same),
    (
        b"written_bytes_total",
        b"The total number of bytes written successfully.",
        _bytes_from_sectors,
    ),
    (b"write_time_seconds_total", b"This is the total number of seconds spent by all writes.", _MS),
    (b"io_now", b"The number of I/Os currently in progress.", _same),
    (b"io_time_seconds_total", b"Total seconds spent doing I/Os.", _MS),
    (b"io_time_weighted_seconds_total", b"The weighted # of seconds spent doing I/Os.", _MS),
    (b"discards_completed_total", b"The total number of discards completed successfully.", _same),
    (b"discards_merged_total", b"The total number of discards merged.", _same),
    (b"discarded_sectors_total", b"The total number of sectors discarded successfully.", _same),
    (
        b"discard_time_seconds_total",
        b"This is the total number of seconds spent by all discards.",
        _MS,
    ),
    (b"flush_requests_total", b"The total number of flush requests completed successfully", _same),
    (
        b"flush_requests_time_seconds_total",
        b"This is the total number of seconds spent by all flush requests.",
        _MS,
    ),
)
ATA: Final = (
    (b"ata_write_cache", b"ATA disk has a write cache.", "ID_ATA_WRITE_CACHE"),
    (
        b"ata_write_cache_enabled",
        b"ATA disk has its write cache enabled.",
        "ID_ATA_WRITE_CACHE_ENABLED",
    ),
    (
        b"ata_rotation_rate_rpm",
        b"ATA disk rotation rate in RPMs (0 for SSDs).",
        "ID_ATA_ROTATION_RATE_RPM",
    ),
)
Row = list[bytes]
Properties = dict[str, bytes]


def statistic_family(at: int, names: Sequence[bytes]) -> exposition.Family:
    """The family of the count at this place, a series per device."""
    name, text, _ = STATISTICS[at]
    return exposition.Family(
        b"node_disk_" + name,
        "gauge" if name == b"io_now" else "counter",
        text,
        [exposition.labels(device=device) for device in names],
    )


class LinuxDiskstats:
    """Counts as read; what udev says is laid out with the names of the devices."""

    def __init__(self, host: contract.Host, is_wanted: devices.Choice) -> None:
        self._file = procfs.File(host.settings.paths.procfs / "diskstats")
        self._udev = host.settings.paths.udev
        self._is_wanted = is_wanted
        self._monotonic = host.monotonic
        self._key: list[tuple[bytes, bytes, bytes, int]] = []
        self._laid_out_at = 0.0
        self._template = exposition.Template([])

    def collect(self) -> exposition.Block:
        rows = [row for row in procfs.parse_diskstats(self._file.read()) if self._is_wanted(row[2])]
        if not rows:
            raise procfs.NoData("no block device is wanted")
        key = [(row[0], row[1], row[2], len(row)) for row in rows]
        now = self._monotonic()
        if key != self._key or now - self._laid_out_at > UDEV_MAX_AGE_S:
            self._template, self._key, self._laid_out_at = self._lay_out(rows), key, now
        values = [
            convert(row[at])
            for at, (_, _, convert) in enumerate(STATISTICS, 3)
            for row in rows
            if at < len(row)
        ]
        return exposition.Filled(self._template, tuple(values))

    def _lay_out(self, rows: list[Row]) -> exposition.Template:
        families = [
            statistic_family(at, names)
            for at in range(len(STATISTICS))
            if (names := [row[2] for row in rows if len(row) > at + 3])
        ]
        known = [(row, udev.block_device(self._udev, row[0], row[1])) for row in rows]
        return exposition.Template(families + info_families(known))


def info_families(known: Sequence[tuple[Row, Properties]]) -> list[exposition.Family]:
    """What udev knows of the devices, as constant series."""
    families = [
        _constants(b"info", b"Info of /sys/block/<block_device>.", [_info(*it) for it in known]),
        _constants(
            b"filesystem_info",
            b"Info about disk filesystem.",
            [_filesystem(row, udev) for row, udev in known if udev.get("ID_FS_TYPE")],
        ),
        _constants(
            b"device_mapper_info",
            b"Info about disk device mapper.",
            [_device_mapper(row, udev) for row, udev in known if udev.get("DM_NAME")],
        ),
    ]
    for name, text, key in ATA:
        series = [
            (exposition.labels(device=row[2]), b"%g" % float(udev[key]))
            for row, udev in known
            if udev.get("ID_ATA") and udev.get(key, b"").isdigit()
        ]
        families.append(_constants(name, text, series))
    return [family for family in families if family.series]


def _constants(
    name: bytes, text: bytes, series: Sequence[tuple[bytes, bytes]]
) -> exposition.Family:
    """A family whose values stand in the layout already."""
    lines = [braces + b" " + value for braces, value in series]
    return exposition.Family(b"node_disk_" + name, "gauge", text, lines, slot=b"")


def _info(row: Row, udev: Properties) -> tuple[bytes, bytes]:
    serials = (udev.get(key) for key in ("SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"))
    braces = exposition.labels(
        device=row[2],
        major=row[0],
        minor=row[1],
        path=udev.get("ID_PATH", b""),
        wwn=udev.get("ID_WWN", b""),
        model=udev.get("ID_MODEL", b""),
        serial=next((serial for serial in serials if serial), b""),
        revision=udev.get("ID_REVISION", b""),
    )
    return braces, b"1"


def _filesystem(row: Row, udev: Properties) -> tuple[bytes, bytes]:
    braces = exposition.labels(
        device=row[2],
        type=udev["ID_FS_TYPE"],
        usage=udev.get("ID_FS_USAGE", b""),
        uuid=udev.get("ID_FS_UUID", b""),
        version=udev.get("ID_FS_VERSION", b""),
    )
    return braces, b"1"


def _device_mapper(row: Row, udev: Properties) -> tuple[bytes, bytes]:
    braces = exposition.labels(
        device=row[2],
        name=udev["DM_NAME"],
        uuid=udev.get("DM_UUID", b""),
        vg_name=udev.get("DM_VG_NAME", b""),
        lv_name=udev.get("DM_LV_NAME", b""),
        lv_layer=udev.get("DM_LV_LAYER", b""),
    )
    return braces, b"1"


class PsutilDiskstats:
    """Counts, bytes and times of each disk."""

    def __init__(self, is_wanted: devices.Choice) -> None:
        self._is_wanted = is_wanted

    def collect(self) -> exposition.Block:
        import psutil

        disks = {
            name.encode(): counts
            for name, counts in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items()
            if self._is_wanted(name.encode())
        }
        if not disks:
            raise procfs.NoData("no block device is wanted")
        template = exposition.Template(
            [statistic_family(at, list(disks)) for at in (0, 2, 3, 4, 6, 7)]
        )
        columns = [
            [b"%d" % counts.read_count for counts in disks.values()],
            [b"%d" % counts.read_bytes for counts in disks.values()],
            [_MS(b"%d" % counts.read_time) for counts in disks.values()],
            [b"%d" % counts.write_count for counts in disks.values()],
            [b"%d" % counts.write_bytes for counts in disks.values()],
            [_MS(b"%d" % counts.write_time) for counts in disks.values()],
        ]
        return exposition.Filled(template, tuple(value for column in columns for value in column))
