"""How many requests may be under way at a time."""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from detector.api import problems


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
