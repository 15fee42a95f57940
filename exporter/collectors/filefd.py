"""Open file descriptors of the system, from /proc/sys/fs/file-nr."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily

from exporter import exposition, procfs
from exporter.collectors import absent, contract


def build(host: contract.Host) -> contract.Collector:
    """The collector for this host."""
    if not host.is_linux:
        return absent.LinuxOnly()
    return Filefd(procfs.File(host.settings.paths.procfs / "sys" / "fs" / "file-nr"))


class Filefd:
    def __init__(self, file: procfs.File) -> None:
        self._file = file

    def collect(self) -> exposition.Block:
        allocated, maximum = procfs.parse_file_nr(self._file.read())
        return [
            GaugeMetricFamily(
                "node_filefd_allocated", "File descriptor statistics: allocated.", allocated
            ),
            GaugeMetricFamily(
                "node_filefd_maximum", "File descriptor statistics: maximum.", maximum
            ),
        ]
