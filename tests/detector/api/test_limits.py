"""What one client may send."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from detector.api import application, limits


class Site:
    """An application that counts, behind the limit, and a clock that a test moves."""

    def __init__(self, rate: limits.Rate) -> None:
        self.now, self.served = 0.0, 0
        self.limit = limits.RateLimit(
            self._app, rate=rate, exempt=["/-/healthy", "/api/webhooks/"], clock=lambda: self.now
        )

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.served += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def get(
        self, path: str = "/api/alerts", bearer: str | None = "a", host: str = "10.0.0.1"
    ) -> tuple[int, dict[bytes, bytes]]:
        headers: Sequence[tuple[bytes, bytes]] = []
        if bearer is not None:
            headers = [(b"authorization", f"Bearer {bearer}".encode())]
        scope = {"type": "http", "path": path, "headers": headers, "client": (host, 1)}
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.limit(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"])


@pytest.fixture
def site() -> Site:
    return Site(limits.Rate(burst=3, per_second=0.5))


def test_a_client_may_send_a_burst_and_then_its_rate(site: Site) -> None:
    assert [site.get()[0] for _ in range(4)] == [200, 200, 200, 429]
    assert site.get()[1][b"retry-after"] == b"2"
    site.now = 1.9
    assert site.get()[0] == 429
    site.now = 2.1
    assert [site.get()[0] for _ in range(2)] == [200, 429]
    site.now = 1000
    assert [site.get()[0] for _ in range(4)] == [200, 200, 200, 429]
    assert site.served == 7


def test_clients_are_told_apart_by_token_and_without_one_by_address(site: Site) -> None:
    for given in (
        {"bearer": "a"},
        {"bearer": "b"},
        {"bearer": None},
        {"bearer": None, "host": "::1"},
    ):
        answers = [site.get(**given)[0] for _ in range(4)]
        assert answers == [200, 200, 200, 429]


def test_probes_and_webhooks_are_not_counted(site: Site) -> None:
    for path in ("/-/healthy", "/api/webhooks/alertmanager"):
        assert {site.get(path)[0] for _ in range(9)} == {200}


def test_only_so_many_clients_are_remembered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CLIENTS", 2)
    for _ in range(4):
        site.get(bearer="a")
    for other in "bc":
        site.get(bearer=other)
    assert site.get(bearer="a")[0] == 200


def test_the_rate_of_the_server_lets_a_busy_script_pass() -> None:
    assert application.RATE.burst >= 100
    assert application.RATE.per_second >= 20
