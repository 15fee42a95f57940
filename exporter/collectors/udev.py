"""What udev knows of block devices (the files of /run/udev/data, udevadm(8))."""

from __future__ import annotations

from pathlib import Path

from exporter import procfs

PROPERTY = b"E:"


def parse_properties(data: bytes) -> dict[str, bytes]:
    """The properties (lines "E:NAME=value") of a device."""
    properties = {}
    for line in data.split(b"\n"):
        name, equals, value = line.removeprefix(PROPERTY).partition(b"=")
        if line.startswith(PROPERTY) and equals:
            properties[name.decode("ascii", "replace")] = value
    return properties


def block_device(folder: Path, major: bytes, minor: bytes) -> dict[str, bytes]:
    """The properties of a block device by its numbers; none where udev does not run."""
    try:
        return parse_properties(procfs.read_once(folder / f"b{major.decode()}:{minor.decode()}"))
    except (OSError, procfs.NoData):
        return {}
