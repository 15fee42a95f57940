"""How many requests may be under way at a time, and how many one client may send."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from detector.api import problems

MOST_CLIENTS = 10_000


class RequestLimit:
    """ASGI middleware: `at_most` requests at a time; one more is told to come again.

    Requests for an `exempt` path always pass and are not counted.
    """

    def __init__(self, app: ASGIApp, *, at_most: int, exempt: Collection[str]) -> None:
        self._app = app
        self._at_most, self._exempt = at_most, frozenset(exempt)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._at_most:
            await self._refusal()(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def _refusal(self) -> ASGIApp:
        return problems.response(
            503,
            f"{self._at_most} requests are under way, which is the most: try again",
            headers={"Retry-After": problems.RETRY_AFTER_S, "Connection": "close"},
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """What one client may send: so many requests at once, and so many a second in the long run."""

    burst: int
    per_second: float


class RateLimit:
    """ASGI middleware: a client that sends more than its rate is answered 429.

    A client is who bears a token, or else an address; `exempt` are beginnings of paths. Token
    bucket (RFC 2697 has one), of the MOST_CLIENTS that were heard of last.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rate: Rate,
        exempt: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._rate, self._clock = app, rate, clock
        self._exempt = tuple(exempt)
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._exempt):
            await self._app(scope, receive, send)
            return
        wait_s = self._wait_s(_client_of(scope))
        if wait_s <= 0:
            await self._app(scope, receive, send)
            return
        refusal = problems.response(
            429,
            f"{self._rate.per_second:g} requests a second are allowed, and {self._rate.burst} at "
            "once: try again",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
        await refusal(scope, receive, send)

    def _wait_s(self, client: bytes) -> float:
        """Seconds until this client may send again; 0, and one request less, if it may now."""
        now = self._clock()
        left, at = self._buckets.pop(client, (float(self._rate.burst), now))
        left = min(left + (now - at) * self._rate.per_second, float(self._rate.burst))
        is_allowed = left >= 1
        self._buckets[client] = (left - is_allowed, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) / self._rate.per_second


def _client_of(scope: Scope) -> bytes:
    """A digest of the token, which is kept nowhere, or the address."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return hashlib.sha256(value).digest()
    host = (scope.get("client") or ("",))[0]
    return str(host).encode()
