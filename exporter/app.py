"""The one place where the exporter is put together and run."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import ssl
import sys
import time

import exporter
from exporter import access, assembly, config, scrape, serving, telemetry
from exporter.collectors import contract, table

DRAIN_S = 5.0
BACKLOG = 128
logger = logging.getLogger(__name__)


class StartError(Exception):
    """The exporter cannot start; the message is one line for the operator."""


class Exporter:
    """The parts, wired."""

    def __init__(self, settings: config.Settings) -> None:
        host = contract.Host(
            settings,
            is_linux=sys.platform == "linux",
            clock=time.time,  # noqa: TID251 - the clock's edge
            monotonic=time.monotonic,
        )
        collectors = table.build_enabled(host)
        sections = settings.collectors
        deadlines = {name: sections.of(name).deadline.total_seconds() for name in collectors}
        self.settings = settings
        self.scraper = scrape.Scraper(collectors, deadlines, time.monotonic)
        self.own = telemetry.Telemetry()
        self.body = assembly.Assembly(self.own, self_metrics=settings.self_metrics)

    def scrape_once(self) -> dict[str, scrape.Outcome]:
        """The outcomes of one scrape of everything, waited for."""
        begun = self.scraper.begin(self.scraper.names)
        while not begun.wait(serving.POLL_S):
            pass
        return self.scraper.finish(begun)

    def exposition_once(self) -> bytes:
        """One scrape in the text format."""
        return self.body.body(self.scrape_once(), openmetrics=False)


def split_address(address: str) -> tuple[str | None, int]:
    """Host (None for every interface) and port.

    >>> split_address("[::1]:9100"), split_address(":9100")
    (('::1', 9100), (None, 9100))
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]") or None, int(port)


def serve(settings: config.Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises StartError, ConfigError.
    """
    asyncio.run(_serve(settings))


async def _serve(settings: config.Settings) -> None:
    parts = Exporter(settings)
    gate = access.Access(settings.auth, time.monotonic)
    site = serving.Site(parts.scraper, parts.body, gate, parts.own, time.monotonic)
    connections = serving.Connections(site, parts.own)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    server = await _listen(settings, connections)
    _say_where(settings, server, gate)
    gc.collect()
    gc.freeze()  # what is here now stays: no collection needs to look at it again
    try:
        await stop.wait()
    finally:
        server.close()
        connections.stop()
        await _drain(connections)
        parts.scraper.stop()
        logger.info("stopped")


async def _listen(
    settings: config.Settings, connections: serving.Connections
) -> asyncio.AbstractServer:
    host, port = split_address(settings.listen_address)
    context = _tls_context(settings.tls)
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(connections.make, host, port, ssl=context, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise StartError(_listen_failure(settings.listen_address, error)) from error


def _listen_failure(address: str, error: Exception) -> str:
    way_out = "set listen_address (EXPORTER_LISTEN_ADDRESS) to an address with a free port"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{address}: another program listens there: stop it, or {way_out}"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{address}: cannot listen there: {reason}: {way_out}"


def _tls_context(tls: config.Tls) -> ssl.SSLContext | None:
    if tls.cert_file is None or tls.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for key, path in (("tls.cert_file", tls.cert_file), ("tls.key_file", tls.key_file)):
        if not os.access(path, os.R_OK):
            raise config.ConfigError(f"{key}: {path}: name a PEM file that can be read")
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise config.ConfigError(
            f"tls: {tls.cert_file}, {tls.key_file}: not a certificate and its key ({reason})"
        ) from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted: give it without a passphrase")


def _say_where(
    settings: config.Settings, server: asyncio.AbstractServer, gate: access.Access
) -> None:
    scheme = "https" if settings.tls.cert_file else "http"
    sockets = getattr(server, "sockets", ())
    port = sockets[0].getsockname()[1] if sockets else split_address(settings.listen_address)[1]
    host = settings.listen_address.rpartition(":")[0]
    logger.info(
        "listening",
        extra={
            "url": f"{scheme}://{host or '0.0.0.0'}:{port}/metrics",  # noqa: S104 - only shown
            "version": exporter.__version__,
            "auth": "none" if gate.is_open else "required",
        },
    )


async def _drain(connections: serving.Connections) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DRAIN_S
    while connections.open and loop.time() < deadline:
        await asyncio.sleep(serving.POLL_S)
