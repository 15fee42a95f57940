"""What a collector is, and what it is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from exporter import config, exposition


class Collector(Protocol):
    """One subject of the host."""

    def collect(self) -> exposition.Block:
        """The families as they are now.

        Raises procfs.NoData where this host has nothing of the kind; whatever else it raises is a
        failure of this collector alone. Never called twice at the same time.
        """


@dataclass(frozen=True, slots=True)
class Host:
    """What every collector is built from.

    is_linux   the kernel's files are read; elsewhere psutil, for the collectors it serves
    clock      seconds since the epoch
    monotonic  seconds of a clock that never jumps
    """

    settings: config.Settings
    is_linux: bool
    clock: Callable[[], float]
    monotonic: Callable[[], float]
