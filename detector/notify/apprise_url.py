"""Apprise: any service that it knows, by a URL.

https://github.com/caronc/apprise. It says no more than whether all went well. What went wrong is in
its log alone, which becomes the reason here, as its lines may hold parts of the URL.
"""

from __future__ import annotations

import logging
import re
import threading
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from detector import errors, messages
from detector.notify import exchange, said

RECIPIENT = "{recipient}"
"""Stands in the URL for the number of who is told."""
_ANYBODY = "+491700000000"


class AppriseUrl:
    """ports.SmsProvider.

    url     of a service as Apprise knows it; {recipient} in it is replaced
    name    what it is called, as one of several
    source  what the URL is called in an error
    """

    def __init__(
        self,
        *,
        url: str,
        name: str = "apprise",
        source: str = "apprise: api_secret",
        connect_timeout: timedelta = exchange.CONNECT_TIMEOUT,
        read_timeout: timedelta = exchange.READ_TIMEOUT,
    ) -> None:
        self.name = name
        if not url:
            raise errors.ConfigError(f"{source}: is empty: a URL of Apprise's is needed")
        self._url = url
        self._timeouts_s = connect_timeout.total_seconds(), read_timeout.total_seconds()
        self._apprise = _apprise()
        self._scrubber = said.Scrubber(*_secrets(url))
        with _LOG.heard(), warnings.catch_warnings():
            # Its plugins are imported now, and take imghdr where Python still has it.
            warnings.simplefilter("ignore", DeprecationWarning)
            if self._service(_ANYBODY) is None:
                raise errors.ConfigError(
                    f"{source}: not shown, as it may hold secrets: "
                    "a URL of a service that Apprise knows"
                )

    def send(self, message: messages.Outgoing) -> messages.Outcome:
        """Hand a message over, once: it is told to the service itself, since Apprise would try
        again where the URL says so. What it did not do well may have been done all the same."""
        with _LOG.heard() as lines:
            try:
                is_taken = self._service(message.recipient).notify(body=message.text, title="")
            except Exception as exc:  # noqa: BLE001 - a message: over a hundred services' own code
                return messages.Unclear(self._scrubber.line(f"Apprise failed: {exc!r}"))
        if is_taken is True:
            return messages.Accepted("")
        return messages.Unclear(self._scrubber.line(said.words("Apprise failed", *lines)))

    def find(self, message: messages.Outgoing) -> messages.Lookup:
        """Apprise cannot be asked."""
        return messages.Lookup.NEVER_TELLS

    def receipt(self, form: Mapping[str, str]) -> messages.Receipt | None:
        """Apprise calls nobody back."""
        return None

    def _service(self, recipient: str) -> Any:
        """The service for this recipient, None if Apprise knows none; a new one each time, since
        it waits between two messages of one."""
        service: Any = self._apprise.Apprise.instantiate(
            self._url.replace(RECIPIENT, urllib.parse.quote(recipient, safe=""))
        )
        if service is not None:
            service.socket_connect_timeout, service.socket_read_timeout = self._timeouts_s
            service.redirects = False
        return service


def _apprise() -> Any:
    """The library, whose log is not let out from now on.

    Raises ConfigError if it is not installed.
    """
    try:
        import apprise
    except ImportError:
        raise errors.ConfigError(
            "apprise: Apprise is not installed: pip install 'monitor-drift-agent[apprise]'"
        ) from None
    logging.getLogger("apprise").addFilter(_LOG)
    for name in ("urllib3", "requests_oauthlib", "oauthlib"):  # they tell of requests at DEBUG
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    return apprise


class _Log(logging.Filter):
    """Keeps what Apprise logs from all logs, and its warnings for who listens in their thread."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        lines: list[str] | None = getattr(self._of_thread, "lines", None)
        if lines is not None and record.levelno >= logging.WARNING:
            lines.append(record.getMessage())
        return False

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        """The warnings of this thread within the block."""
        lines: list[str] = []
        self._of_thread.lines = lines
        try:
            yield lines
        finally:
            self._of_thread.lines = None


_LOG = _Log()


def _secrets(url: str) -> Iterator[str]:
    """Whatever in a URL may be a secret, which differs with the service: all but its scheme."""
    yield url
    _, _, rest = url.partition("://")
    for piece in re.split(r"[/:@?&=#,]", rest):
        if piece != RECIPIENT:
            yield piece
            yield urllib.parse.unquote(piece)
