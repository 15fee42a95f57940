"""A host made of fixture files, and fakes of our own ports."""

from __future__ import annotations

import itertools
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

from exporter import config, exposition
from exporter.collectors import contract

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
NOW = 1_700_000_000.25


def settings(**changes: Any) -> config.Settings:
    """Settings whose kernel files are the fixtures."""
    paths = {
        "procfs": FIXTURES / "proc",
        "sysfs": FIXTURES / "sys",
        "udev": FIXTURES / "udev",
    }
    return config.Settings.model_validate({"paths": paths, **changes})


def host(given: config.Settings | None = None, *, is_linux: bool = True) -> contract.Host:
    """A host with a clock that stands and a monotonic clock that ticks by milliseconds."""
    ticks = itertools.count()
    return contract.Host(
        given or settings(),
        is_linux=is_linux,
        clock=lambda: NOW,
        monotonic=lambda: next(ticks) / 1000,
    )


def size(blocks: int) -> os.statvfs_result:
    """A file system of so many blocks of 4 KiB, half of them free."""
    free, spare = blocks // 2, blocks // 4
    return os.statvfs_result((4096, 4096, blocks, free, spare, 1000, 900, 900, 0, 255))


def text(collector: contract.Collector, *, openmetrics: bool = False) -> str:
    """What a collector adds to an exposition."""
    return exposition.render(collector.collect(), openmetrics=openmetrics).decode()


class Hanging:
    """A collector that does not come back before it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.entered = threading.Event()
        self.calls = 0

    def collect(self) -> exposition.Block:
        self.calls += 1
        self.entered.set()
        self.released.wait()
        return GAUGE


GAUGE = exposition.Filled(
    exposition.Template([exposition.Family(b"fake_value", "gauge", b"A value.")]), (b"1",)
)


class Calling:
    """A collector that does what it is told."""

    def __init__(self, act: Callable[[], exposition.Block]) -> None:
        self.act = act

    def collect(self) -> exposition.Block:
        return self.act()
