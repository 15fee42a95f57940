"""One request to a provider over HTTP, and what its fate tells of a message.

http.client, since the line between "surely not sent" and "perhaps sent" has to be drawn between
connecting and writing: what fails before the first byte is written was not sent. Every request has
a connection of its own: one that was kept and is found closed leaves it open whether the request
arrived. No proxy and no redirect is followed, nothing is tried twice.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import io
import ipaddress
import logging
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from detector import __version__, deadlines, errors, messages
from detector.notify import said

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = timedelta(seconds=5)
READ_TIMEOUT = timedelta(seconds=20)
LONGEST_WAIT = timedelta(minutes=10)
LONGEST_BODY_BYTES = 8 << 20
"""A thousand messages as Twilio lists them are some 3 MiB."""
AGAIN = frozenset({429, 500, 503})
"""What a provider answers who has not taken a message and may take it later."""
MOVED = frozenset({301, 307, 308})
"""Redirects that ask for the same request elsewhere, so that it was not taken here. The others may
follow upon one that was."""

FORM = "application/x-www-form-urlencoded; charset=utf-8"

Clock: TypeAlias = Callable[[], datetime]
Sign: TypeAlias = Callable[[bytes, str], Mapping[str, str]]
"""The headers that prove who sends a body of this type."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status.

    headers   by names in lower case
    is_whole  whether the body came to its end
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool

    def decoded(self) -> object:
        """What its JSON says; None for what is none or broke off."""
        return said.decoded(self.body) if self.is_whole else None


Fate: TypeAlias = Answer | messages.Refused | messages.Unclear


class Endpoint:
    """Where one provider listens. Threads may share it.

    source        what the address is called in an error, as in "vonage: url"
    credentials   (user, password) of Basic, where the provider asks for it
    tls           what to trust instead of the system's authorities
    Raises ConfigError where the address is none, or would carry secrets in clear to elsewhere.
    """

    def __init__(
        self,
        url: str,
        *,
        source: str,
        scrubber: said.Scrubber,
        clock: Clock,
        connect_timeout: timedelta,
        read_timeout: timedelta,
        credentials: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urllib.parse.urlsplit(checked_url(url, source=source))
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._tls = tls or ssl.create_default_context() if parts.scheme == "https" else None
        self._line = scrubber.line
        self._clock = clock
        self._connect_s, self._read_s = (
            connect_timeout.total_seconds(),
            read_timeout.total_seconds(),
        )
        self._headers = {
            "User-Agent": f"monitor-drift-agent/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if credentials is not None:
            pair = base64.b64encode(":".join(credentials).encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    def post(self, path: str, form: Mapping[str, str], sign: Sign | None = None) -> Fate:
        """Send a form."""
        body = urllib.parse.urlencode(form).encode()
        signed = sign(body, FORM) if sign is not None else {}
        return self._call("POST", path, body, {"Content-Type": FORM, **signed})

    def get(self, path: str, query: Mapping[str, str]) -> Fate:
        """Ask for something."""
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}", None, {})

    def fault(self, answer: Answer, words: str) -> messages.Refused | messages.Unclear | None:
        """What a status tells; None where it is for the body to tell.

        words  what the provider says of it
        """
        status = answer.status
        reason = self._line(said.words(f"HTTP {status}", words))
        if 200 <= status < 300:
            return None
        if status in AGAIN:
            wait = wait_asked(answer.headers.get("retry-after"), self._clock())
            return messages.Refused(reason, again=True, wait=wait)
        if status in MOVED:
            there = answer.headers.get("location", "elsewhere")
            return messages.Refused(
                self._line(f"HTTP {status}: points to {there}, not followed: is url right?")
            )
        if 400 <= status < 500:
            return messages.Refused(reason)
        return messages.Unclear(reason)

    def _call(self, method: str, path: str, body: bytes | None, more: Mapping[str, str]) -> Fate:
        connection = _Connection(self._host, self._port, self._tls, self._connect_s)
        try:
            try:
                connection.connect()
            except (OSError, UnicodeError) as exc:
                return messages.Refused(self._line(self._unreached(exc)), again=True)
            try:
                connection.start(self._read_s)
                connection.request(
                    method, self._prefix + path, body=body, headers={**self._headers, **more}
                )
                response = connection.getresponse()
            except TimeoutError:
                return messages.Unclear(f"{self._host}: no answer in {self._read_s:g} s")
            except (OSError, http.client.HTTPException) as exc:
                return messages.Unclear(self._line(f"{self._host}: no answer: {_why(exc)}"))
            return _answer(response)
        finally:
            connection.close()

    def _unreached(self, exc: OSError | UnicodeError) -> str:
        if isinstance(exc, TimeoutError):
            return f"{self._host}: no connection in {self._connect_s:g} s"
        return f"{self._host}: no connection: {_why(exc)}"


class _Connection(http.client.HTTPConnection):
    """A connection, with TLS where a context is given, whose answer obeys a deadline."""

    def __init__(
        self, host: str, port: int | None, tls: ssl.SSLContext | None, connect_s: float
    ) -> None:
        default_port = http.client.HTTP_PORT if tls is None else http.client.HTTPS_PORT
        super().__init__(host, port or default_port, timeout=connect_s)
        self._tls = tls
        self._deadline_s = 0.0

    def connect(self) -> None:
        super().connect()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def start(self, read_s: float) -> None:
        """From now on the request is written and answered, by this many seconds from now."""
        self._deadline_s = time.monotonic() + read_s
        self.sock.settimeout(read_s)

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, method: str | None = None, **_: object
    ) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, method=method)
        response.fp.close()
        response.fp = io.BufferedReader(deadlines.Reader(sock, self._deadline_s))
        return response


def _answer(response: http.client.HTTPResponse) -> Answer:
    """The status counts from here on, whatever becomes of the body."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    body, is_whole = bytearray(), False
    try:
        while len(body) <= LONGEST_BODY_BYTES:
            piece = response.read(64 * 1024)
            if not piece:
                is_whole = not response.length
                break
            body += piece
    except (OSError, http.client.HTTPException):
        is_whole = False
    finally:
        response.close()
    return Answer(response.status, headers, bytes(body), is_whole)


def checked_url(url: str, *, source: str) -> str:
    """The address of a provider without a slash at its end.

    Raises ConfigError; credentials in an address are not shown.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        is_one = bool(parts.hostname) and parts.port != 0 and parts.scheme in {"http", "https"}
    except ValueError:
        parts, is_one = urllib.parse.urlsplit(""), False
    if not is_one or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise errors.ConfigError(f"{source}: {_shown(url)}: https://host or https://host/path")
    if "@" in parts.netloc:
        raise errors.ConfigError(f"{source}: {_shown(url)}: no credentials in it")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise errors.ConfigError(
            f"{source}: {_shown(url)}: https://, since secrets are sent there; "
            "http:// to this machine only"
        )
    return url.rstrip("/")


def _shown(url: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in url)
    scheme, mark, rest = printable.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"[:200]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def wait_asked(text: str | None, now: datetime) -> timedelta:
    """How long a Retry-After asks to wait (RFC 9110, 10.2.3), at most LONGEST_WAIT; else 0.

    >>> wait_asked("30", datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()
    30.0
    """
    none = timedelta(0)
    if not text:
        return none
    try:
        if text.strip().isdecimal():
            asked = timedelta(seconds=int(text))
        else:
            then = email.utils.parsedate_to_datetime(text)
            asked = then.replace(tzinfo=then.tzinfo or UTC) - now
    except OverflowError:
        return LONGEST_WAIT
    except ValueError:
        return none
    return min(max(asked, none), LONGEST_WAIT)


def _why(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


def cannot_tell(name: str, reason: str) -> messages.Lookup:
    """CANNOT_TELL, and a line in the log that says why."""
    logger.warning("provider cannot tell of a message", extra={"provider": name, "reason": reason})
    return messages.Lookup.CANNOT_TELL


def need(name: str, **settings: str) -> None:
    """Raises ConfigError for the first of these settings that is empty."""
    for key, value in settings.items():
        if not value:
            raise errors.ConfigError(f"{name}: {key}: is empty: {name} needs it")
