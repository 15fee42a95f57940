"""Whether a tree has the shape of Alertmanager's configurations, as far as it is read here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from detector import errors
from detector.stack.receivers import base

EXPECTED: dict[type, str] = {
    dict: "keys with values are expected",
    list: "a list is expected",
    str: "a text is expected",
}


class _Node(NamedTuple):
    place: str
    given: object
    kind: type


def check(tree: base.Tree, source: object) -> None:
    """Raises ConfigError for what is something else than it has to be.

    source  what the file is called
    """
    for place, given, kind in _nodes(tree):
        if not isinstance(given, kind):
            raise errors.ConfigError(f"{source}: {place}: {given!r:.100}: {EXPECTED[kind]}")


def _nodes(tree: base.Tree) -> Iterator[_Node]:
    """Each before those below it, so that one that is wrong is looked into by nobody."""
    yield _Node("route", tree.get("route"), dict)
    yield from _of_route("route", tree["route"])
    yield from _listed("receivers", tree.get("receivers"), dict)
    for number, receiver in enumerate(tree["receivers"]):
        place = f"receivers.{number}"
        yield _Node(f"{place}.name", receiver.get("name"), str)
        for key, given in receiver.items():
            if key.endswith("_configs"):
                yield from _listed(f"{place}.{key}", given or [], dict)
    yield _Node("global", tree.get("global") or {}, dict)
    for key, kind in (("templates", str), ("time_intervals", dict)):
        yield from _listed(key, tree.get(key) or [], kind)


def _of_route(place: str, route: dict[str, Any]) -> Iterator[_Node]:
    yield from _listed(f"{place}.matchers", route.get("matchers") or [], str)
    routes = route.get("routes") or []
    yield from _listed(f"{place}.routes", routes, dict)
    for number, each in enumerate(routes):
        yield from _of_route(f"{place}.routes.{number}", each)


def _listed(place: str, given: Any, kind: type) -> Iterator[_Node]:
    yield _Node(place, given, list)
    for number, each in enumerate(given):
        yield _Node(f"{place}.{number}", each, kind)
