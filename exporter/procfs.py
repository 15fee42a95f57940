"""Readers of the kernel's text files, and pure parsers of what they hold.

A reader holds its file open and reads it anew from the start (pread), which costs a third of
opening it each time. Formats: proc(5), Documentation/filesystems/proc.rst,
Documentation/admin-guide/iostats.rst and Documentation/accounting/psi.rst of Linux.
"""

from __future__ import annotations

import os
import re
import select
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

READ_SIZE_BYTES: Final = 65536
PREFIXES_OF_STAT: Final = (
    b"intr",
    b"ctxt",
    b"btime",
    b"processes",
    b"procs_running",
    b"procs_blocked",
)


class NoData(Exception):
    """This host has nothing of the kind: no failure."""


class Malformed(ValueError):
    """The text is not what the kernel documents."""


class File:
    """A kernel file that stays open between reads; opened at the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def read(self) -> bytes:
        """Everything the file holds now.

        Raises OSError, NoData where there is no such file.
        """
        if self._fd < 0:
            self._fd = _open_regular(self.path)
        try:
            return _read_whole(self._fd)
        except OSError:
            self.close()  # a device that came back has a new inode
            raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


class Watched(File):
    """A file of mounts: the kernel says by poll(2) that it changed (proc(5)), so that an unchanged
    one, which costs the kernel a line per mount, need not be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._last = b""
        self._poll: select.poll | None = None

    def read(self) -> bytes:
        """As File.read; what was read last while the kernel reports no change."""
        if self._poll is not None and not self._poll.poll(0):
            return self._last
        self._last = super().read()
        if self._poll is None and self._is_of_kernel():
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLPRI | select.POLLERR)
        return self._last

    def close(self) -> None:
        super().close()
        self._poll = None

    def _is_of_kernel(self) -> bool:
        # Files of procfs have no size; a file on disk would never report a change.
        return os.fstat(self._fd).st_size == 0 and self._last != b""


def _open_regular(path: Path) -> int:
    """A descriptor of a regular file: a FIFO or a device could block a reader for ever."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise NoData(f"{path} does not exist") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is not a regular file")
    return fd


def _read_whole(fd: int) -> bytes:
    # A seq_file gives at most a page of records a read, so only an empty read is its end.
    first = os.pread(fd, READ_SIZE_BYTES, 0)
    rest = os.pread(fd, READ_SIZE_BYTES, len(first)) if first else b""
    if not rest:
        return first
    parts = [first]
    size = len(first)
    while rest:
        parts.append(rest)
        size += len(rest)
        rest = os.pread(fd, READ_SIZE_BYTES, size)
    return b"".join(parts)


def read_once(path: Path) -> bytes:
    """The content of a small file that is not worth holding open.

    Raises OSError, NoData where there is no such file.
    """
    fd = _open_regular(path)
    try:
        return _read_whole(fd)
    finally:
        os.close(fd)


def seconds_from_ticks(ticks: bytes) -> bytes:
    """Hundredths of a second as seconds: USER_HZ is 100 on every Linux port (time(7)).

    >>> seconds_from_ticks(b"88027"), seconds_from_ticks(b"3")
    (b'880.27', b'0.03')
    """
    digits = ticks.zfill(3)
    return digits[:-2] + b"." + digits[-2:]


def seconds_from_ms(milliseconds: bytes) -> bytes:
    """Milliseconds as seconds.

    >>> seconds_from_ms(b"8302")
    b'8.302'
    """
    digits = milliseconds.zfill(4)
    return digits[:-3] + b"." + digits[-3:]


def parse_cpus(data: bytes) -> list[list[bytes]]:
    """Rows [cpu number, user, nice, ..., guest_nice] in ticks from /proc/stat, absent modes "0"."""
    rows = []
    for line in data.split(b"\n"):
        if not line.startswith(b"cpu"):
            break
        row = line.split()
        if row[0] == b"cpu":
            continue
        if not row[0][3:].isdigit() or len(row) < 5:
            raise Malformed(f"/proc/stat: {line!r}")
        row[0] = row[0][3:]
        rows.append(row[:11] + [b"0"] * (11 - len(row)))
    if not rows:
        raise Malformed("/proc/stat has no line of a cpu")
    return rows


def parse_stat(data: bytes) -> dict[bytes, int]:
    """The single numbers of /proc/stat by their key; of intr the total."""
    found: dict[bytes, int] = {}
    for line in data.split(b"\n"):
        key, _, rest = line.partition(b" ")
        if key in PREFIXES_OF_STAT:
            found[key] = _integer(rest.partition(b" ")[0], "/proc/stat", line)
    if not found:
        raise Malformed("/proc/stat has none of the known keys")
    return found


def parse_pairs(data: bytes, file: str) -> dict[str, int]:
    """Lines of "name number" (/proc/vmstat)."""
    pairs: dict[str, int] = {}
    for line in data.splitlines():
        words = line.split()
        if len(words) != 2:
            raise Malformed(f"{file}: {line[:80]!r}")
        pairs[words[0].decode("ascii", "replace")] = _integer(words[1], file, line)
    return pairs


def parse_loadavg(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Load of 1, 5 and 15 minutes, digits as read."""
    words = data.split()
    if len(words) < 3:
        raise Malformed(f"/proc/loadavg: {data[:80]!r}")
    for word in words[:3]:
        if not word.replace(b".", b"", 1).isdigit():
            raise Malformed(f"/proc/loadavg: {data[:80]!r}")
    return words[0], words[1], words[2]


def parse_net_dev(data: bytes) -> list[list[bytes]]:
    """Rows [device, 8 receive columns, 8 transmit columns] of /proc/net/dev."""
    lines = data.split(b"\n")
    if len(lines) < 2 or lines[1].count(b"|") != 2:
        raise Malformed(f"/proc/net/dev: {data[:80]!r} is not its header")
    rows = []
    for line in lines[2:]:
        if not line:
            continue
        device, colon, counts = line.rpartition(b":")
        row = [device.strip(), *counts.split()]
        if not colon or len(row) != 17 or not b"".join(row[1:]).isdigit():
            raise Malformed(f"/proc/net/dev: {line[:80]!r}")
        rows.append(row)
    return rows


def parse_diskstats(data: bytes) -> list[list[bytes]]:
    """Rows [major, minor, device, counts...] of /proc/diskstats, 11 to 17 counts."""
    rows = []
    for line in data.split(b"\n"):
        row = line.split()
        if not row:
            continue
        if len(row) < 14 or not b"".join(row[3:]).isdigit():
            raise Malformed(f"/proc/diskstats: {line[:120]!r}")
        rows.append(row[:20])
    return rows


class Mount(NamedTuple):
    """A line of /proc/mounts."""

    device: bytes
    mount_point: bytes
    fs_type: bytes
    is_readonly: bool


_OCTAL = re.compile(rb"\\([0-7]{3})")


def parse_mounts(data: bytes) -> list[Mount]:
    """Every mount in order, octal escapes (fstab(5)) of the mount point and device undone."""
    mounts = []
    for line in data.splitlines():
        words = line.split()
        if len(words) < 4:
            raise Malformed(f"/proc/mounts: {line[:80]!r}")
        device, point = (_unescaped(word) for word in words[:2])
        mounts.append(Mount(device, point, words[2], b"ro" in words[3].split(b",")))
    return mounts


def _unescaped(word: bytes) -> bytes:
    if b"\\" not in word:
        return word
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), word)


def parse_pressure(data: bytes, file: str) -> dict[str, float]:
    """Stall time in seconds by "some" and "full" of a file in /proc/pressure."""
    stalls: dict[str, float] = {}
    for line in data.splitlines():
        kind, _, rest = line.partition(b" ")
        total = rest.rpartition(b"total=")[2]
        if kind not in (b"some", b"full"):
            raise Malformed(f"{file}: {line[:80]!r}")
        stalls[kind.decode()] = _integer(total, file, line) / 1e6  # the file has microseconds
    return stalls


def parse_file_nr(data: bytes) -> tuple[int, int]:
    """Allocated descriptors and their maximum from /proc/sys/fs/file-nr."""
    words = data.split()
    if len(words) != 3:
        raise Malformed(f"/proc/sys/fs/file-nr: {data[:80]!r}")
    return (
        _integer(words[0], "/proc/sys/fs/file-nr", data),
        _integer(words[2], "/proc/sys/fs/file-nr", data),
    )


def parse_sockstat(data: bytes, file: str) -> Iterator[tuple[str, str, int]]:
    """(protocol, state, count) of /proc/net/sockstat and sockstat6; memory in pages as read."""
    for line in data.splitlines():
        protocol, colon, rest = line.partition(b":")
        words = rest.split()
        if not colon or len(words) % 2:
            raise Malformed(f"{file}: {line[:80]!r}")
        for state, count in zip(words[::2], words[1::2], strict=True):
            yield protocol.decode("ascii", "replace"), state.decode(), _integer(count, file, line)


def _integer(digits: bytes, file: str, line: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise Malformed(f"{file}: {line[:80]!r}: {digits[:40]!r} is not a number") from None
