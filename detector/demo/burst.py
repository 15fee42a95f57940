"""A bounded burst of CPU: one busy process a core, which ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType
from typing import Self

_BUSY = """
import os, sys, time
end, parent = time.monotonic() + float(sys.argv[1]), os.getppid()
while time.monotonic() < end and os.getppid() == parent:
    sum(i * i for i in range(20_000))
"""


class Burst:
    """Keeps every core of this host busy for so many seconds, or until the block is left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", _BUSY, str(self._seconds)]
        self._children = [
            subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own argv
            for _ in range(os.cpu_count() or 1)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()

    def is_over(self) -> bool:
        """Whether every core has been let go."""
        return all(child.poll() is not None for child in self._children)
