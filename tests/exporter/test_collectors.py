from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import threading
import time

import pytest

from exporter import config, procfs
from exporter.collectors import cpu, diskstats, filesystem, meminfo, mounts, netdev, pressure
from tests.exporter import host


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the fixture host, to be changed."""
    for part in ("proc", "sys", "udev"):
        shutil.copytree(host.FIXTURES / part, tmp_path / part, symlinks=True)
    return tmp_path


def settings_at(root: pathlib.Path) -> config.Settings:
    paths = {"procfs": root / "proc", "sysfs": root / "sys", "udev": root / "udev"}
    return host.settings(paths=paths)


def test_a_cpu_counter_never_falls_but_after_a_hotplug(root: pathlib.Path) -> None:
    file = root / "proc" / "stat"
    collector = cpu.build(host.host(settings_at(root)))

    def value(idle: int, iowait: int) -> tuple[str, str]:
        file.write_text(f"cpu  1 1 1 1\ncpu0 100 0 100 {idle} {iowait} 0 0 0 0 0\nintr 1\n")
        lines = dict(line.rsplit(" ", 1) for line in host.text(collector).splitlines())
        prefix = 'node_cpu_seconds_total{cpu="0",mode='
        return lines[prefix + '"idle"}'], lines[prefix + '"iowait"}']

    assert value(1000, 50) == ("10.00", "0.50")
    assert value(990, 49) == ("10.00", "0.50")
    assert value(1001, 51) == ("10.01", "0.51")
    assert value(700, 3) == ("7.00", "0.03")


def test_devices_that_come_and_go_are_followed(root: pathlib.Path) -> None:
    collector = netdev.build(host.host(settings_at(root)))
    assert 'device="wg0"' in host.text(collector)
    dev = root / "proc" / "net" / "dev"
    dev.write_text(dev.read_text().replace("wg0", "wg1"))
    text = host.text(collector)
    assert 'device="wg1"' in text
    assert 'device="wg0"' not in text
    assert text.count("receive_nohandler_total{") == 1  # sysfs does not know wg1


def test_device_names_are_escaped(root: pathlib.Path) -> None:
    file = root / "proc" / "diskstats"
    file.write_text('   8 0 a"b\\%s 1 2 3 4 5 6 7 8 9 10 11\n')
    collector = diskstats.build(host.host(settings_at(root)))
    assert 'node_disk_io_now{device="a\\"b\\\\%s"} 9\n' in host.text(collector)


def test_only_included_devices_are_served(root: pathlib.Path) -> None:
    base = settings_at(root)
    given = host.settings(
        paths=base.paths.model_dump(), collectors={"diskstats": {"device_include": "^sd"}}
    )
    text = host.text(diskstats.build(host.host(given)))
    assert 'device="sda"' in text
    assert 'device="vda"' not in text


def test_no_wanted_device_is_no_data(root: pathlib.Path) -> None:
    (root / "proc" / "diskstats").write_text("7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n")
    with pytest.raises(procfs.NoData):
        diskstats.build(host.host(settings_at(root))).collect()


def test_pressure_that_is_switched_off_is_no_data(root: pathlib.Path) -> None:
    (root / "proc" / "pressure" / "cpu").unlink()
    with pytest.raises(procfs.NoData):
        pressure.build(host.host(settings_at(root))).collect()


class Nfs:
    """statvfs whose answer about /net waits."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked = 0

    def __call__(self, path: bytes) -> os.statvfs_result:
        if path.startswith(b"/net"):
            self.asked += 1
            self.released.wait()
        if path == b"/gone":
            raise OSError(5, "Input/output error")
        return host.size(len(path))


def test_a_hung_mount_is_an_error_of_its_own_until_it_answers(root: pathlib.Path) -> None:
    (root / "proc" / "1" / "mounts").write_text(
        "/dev/a / ext4 rw 0 0\nsrv:/x /net/share nfs4 rw 0 0\n/dev/b /net/share/deep ext4 rw 0 0\n"
        "/dev/c /gone xfs rw 0 0\n"
    )
    nfs = Nfs()
    sizes = mounts.MountSizes(1.0, time.monotonic, nfs)
    given = settings_at(root)
    choice = filesystem.Choice(given.collectors.filesystem)
    collector = filesystem.LinuxFilesystem(given.paths, choice, sizes)
    started = time.monotonic()
    text = host.text(collector)
    assert 1.0 <= time.monotonic() - started < 5.0
    deep = 'device="/dev/b",fstype="ext4",mountpoint="/net/share/deep"'
    gone = 'device="/dev/c",fstype="xfs",mountpoint="/gone"'
    share = 'device="srv:/x",fstype="nfs4",mountpoint="/net/share"'
    for labels in (deep, gone, share):
        assert f"node_filesystem_device_error{{{labels}}} 1\n" in text
        assert f"node_filesystem_size_bytes{{{labels}}}" not in text
    assert 'node_filesystem_size_bytes{device="/dev/a",fstype="ext4",mountpoint="/"} 4096\n' in text
    started = time.monotonic()
    host.text(collector)
    assert time.monotonic() - started < 0.8  # not waited for again
    assert nfs.asked == 2  # nor asked again
    nfs.released.set()
    deadline = time.monotonic() + 5
    while f"node_filesystem_size_bytes{{{share}}} 40960\n" not in host.text(collector):
        assert time.monotonic() < deadline


def test_a_host_root_is_put_before_every_mount_and_taken_off_its_label(
    root: pathlib.Path,
) -> None:
    (root / "proc" / "1" / "mounts").write_text(
        "/dev/a /host/srv ext4 rw 0 0\n/dev/b /data ext4 rw 0 0\n"
    )
    paths = config.Paths(procfs=root / "proc", rootfs=pathlib.Path("/host"))
    asked: list[bytes] = []

    def statvfs(path: bytes) -> os.statvfs_result:
        asked.append(path)
        return host.size(1)

    choice = filesystem.Choice(config.FilesystemSettings())
    sizes = mounts.MountSizes(1.0, time.monotonic, statvfs)
    text = host.text(filesystem.LinuxFilesystem(paths, choice, sizes))
    assert asked == [b"/host/srv", b"/host/data"]
    assert 'mountpoint="/srv"} ' in text
    assert 'mountpoint="/data"} ' in text


def test_meminfo_follows_a_field_that_comes_or_goes(root: pathlib.Path) -> None:
    file = root / "proc" / "meminfo"
    collector = meminfo.build(host.host(settings_at(root)))
    before = host.text(collector)
    text = file.read_text()
    file.write_text(text + "Fresh:  7 kB\n")
    assert host.text(collector).endswith("\nnode_memory_Fresh_bytes 7168\n")
    file.write_text(text)
    assert host.text(collector) == before
    file.write_text(text.replace("SwapFree: ", "SwapGone: "))
    assert "node_memory_SwapGone_bytes 3534893056\n" in host.text(collector)


@pytest.mark.parametrize("bad", ["", "MemTotal: 1 kB\n", "A: x kB\nB: 1 kB\n", "A: 1 MB\nB: 1\n"])
def test_malformed_meminfo_is_refused_and_the_next_reading_works(
    root: pathlib.Path, bad: str
) -> None:
    file = root / "proc" / "meminfo"
    good = file.read_text()
    collector = meminfo.build(host.host(settings_at(root)))
    before = host.text(collector)
    file.write_text(bad)
    with pytest.raises(procfs.Malformed):
        collector.collect()
    file.write_text(good)
    assert host.text(collector) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_new_mount_is_seen_though_mounts_are_watched(tmp_path: pathlib.Path) -> None:
    watched = procfs.Watched(pathlib.Path("/proc/self/mounts"))
    before = watched.read()
    assert watched.read() == before
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True)
    if done.returncode:
        pytest.skip("this sandbox allows no mounts")
    try:
        assert os.fsencode(tmp_path) in watched.read()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert os.fsencode(tmp_path) not in watched.read()
