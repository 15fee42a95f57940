"""A heartbeat URL, as of healthchecks.io and its like: any POST that is answered 2xx counts."""

from __future__ import annotations

import urllib.parse
from datetime import timedelta

import requests

from detector import __version__, errors

CONNECT_TIMEOUT, READ_TIMEOUT = timedelta(seconds=3), timedelta(seconds=5)
"""Together less than the 10 s that Alertmanager waits for us."""


class HeartbeatUrl:
    """ports.HeartbeatSender over HTTP. Threads may share it.

    The path is a secret: whoever knows it can pretend that all is well. So errors name the host
    alone, and no redirect is followed, which would carry it elsewhere.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: timedelta = CONNECT_TIMEOUT,
        read_timeout: timedelta = READ_TIMEOUT,
    ) -> None:
        self._url = url
        self._host = urllib.parse.urlsplit(url).hostname or ""
        self._timeouts_s = connect_timeout.total_seconds(), read_timeout.total_seconds()

    def beat(self, text: str) -> None:
        """Say that alerts arrive; the text is for people who look there."""
        try:
            answer = requests.post(
                self._url,
                data=text.encode(),
                headers={
                    "Content-Type": "text/plain; charset=utf-8",
                    "User-Agent": f"monitor-drift-agent/{__version__}",
                },
                timeout=self._timeouts_s,
                allow_redirects=False,
                stream=True,  # the status says all
            )
        except requests.Timeout:
            raise self._failed("timeout", f"no answer in {sum(self._timeouts_s):g} s") from None
        except requests.RequestException as error:
            # Its text, and that of what caused it, tells the whole address.
            raise self._failed("unreachable", type(error).__name__) from None
        with answer:
            if not 200 <= answer.status_code < 300:
                raise self._failed("status", f"answered {answer.status_code}")

    def _failed(self, kind: str, reason: str) -> errors.UpstreamError:
        return errors.UpstreamError(
            f"heartbeat URL at {self._host}: {reason}: see heartbeat.url (HEARTBEAT_URL)",
            kind=kind,
            retryable=True,
        )
