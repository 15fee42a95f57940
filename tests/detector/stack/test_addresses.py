"""Ports: the default, last time's, or a free one."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
from collections.abc import Iterator

import pytest

from detector import errors
from detector.stack import addresses
from tests import stack


@pytest.fixture
def ports() -> dict[str, int]:
    """Free ports to wish for, so that a stack on this machine is not met."""
    return {part: stack.free_port() for part in addresses.DEFAULT_PORTS}


@contextlib.contextmanager
def listening(port: int, host: str = "127.0.0.1") -> Iterator[None]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen()
        yield


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def test_a_wanted_port_that_is_free_is_used(tmp_path: pathlib.Path, ports: dict[str, int]) -> None:
    said: list[str] = []
    chosen = addresses.choose(tmp_path, ports, said.append)
    assert chosen == addresses.Addresses(**{part: f"127.0.0.1:{ports[part]}" for part in ports})
    assert said == []


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - taken by somebody else
def test_a_taken_port_gives_way_to_a_free_one_and_is_said(
    tmp_path: pathlib.Path, ports: dict[str, int], host: str
) -> None:
    said: list[str] = []
    with listening(ports["prometheus"], host):
        chosen = addresses.choose(tmp_path, ports, said.append)
    assert port_of(chosen.prometheus) != ports["prometheus"]
    wanted, used = ports["prometheus"], port_of(chosen.prometheus)
    assert said == [f"prometheus: port {wanted} is taken on this machine, using {used}"]
    with listening(port_of(chosen.prometheus)):
        pass


def test_a_port_just_left_by_its_server_counts_as_free(
    tmp_path: pathlib.Path, ports: dict[str, int]
) -> None:
    with socket.create_server(("127.0.0.1", ports["detector"])) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    assert port_of(addresses.choose(tmp_path, ports, print).detector) == ports["detector"]


def test_no_two_parts_share_a_port(tmp_path: pathlib.Path) -> None:
    same = stack.free_port()
    chosen = addresses.choose(tmp_path, dict.fromkeys(addresses.DEFAULT_PORTS, same), print)
    assert len({*chosen.urls().values()}) == len(addresses.DEFAULT_PORTS)


def test_last_times_port_is_kept_while_the_default_is_free_again(
    tmp_path: pathlib.Path, ports: dict[str, int]
) -> None:
    kept = addresses.choose(tmp_path, ports, print)
    addresses.save(tmp_path, kept)
    assert addresses.choose(tmp_path, {}, print) == kept
    assert addresses.load(tmp_path) == kept


def test_a_port_asked_for_outranks_last_times(
    tmp_path: pathlib.Path, ports: dict[str, int]
) -> None:
    addresses.save(tmp_path, addresses.choose(tmp_path, ports, print))
    asked = stack.free_port()
    chosen = addresses.choose(tmp_path, {"detector": asked}, print)
    assert port_of(chosen.detector) == asked


def test_a_folder_without_a_stack_says_what_to_run(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.StackError, match="run mda up first"):
        addresses.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"prometheus": 5}', '{"other": "http://x:1"}'])
def test_damaged_urls_are_reported_and_do_not_stop_the_next_start(
    tmp_path: pathlib.Path, ports: dict[str, int], text: str
) -> None:
    (tmp_path / "urls.json").write_text(text)
    with pytest.raises(errors.StackError, match=re.escape("urls.json is damaged: run mda up")):
        addresses.load(tmp_path)
    assert port_of(addresses.choose(tmp_path, ports, print).detector) == ports["detector"]
