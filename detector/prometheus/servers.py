"""What a server is, as far as roads of reading depend on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import msgspec
import yaml

from detector.prometheus import connection, query

T = TypeVar("T")
PROBE_EVERY_S = 60.0
"""A server may be upgraded or replaced while we run."""


class _Build(msgspec.Struct):
    version: str = ""
    application: str = ""


class _Config(msgspec.Struct):
    yaml: str = ""


class _Flags(msgspec.Struct):
    lookback: str = msgspec.field(name="query.lookback-delta", default="")


@dataclass(frozen=True, slots=True)
class Server:
    """Prometheus' major version; None for another server or one that does not say."""

    version: str
    major: int | None
    has_external_labels: bool
    lookback: timedelta | None

    def can_stream_chunks(self, lookback: timedelta) -> bool:
        """Whether what remote_read gives can be made into what a query with this lookback gives.

        External labels are added to series read remotely, and are not there in queries. A lookback
        other than the server's own is not heeded by the queries of Prometheus 2.42.
        """
        if self.major is None or self.has_external_labels:
            return False
        return self.major >= 3 or self.lookback == lookback

    @property
    def includes_lookback(self) -> bool:
        """Whether a sample exactly as old as the lookback stands (left-open since 3.0)."""
        return self.major is not None and self.major < 3


class Probe:
    """Knows the server, and looks again from time to time."""

    def __init__(self, client: connection.Client, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: tuple[float, Server] | None = None

    def server(self) -> Server:
        """Raises UpstreamError when the server cannot be asked."""
        now_s = self._clock()
        if self._known is None or not 0 <= now_s - self._known[0] < PROBE_EVERY_S:
            self._known = now_s, self._look()
        return self._known[1]

    def _look(self) -> Server:
        build = self._read("/api/v1/status/buildinfo", _Build)
        if build is None:
            return Server("unknown", None, False, None)
        flags = self._read("/api/v1/status/flags", _Flags)
        config = self._read("/api/v1/status/config", _Config)
        number = build.version.split(".")[0]
        is_prometheus = number.isdigit() and not build.application and config is not None
        return Server(
            build.version,
            int(number) if is_prometheus else None,
            config is not None and _has_external_labels(config.yaml),
            _duration(flags.lookback) if flags is not None else None,
        )

    def _read(self, path: str, kind: type[T]) -> T | None:
        """The data of a status answer, None where there is no such thing or it is not for us."""
        answer = self._client.call("GET", path)
        if 400 <= answer.status < 500:
            return None
        envelope = query.envelope_from_answer(answer.status, answer.body)
        try:
            return msgspec.json.decode(envelope.data, type=kind)
        except msgspec.DecodeError:
            return None


def _has_external_labels(config: str) -> bool:
    """Whether the section `global` has any; a large configuration is not parsed as a whole."""
    lines = iter(config.splitlines())
    section: list[str] = []
    for line in lines:
        if section and line[:1].strip():
            break
        if section or line.startswith("global:"):
            section.append(line)
    try:
        parsed = yaml.safe_load("\n".join(section)) or {}
        return bool((parsed.get("global") or {}).get("external_labels"))
    except (yaml.YAMLError, AttributeError):
        return True


_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


def _duration(text: str) -> timedelta | None:
    """A duration as Prometheus writes it, such as 1h30m; None for anything else."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum((int(number) * _UNITS[unit] for number, unit in parts), timedelta(0))
