"""One HTTP GET to a server on this machine, past any proxy."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Mapping

TIMEOUT_S = 2.0
ANSWER_MAX_BYTES = 10_000_000


def get(address: str, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of host:port's answer.

    Raises OSError when it does not answer in time, or not in HTTP.
    """
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_MAX_BYTES)
        except http.client.HTTPException as exc:
            raise OSError(f"{address} answers no HTTP: {exc!r}") from exc


def is_ok(address: str, path: str) -> Callable[[], bool]:
    """A question: does path answer with 200?"""
    return lambda: get(address, path)[0] == 200
