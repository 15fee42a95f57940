"""Where each part listens: its default port, or a free one that stays the same."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import socket
import urllib.parse
from collections.abc import Callable, Mapping
from types import MappingProxyType

from detector import errors, whole

LOOPBACK = "127.0.0.1"
# node_exporter's, Prometheus' and Alertmanager's well-known ports; 8490 is ours.
DEFAULT_PORTS: Mapping[str, int] = MappingProxyType(
    {"exporter": 9100, "prometheus": 9090, "alertmanager": 9093, "detector": 8490}
)
# How far above a taken port another one is sought.
PORTS_TRIED = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """host:port of each part."""

    exporter: str
    prometheus: str
    alertmanager: str
    detector: str

    def url(self, part: str) -> str:
        """The URL of a part, such as http://127.0.0.1:9090."""
        return f"http://{getattr(self, part)}"

    def urls(self) -> dict[str, str]:
        """The URLs of all parts, by name."""
        return {part: self.url(part) for part in DEFAULT_PORTS}


# As docker-compose.yml names them, and as the shipped configurations are written.
COMPOSE = Addresses(**{part: f"{part}:{port}" for part, port in DEFAULT_PORTS.items()})


def choose(home: pathlib.Path, wanted: Mapping[str, int], say: Callable[[str], None]) -> Addresses:
    """A free loopback port for each part: last time's, else the wanted one, else one above it.

    A port that is named in `wanted` and differs from the default was asked for, so it comes first.
    """
    kept = _kept_ports(home)
    ports: dict[str, int] = {}
    for part, default in DEFAULT_PORTS.items():
        asked = wanted.get(part, default)
        first = asked if asked != default else kept.get(part, asked)
        ports[part] = _free_port(
            first, taken={*ports.values(), *({*DEFAULT_PORTS.values()} - {first})}
        )
        if ports[part] != first:
            say(f"{part}: port {first} is taken on this machine, using {ports[part]}")
    return Addresses(**{part: f"{LOOPBACK}:{port}" for part, port in ports.items()})


def save(home: pathlib.Path, addresses: Addresses) -> None:
    """Write urls.json, which tells other commands where this stack is."""
    whole.write(home / "urls.json", json.dumps(addresses.urls(), indent=1))


def load(home: pathlib.Path) -> Addresses:
    """The addresses of the stack that was started last on this folder.

    Raises StackError if none ever was.
    """
    try:
        urls = json.loads((home / "urls.json").read_text())
        return Addresses(**{part: urllib.parse.urlsplit(urls[part]).netloc for part in urls})
    except FileNotFoundError:
        raise errors.StackError(f"no stack was started on {home}: run mda up first") from None
    except (ValueError, TypeError, AttributeError) as exc:
        raise errors.StackError(f"{home / 'urls.json'} is damaged: run mda up again") from exc


def _kept_ports(home: pathlib.Path) -> dict[str, int]:
    try:
        addresses = load(home)
    except errors.StackError:
        return {}
    ports = {part: urllib.parse.urlsplit(url).port for part, url in addresses.urls().items()}
    return {part: port for part, port in ports.items() if port}


def _free_port(first: int, taken: set[int]) -> int:
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        if port not in taken and _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    """Whether nobody listens there; connections that only linger (TIME_WAIT) do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True
