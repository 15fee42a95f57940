"""The HTTP side: connections as asyncio protocols, and what is answered on which path."""

from __future__ import annotations

import asyncio
import html
import logging
import zlib
from collections.abc import Callable
from typing import Final

import exporter
from exporter import access, assembly, messages, scrape, telemetry

TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
GZIP_LEVEL: Final = 1
GZIP_WBITS: Final = 31  # zlib's number for a gzip header around 32 KiB windows
# The loop itself waits so long for a scrape, which spares a usual one the way through the loop.
PROMPT_WAIT_S: Final = 0.005
POLL_S: Final = 0.005
HEAD_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 300.0
MAX_CONNECTIONS: Final = 256
Respond = Callable[[messages.Response], None]
logger = logging.getLogger(__name__)


class Site:
    """Answers requests; a scrape that is not prompt is answered later."""

    def __init__(
        self,
        scraper: scrape.Scraper,
        body: assembly.Assembly,
        gate: access.Access,
        own: telemetry.Telemetry,
        monotonic: Callable[[], float],
    ) -> None:
        self._scraper = scraper
        self._body = body
        self._gate = gate
        self._own = own
        self._monotonic = monotonic

    def answer(self, request: messages.Request, respond: Respond) -> None:
        """Call respond once with the answer, now or later."""
        if request.path == "/-/healthy":
            respond(messages.Response(200, b"Healthy.\n"))
            return
        if not self._gate.allows(request.fields.get("authorization", "")):
            respond(messages.Response(401, b"Unauthorized.\n", extra=self._gate.challenge))
            return
        if request.path == "/metrics":
            self._scrape(request, respond)
        elif request.path == "/":
            respond(self._landing())
        else:
            respond(messages.Response(404, b"Not found. The metrics are at /metrics.\n"))

    def _scrape(self, request: messages.Request, respond: Respond) -> None:
        started = self._monotonic()
        wanted = request.query.get("collect[]", self._scraper.names)
        unknown = [name for name in wanted if name not in self._scraper.names]
        if unknown:
            text = f"unknown or disabled collector: {unknown[0][:100]}\n"
            respond(messages.Response(400, text.encode("utf-8", "replace")))
            return
        begun = self._scraper.begin(dict.fromkeys(wanted))

        def finish() -> None:
            outcomes = self._scraper.finish(begun)
            self._own.scrapes += 1
            response = self._exposition(request, outcomes)
            self._own.scrape_seconds += self._monotonic() - started
            respond(response)

        def poll() -> None:
            if begun.wait(0):
                finish()
            else:
                loop.call_later(POLL_S, poll)

        if begun.wait(PROMPT_WAIT_S):
            finish()
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(POLL_S, poll)

    def _exposition(
        self, request: messages.Request, outcomes: dict[str, scrape.Outcome]
    ) -> messages.Response:
        openmetrics = messages.wants_openmetrics(request.fields.get("accept", ""))
        body = self._body.body(outcomes, openmetrics=openmetrics)
        if "name[]" in request.query:
            body = assembly.only_families(body, request.query["name[]"])
        extra = b"Vary: Accept, Accept-Encoding\r\n"
        if messages.accepts_gzip(request.fields.get("accept-encoding", "")):
            gzip = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
            body = gzip.compress(body) + gzip.flush()
            extra += b"Content-Encoding: gzip\r\n"
        return messages.Response(200, body, OPENMETRICS if openmetrics else TEXT, extra)

    def _landing(self) -> messages.Response:
        names = ", ".join(html.escape(name) for name in self._scraper.names)
        page = (
            "<!doctype html><html lang=en><title>Exporter</title>"
            f"<h1>Monitor/Drift Agent exporter {exporter.__version__}</h1>"
            f'<p><a href="/metrics">Metrics</a> of {names}.'
            '<p><a href="/-/healthy">Health</a></html>\n'
        )
        return messages.Response(200, page.encode(), b"text/html; charset=utf-8")


class Connections:
    """All open connections, for the limit on them and for stopping."""

    def __init__(
        self, site: Site, own: telemetry.Telemetry, head_timeout_s: float = HEAD_TIMEOUT_S
    ) -> None:
        self.site = site
        self.own = own
        self.head_timeout_s = head_timeout_s
        self.check_period_s = head_timeout_s / 5
        self.open: set[Connection] = set()
        self.is_stopping = False

    def make(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self)

    def stop(self) -> None:
        """Close the idle ones; those being answered close after their answer."""
        self.is_stopping = True
        for connection in list(self.open):
            connection.close_when_idle()


class Connection(asyncio.Protocol):
    """One request after the other; pipelined ones wait in the buffer."""

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_busy = False
        self._can_write = True
        self._last_head = b""
        self._last_request: messages.Request | None = None
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own contract
        self._transport = transport
        if len(self._all.open) >= MAX_CONNECTIONS or self._all.is_stopping:
            self._all.own.connections_refused += 1
            transport.abort()
            return
        self._all.open.add(self)
        self._timer = self._loop.call_later(self._all.check_period_s, self._check_age)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.open.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if not self._buffer and not self._is_busy:
            self._since = self._loop.time()
        self._buffer += data
        self._advance()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._advance()

    def close_when_idle(self) -> None:
        """Close now unless an answer is due."""
        if not self._is_busy and self._transport is not None:
            self._transport.close()

    def _advance(self) -> None:
        """Take the next request off the buffer if nothing is in its way."""
        while not self._is_busy and self._can_write and self._transport is not None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 or end > messages.MAX_HEAD_BYTES:
                break
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            self._take(head)
        if len(self._buffer) > messages.MAX_HEAD_BYTES:
            self._refuse(431, "the head of the request is too long")

    def _take(self, head: bytes) -> None:
        try:
            request = self._parsed(head)
        except messages.BadRequest as bad:
            self._refuse(bad.status, str(bad))
            return
        self._is_busy = True
        if request.method not in ("GET", "HEAD"):
            text = b"Only GET and HEAD are answered here.\n"
            self._write(messages.Response(405, text, extra=b"Allow: GET, HEAD\r\n"), request)
            return
        self._all.site.answer(request, lambda response: self._write(response, request))

    def _parsed(self, head: bytes) -> messages.Request:
        # A scraper sends the same head again and again.
        if head != self._last_head or self._last_request is None:
            self._last_request, self._last_head = messages.parse_head(head), head
        return self._last_request

    def _write(self, response: messages.Response, request: messages.Request) -> None:
        self._count(response)
        self._is_busy = False
        self._since = self._loop.time()
        if self._transport is None:
            return  # the client went away while its scrape ran
        keep_alive = request.keep_alive and not self._all.is_stopping
        with_body = request.method != "HEAD"
        self._transport.write(
            messages.written(response, keep_alive=keep_alive, with_body=with_body)
        )
        if not keep_alive:
            self._transport.close()
            self._transport = None
        elif self._buffer:
            self._loop.call_soon(self._advance)

    def _refuse(self, status: int, text: str) -> None:
        if self._transport is None:
            return
        response = messages.Response(status, text.encode() + b"\n")
        self._count(response)
        self._transport.write(messages.written(response, keep_alive=False, with_body=True))
        self._transport.close()
        self._transport = None
        self._buffer = b""

    def _count(self, response: messages.Response) -> None:
        self._all.own.requests[str(response.status)] += 1

    def _check_age(self) -> None:
        """Close what sends its head too slowly, takes its answer too slowly, or lies idle."""
        transport = self._transport
        if transport is None:
            return
        age_s = self._loop.time() - self._since
        if not self._is_busy and self._buffer and age_s > self._all.head_timeout_s:
            self._refuse(408, "the head of the request did not come in time")
        elif not self._can_write and age_s > self._all.head_timeout_s:
            transport.abort()
        elif not self._is_busy and age_s > IDLE_TIMEOUT_S:
            transport.close()
        else:
            self._timer = self._loop.call_later(self._all.check_period_s, self._check_age)
