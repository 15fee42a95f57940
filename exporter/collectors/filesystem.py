"""Size, free space and inodes of mounted file systems, from /proc/mounts and statvfs.

psutil is not used on Linux: its disk_usage has no inodes, and its free is what
node_filesystem_avail_bytes means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from exporter import config, exposition, procfs
from exporter.collectors import contract, mounts

# As node_exporter has them, the error first; {device,fstype,mountpoint} on each.
DEVICE_ERROR: Final = (
    b"device_error",
    b"Whether an error occurred while getting statistics for the given device.",
)
READONLY: Final = (b"readonly", b"Filesystem read-only status.")
SIZES: Final = (
    (b"size_bytes", b"Filesystem size in bytes."),
    (b"free_bytes", b"Filesystem free space in bytes."),
    (b"avail_bytes", b"Filesystem space available to non-root users in bytes."),
    (b"files", b"Filesystem total file nodes."),
    (b"files_free", b"Filesystem total free file nodes."),
)


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    settings = host.settings.collectors.filesystem
    timeout_s = settings.mount_timeout.total_seconds()
    sizes = mounts.MountSizes(timeout_s, host.monotonic)
    if not host.is_linux:
        return PsutilFilesystem(Choice(settings))
    return LinuxFilesystem(host.settings.paths, Choice(settings), sizes)


class Choice:
    """Which mounts are wanted."""

    def __init__(self, settings: config.FilesystemSettings) -> None:
        self._points = re.compile(settings.mount_points_exclude.encode())
        self._types = re.compile(settings.fs_types_exclude.encode())

    def wants(self, mount: procfs.Mount) -> bool:
        return not self._points.search(mount.mount_point) and not self._types.search(mount.fs_type)


class Known(NamedTuple):
    """The mounts of one reading, laid out."""

    text: bytes
    wanted: Sequence[procfs.Mount]
    questions: Sequence[tuple[bytes, bool]]


def braces(mount: procfs.Mount) -> bytes:
    """The labels of a mount."""
    return exposition.labels(
        device=mount.device, fstype=mount.fs_type, mountpoint=mount.mount_point
    )


def template_of(wanted: Sequence[procfs.Mount], has_size: Sequence[bool]) -> exposition.Template:
    """device_error and readonly of every mount as constants, then sizes of those that answered."""

    def constants(
        name: tuple[bytes, bytes], rows: Sequence[tuple[procfs.Mount, bool]]
    ) -> exposition.Family:
        series = [braces(mount) + b" %d" % value for mount, value in rows]
        return exposition.Family(b"node_filesystem_" + name[0], "gauge", name[1], series, slot=b"")

    answered = [mount for mount, has in zip(wanted, has_size, strict=True) if has]
    families = [
        constants(DEVICE_ERROR, [(m, not has) for m, has in zip(wanted, has_size, strict=True)])
    ]
    if answered:
        series = [braces(mount) for mount in answered]
        families.append(constants(READONLY, [(mount, mount.is_readonly) for mount in answered]))
        families += [
            exposition.Family(b"node_filesystem_" + name, "gauge", text, series, slot=b"%d")
            for name, text in SIZES
        ]
    return exposition.Template(families)


def values_of(sizes: Sequence[os.statvfs_result]) -> tuple[int, ...]:
    """The values of SIZES, each over the mounts in order."""
    return (
        *(size.f_blocks * size.f_frsize for size in sizes),
        *(size.f_bfree * size.f_frsize for size in sizes),
        *(size.f_bavail * size.f_frsize for size in sizes),
        *(size.f_files for size in sizes),
        *(size.f_ffree for size in sizes),
    )


class LinuxFilesystem:
    """Keeps the layout as long as the text of the mounts and the answering ones stay the same."""

    def __init__(self, paths: config.Paths, choice: Choice, sizes: mounts.MountSizes) -> None:
        # The mounts of process 1 are the host's, also from within a container (--pid=host).
        candidates = (paths.procfs / "1" / "mounts", paths.procfs / "mounts")
        self._files = [procfs.Watched(path) for path in candidates]
        self._rootfs = os.fsencode(paths.rootfs).rstrip(b"/")
        self._choice = choice
        self._sizes = sizes
        self._known = Known(b"", (), ())
        self._has_size: list[bool] = []
        self._template = exposition.Template([])

    def collect(self) -> exposition.Block:
        text = self._read()
        is_new = text != self._known.text
        if is_new:
            self._known = self._laid_out(text)
        wanted = self._known.wanted
        if not wanted:
            raise procfs.NoData("no mount is wanted")
        outcomes = self._sizes.sizes(self._known.questions)
        sizes = [size for size in outcomes if not isinstance(size, OSError)]
        has_size = [not isinstance(size, OSError) for size in outcomes]
        if is_new or has_size != self._has_size:
            self._template, self._has_size = template_of(wanted, has_size), has_size
        return exposition.Filled(self._template, values_of(sizes))

    def _read(self) -> bytes:
        try:
            return self._files[0].read()
        except (OSError, procfs.NoData):
            return self._files[1].read()

    def _laid_out(self, text: bytes) -> Known:
        all_mounts = [self._in_host(mount) for mount in procfs.parse_mounts(text)]
        prompt = mounts.prompt_paths(all_mounts)
        wanted = {braces(mount): mount for mount in all_mounts if self._choice.wants(mount)}
        points = [mount.mount_point for mount in wanted.values()]
        # A path mounted over twice is one question; every mount of it gets the same answer.
        return Known(
            text,
            tuple(wanted.values()),
            [(self._rootfs + point or b"/", point in prompt) for point in points],
        )

    def _in_host(self, mount: procfs.Mount) -> procfs.Mount:
        if not self._rootfs or not mount.mount_point.startswith(self._rootfs + b"/"):
            return mount
        return mount._replace(mount_point=mount.mount_point.removeprefix(self._rootfs))


class PsutilFilesystem:
    """Total, free and available space; psutil knows no inodes."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice

    def collect(self) -> exposition.Block:
        import psutil

        found = []
        for part in psutil.disk_partitions(all=False):
            mount = procfs.Mount(
                os.fsencode(part.device),
                os.fsencode(part.mountpoint),
                part.fstype.encode(),
                "ro" in part.opts.split(","),
            )
            if self._choice.wants(mount):
                found.append((mount, psutil.disk_usage(part.mountpoint)))
        if not found:
            raise procfs.NoData("no mount is wanted")
        series = [braces(mount) for mount, _ in found]
        template = exposition.Template(
            [
                exposition.Family(b"node_filesystem_" + name, "gauge", text, series, slot=b"%d")
                for name, text in (READONLY, SIZES[0], SIZES[2])
            ]
        )
        readonly = [int(mount.is_readonly) for mount, _ in found]
        totals = [usage.total for _, usage in found]
        return exposition.Filled(
            template, (*readonly, *totals, *(usage.free for _, usage in found))
        )
