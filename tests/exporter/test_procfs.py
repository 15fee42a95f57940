from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from exporter import procfs

HEADER = b"Inter-|   Receive  |  Transmit\n face |bytes |bytes\n"
MALFORMED: list[tuple[Callable[[bytes], object], bytes]] = [
    (procfs.parse_cpus, b""),
    (procfs.parse_cpus, b"cpu  1 2 3\n"),
    (procfs.parse_cpus, b"cpu0 1\n"),
    (procfs.parse_cpus, b"cpux 1 2 3 4 5 6 7 8 9 10\n"),
    (procfs.parse_stat, b""),
    (procfs.parse_stat, b"btime soon\n"),
    (procfs.parse_loadavg, b""),
    (procfs.parse_loadavg, b"0.1 nan 0.2 1/2 3"),
    (procfs.parse_loadavg, b"0.1 0.2"),
    (procfs.parse_net_dev, b""),
    (procfs.parse_net_dev, b"one\ntwo\n"),
    (procfs.parse_net_dev, HEADER + b"eth0: 1 2 3\n"),
    (procfs.parse_net_dev, HEADER + b"eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
    (procfs.parse_net_dev, HEADER + b"eth0: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
    (procfs.parse_diskstats, b"8 0 sda 1 2 3\n"),
    (procfs.parse_diskstats, b"8 0 sda 1 2 3 4 5 6 7 8 9 10 x\n"),
    (procfs.parse_mounts, b"/dev/sda / ext4\n"),
    (lambda data: procfs.parse_pairs(data, "f"), b"one\n"),
    (lambda data: procfs.parse_pairs(data, "f"), b"one two\n"),
    (lambda data: procfs.parse_pressure(data, "f"), b"none total=1\n"),
    (lambda data: procfs.parse_pressure(data, "f"), b"some avg10=0.00\n"),
    (procfs.parse_file_nr, b"1 2\n"),
    (procfs.parse_file_nr, b"a b c\n"),
    (lambda data: list(procfs.parse_sockstat(data, "f")), b"TCP inuse 1\n"),
    (lambda data: list(procfs.parse_sockstat(data, "f")), b"TCP: inuse\n"),
    (lambda data: list(procfs.parse_sockstat(data, "f")), b"TCP: inuse x\n"),
]


@pytest.mark.parametrize(("parse", "data"), MALFORMED)
def test_malformed_kernel_text_is_refused_by_name(
    parse: Callable[[bytes], object], data: bytes
) -> None:
    with pytest.raises(procfs.Malformed, match=r"/proc|f:"):
        parse(data)


def test_cpus_keep_their_numbers_and_old_kernels_lack_modes() -> None:
    rows = procfs.parse_cpus(b"cpu  9 9 9 9\ncpu0 1 2 3 4\ncpu7 1 2 3 4 5 6 7 8 9 10\nintr 5\n")
    assert rows == [
        [b"0", b"1", b"2", b"3", b"4", *[b"0"] * 6],
        [b"7", *[b"%d" % n for n in range(1, 11)]],
    ]


def test_stat_takes_the_total_of_interrupts() -> None:
    assert procfs.parse_stat(b"cpu 1\nintr 17 1 2\nctxt 3\n") == {b"intr": 17, b"ctxt": 3}


def test_net_dev_splits_names_that_touch_their_counts_and_hold_colons() -> None:
    counts = b" ".join(b"%d" % n for n in range(16))
    rows = procfs.parse_net_dev(HEADER + b"  eth0:1:" + counts + b"\n")
    assert rows == [[b"eth0:1", *counts.split()]]


def test_diskstats_keeps_at_most_the_known_counts() -> None:
    line = b"8 0 sda " + b" ".join([b"1"] * 25)
    assert len(procfs.parse_diskstats(line)[0]) == 20


def test_mounts_undo_octal_escapes_and_see_readonly() -> None:
    data = b"a\\040b /mnt/x\\011y\\134z ext4 errors=ro,rw 0 0\n/dev/b / xfs noexec,ro 0 0\n"
    assert procfs.parse_mounts(data) == [
        procfs.Mount(b"a b", b"/mnt/x\ty\\z", b"ext4", False),
        procfs.Mount(b"/dev/b", b"/", b"xfs", True),
    ]


def test_pressure_is_in_seconds() -> None:
    data = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull total=7\n"
    assert procfs.parse_pressure(data, "f") == {"some": 1.5, "full": 7e-6}


def test_a_file_is_read_anew_each_time_and_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * (procfs.READ_SIZE_BYTES * 2 + 5))
    file = procfs.File(path)
    assert len(file.read()) == procfs.READ_SIZE_BYTES * 2 + 5
    path.write_bytes(b"short")
    assert file.read() == b"short"
    path.write_bytes(b"")
    assert file.read() == b""


def test_a_missing_file_is_no_data(tmp_path: pathlib.Path) -> None:
    with pytest.raises(procfs.NoData):
        procfs.File(tmp_path / "absent").read()
    with pytest.raises(procfs.NoData):
        procfs.read_once(tmp_path / "absent")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs are POSIX")
def test_a_fifo_is_refused_at_once_where_a_reader_would_hang(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        procfs.File(tmp_path / "fifo").read()
