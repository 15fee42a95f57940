"""HTTP to one Prometheus: kept-alive connections, one per thread, and a deadline on every call.

http.client reads an answer of 15 MB for a quarter of the CPU that requests needs. What it lacks
is here: a deadline for a call as a whole (a socket's timeout counts from the last byte, so a
server that drips a byte a second would hold us for ever), errors of our own kind, and a second
try when the server had closed an idle connection.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
import urllib.parse
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from detector import __version__, deadlines, errors

USER_AGENT = f"monitor-drift-agent/{__version__}"
ERROR_BODY_BYTES = 64 * 1024
"""As much of a refusal is read; the connection is closed if there is more."""
MAX_BODY_BYTES = 1 << 30
_READ_BYTES = 1 << 20
_CLOSED_WHILE_IDLE = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
)


@dataclass(frozen=True, slots=True)
class Auth:
    """Who we are to the server: basic (username, password) or a bearer token."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)

    def header(self) -> str | None:
        """The value of Authorization, None for a server that asks for none."""
        if self.bearer_token is not None:
            return f"Bearer {self.bearer_token}"
        if self.username is None:
            return None
        pair = f"{self.username}:{self.password or ''}".encode()
        return "Basic " + base64.b64encode(pair).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream:
    """An answer whose body is read piece by piece."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def readinto(self, buffer: memoryview) -> int:
        """The number of bytes put into buffer, 0 at the end of the body."""
        count = self._response.readinto(buffer)
        if count == 0 and self._response.length:
            raise http.client.IncompleteRead(b"", self._response.length)
        return count

    def read(self, limit: int) -> bytes:
        """At most limit bytes of the body."""
        buffer = bytearray()
        while len(buffer) < limit:
            piece = self._response.read(min(_READ_BYTES, limit - len(buffer)))
            if not piece:
                if self._response.length:
                    raise http.client.IncompleteRead(b"", self._response.length)
                break
            buffer += piece
        return bytes(buffer)

    def is_finished(self) -> bool:
        """Whether the body was read to its end, so that the connection can serve again."""
        return self._response.isclosed()


class Client:
    """Calls one server. Safe from threads: each has its own connection.

    url          http or https, with a path prefix if need be; credentials in it count as `auth`
    timeout      for a whole call, from connecting to the last byte
    ca_file      trust this instead of the system's authorities
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: timedelta,
        auth: Auth | None = None,
        ca_file: str | None = None,
        insecure_skip_verify: bool = False,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise errors.ConfigError(f"prometheus.url: {_without_userinfo(url)}: http(s)://host")
        if auth is None and parts.username is not None:
            unquote = urllib.parse.unquote
            auth = Auth(unquote(parts.username), unquote(parts.password or ""))
        self.url = _without_userinfo(url).rstrip("/")
        self.timeout = timeout
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._tls = _tls_context(ca_file, insecure_skip_verify) if parts.scheme == "https" else None
        self._headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        authorization = (auth or Auth()).header()
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._mine = threading.local()
        self._all: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> Answer:
        """The answer, whatever its status; of a refusal only the body's beginning.

        Raises UpstreamError (unreachable, timeout, decode).
        """
        with self.stream(method, path, body=body, headers=headers, timeout=timeout) as stream:
            limit = MAX_BODY_BYTES if stream.status < 300 else ERROR_BODY_BYTES
            content = stream.read(limit)
            if stream.status < 300 and not stream.is_finished() and stream.read(1):
                raise self._error("decode", f"answered more than {limit} bytes", retryable=False)
            return Answer(stream.status, stream.headers, content)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> Iterator[Stream]:
        """An answer to be read in pieces inside the `with`; errors as of `call`."""
        deadline_s = time.monotonic() + (timeout or self.timeout).total_seconds()
        reusable = False
        try:
            stream = self._open(
                method, path, body, {**(headers or {}), **self._headers}, deadline_s
            )
            yield stream
            reusable = stream.is_finished()
        except TimeoutError as exc:
            raise self._error(
                "timeout", f"no answer in {(timeout or self.timeout).total_seconds():g} s"
            ) from exc
        except http.client.IncompleteRead as exc:
            raise self._error("decode", "the answer broke off before its end") from exc
        except ConnectionError as exc:
            raise self._error("unreachable", _reason(exc)) from exc
        except http.client.HTTPException as exc:
            raise self._error("decode", f"not an HTTP answer: {_reason(exc)}") from exc
        except (OSError, UnicodeError) as exc:
            raise self._error("unreachable", _reason(exc)) from exc
        finally:
            if not reusable:
                self.close()

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
        connection: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            connection.close()
            self._mine.connection = None

    def abort(self) -> None:
        """End the calls under way in every thread: they raise UpstreamError at once."""
        for connection in list(self._all):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> Stream:
        was_idle = getattr(self._mine, "connection", None) is not None
        try:
            return self._send(method, path, body, headers, deadline_s)
        except _CLOSED_WHILE_IDLE:
            self.close()
            if not was_idle:
                raise
        return self._send(method, path, body, headers, deadline_s)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> Stream:
        connection = self._connection(deadline_s)
        connection.request(method, self._prefix + path, body=body, headers=dict(headers))
        connection.deadline_s = deadline_s
        return Stream(connection.getresponse())

    def _connection(self, deadline_s: float) -> _Connection:
        connection: _Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = _Connection(self._host, self._port, self._tls)
            self._mine.connection = connection
            self._all.add(connection)
        connection.timeout = deadlines.left_s(deadline_s)
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        return connection

    def _error(self, kind: str, reason: str, *, retryable: bool = True) -> errors.UpstreamError:
        return errors.UpstreamError(f"{self.url}: {reason}", kind=kind, retryable=retryable)


class _Connection(http.client.HTTPConnection):
    """A connection, with TLS where a context is given, whose answers obey a deadline."""

    deadline_s = 0.0

    def __init__(self, host: str, port: int | None, tls: ssl.SSLContext | None) -> None:
        default_port = http.client.HTTP_PORT if tls is None else http.client.HTTPS_PORT
        super().__init__(host, port or default_port)
        self._tls = tls

    def __del__(self) -> None:
        self.close()  # a thread that ends takes its connection along, with no chance to close it

    def connect(self) -> None:
        super().connect()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, method: str | None = None, **_: object
    ) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, method=method)
        response.fp.close()
        response.fp = io.BufferedReader(deadlines.Reader(sock, self.deadline_s), 64 * 1024)
        return response


def _tls_context(ca_file: str | None, insecure_skip_verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _without_userinfo(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _reason(exc: Exception) -> str:
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return one_line(text)


def unreadable(reason: str) -> errors.UpstreamError:
    """What to raise for an answer that cannot be parsed."""
    return errors.UpstreamError(
        f"Prometheus' answer is not readable: {one_line(reason)}", kind="decode", retryable=True
    )


def one_line(text: str, limit: int = 500) -> str:
    """The text with its line breaks and other control characters as spaces, cut at limit."""
    return "".join(char if char.isprintable() else " " for char in text[:limit]).strip()
