"""The HTTP server, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from datetime import timedelta

import fastapi
import h11
import uvicorn
from uvicorn.protocols.http import h11_impl

from detector import errors

CONNECTIONS_MAX = 200
"""Twice the requests at a time (application.REQUESTS_MAX). Above it the longest idle is closed."""
KEEP_ALIVE_S = 30
HEADERS_TIMEOUT_S = 10.0
HEADERS_MAX_BYTES = 32 * 1024
GRACE_S = 2
"""For requests that run when we stop; the rest of the 5 s that a stop may take is uvicorn's own."""
START_TIMEOUT_S = 10.0


class _Protocol(h11_impl.H11Protocol):
    """uvicorn's HTTP/1.1 with a deadline for headers and for bodies that nobody reads, and room
    for new connections.

    uvicorn alone waits for ever for the rest of a request's headers, and swallows for ever the
    rest of a body that was refused. Its own limit (limit_concurrency) counts connections that
    are kept open and idle, and then refuses everybody, probes too: a client that keeps 100 of
    them would make the program look dead.
    """

    _timer: asyncio.TimerHandle | None = None
    _idle_since: float = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._make_room()
        self._watch()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Close the connection that has been idle for longest if there are too many."""
        if len(self.connections) <= CONNECTIONS_MAX:
            return
        idle = [
            other
            for other in self.connections
            if isinstance(other, _Protocol) and other is not self and other._is_idle()
        ]
        if idle:
            min(idle, key=lambda other: other._idle_since).transport.close()

    def _is_idle(self) -> bool:
        """Whether no answer is owed to it."""
        asked: h11_impl.RequestResponseCycle | None = self.cycle  # None before the first request
        return (asked is None or asked.response_complete) and not self.transport.is_closing()

    def _watch(self) -> None:
        if self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE:
            if self._timer is None:
                self._timer = self.loop.call_later(HEADERS_TIMEOUT_S, self._give_up)
        else:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


class Server:
    """Serves an application at `host:port`; port 0 takes a free one."""

    def __init__(self, app: fastapi.FastAPI, listen_address: str) -> None:
        self._address = listen_address
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
        )
        self._uvicorn = _Uvicorn(config)
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> str:
        """Serve; gives the URL, with the port that was taken. Raises ConfigError."""
        self._socket = _bound(self._address)
        host, port = self._socket.getsockname()[:2]
        self._thread.start()
        if not self._uvicorn.is_up.wait(START_TIMEOUT_S):
            raise errors.ConfigError(f"listen_address: {self._address}: the server does not start")
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self, timeout: timedelta) -> bool:
        """Take no more requests and end those that run; False if some did not end in time."""
        self._uvicorn.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout.total_seconds())
        return not self._thread.is_alive()

    def is_running(self) -> bool:
        """Whether requests are served."""
        return self._thread.is_alive()

    def _run(self) -> None:
        assert self._socket is not None  # noqa: S101 - start() made it
        with contextlib.closing(self._socket):
            self._uvicorn.run(sockets=[self._socket])


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; else each answer takes
    # 40 ms, the client's delayed acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, int(port)))
        bound.listen(CONNECTIONS_MAX)
    except (OSError, OverflowError, ValueError) as error:
        bound.close()
        raise errors.ConfigError(
            f"listen_address: {address}: {_reason(error)}: choose another host:port "
            "(MDA_LISTEN_ADDRESS) or free this one"
        ) from error
    return bound


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return str(error)
