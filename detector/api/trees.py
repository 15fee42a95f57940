"""JSON that people send, before it is known what it means."""

from __future__ import annotations

import json

from detector.api import problems


def parse(body: bytes) -> object:
    """The mappings, lists and plain values of a JSON text. Raises Problem 400.

    A key that stands twice is refused: one of the two would be lost without a word.
    """
    try:
        tree: object = json.loads(body, object_pairs_hook=_pairs, parse_constant=_constant)
    except RecursionError:
        raise problems.Problem(400, "body: nested too deep") from None
    except ValueError as error:  # of bytes that are no UTF-8 too
        raise problems.Problem(400, f"body: not JSON: {error}") from None
    return tree


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:100]!r} stands twice in one object")
    return tree


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
