"""The stand-in for a collector that only Linux can feed."""

from __future__ import annotations

from exporter import exposition, procfs


class LinuxOnly:
    """Says "no data" on other systems."""

    def collect(self) -> exposition.Block:
        raise procfs.NoData("only Linux has these figures")
