"""An instant by which all that comes from a socket has to be there.

A socket's own timeout counts from the last byte, so that a server that drips a byte a second would
hold us for ever. Deadlines are readings of time.monotonic, in seconds.
"""

from __future__ import annotations

import io
import socket
import time


class Reader(io.RawIOBase):
    """The receiving side of a socket; each wait is as long as is left until the deadline."""

    def __init__(self, sock: socket.socket, deadline_s: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until we close
        self._deadline_s = deadline_s

    def close(self) -> None:
        self._raw.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._sock.settimeout(left_s(self._deadline_s))
        return self._raw.readinto(buffer) or 0


def left_s(deadline_s: float) -> float:
    """Seconds until the deadline.

    Raises TimeoutError if it has passed.
    """
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
