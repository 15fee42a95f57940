"""What providers say, which may be anything, as text that can be kept, shown and logged."""

from __future__ import annotations

import base64
import json
import math
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import TypeGuard

LONGEST_REASON = 300
LONGEST_ID = 100
HIDDEN = "***"
_DECIMALS = 8
"""As many as prices have."""
_SHORTEST_SECRET = 4
"""Less than this is no secret, and hiding it would blacken every other word."""


class Scrubber:
    """Makes one short line of any text, without these secrets in any form that they travel in."""

    def __init__(self, *secrets: str) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)

    def line(self, text: str, limit: int = LONGEST_REASON) -> str:
        """The text without secrets, line breaks and control characters, at most `limit` long.

        >>> Scrubber("tiger").line("bad secret\\ntiger \\x1b[31m", 20)
        'bad secret *** [31m'
        """
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        printable = "".join(char if char.isprintable() else " " for char in text)
        line = " ".join(printable.split())
        return line if len(line) <= limit else line[: limit - 1] + "…"

    def identifier(self, value: object) -> str:
        """A provider's name for a message; empty where it gave none that is fit to keep."""
        if not isinstance(value, str) or len(value) > LONGEST_ID or not value.isprintable():
            return ""
        return self.line(value)


def _forms(secret: str) -> Iterator[str]:
    if len(secret) < _SHORTEST_SECRET:
        return
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield urllib.parse.quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield base64.b64encode(secret.encode()).decode()


def decoded(body: bytes) -> object:
    """What JSON says; None for what is none, and for null."""
    try:
        said: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said


def is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def objects(value: object) -> list[Mapping[str, object]] | None:
    """The objects of a JSON array; None for anything else, also where one of them is none."""
    if not isinstance(value, list):
        return None
    found = [each for each in value if is_mapping(each)]
    return found if len(found) == len(value) else None


def words(*values: object) -> str:
    """The texts and numbers among these, joined; nulls and empty texts left out.

    >>> words("code 7", None, "", "barred", {"no": "text"})
    'code 7: barred'
    """
    return ": ".join(str(each) for each in values if isinstance(each, str | int) and each != "")


def price(value: object) -> float | None:
    """A price as providers write it, some below zero since it is taken off; None for what is none.

    >>> price("0.03330000"), price("-0.00750"), price(None), price("nan"), price("?")
    (0.0333, 0.0075, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = abs(float(value))
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def total(values: list[object]) -> float | None:
    """The sum of prices; None if one of them is not told, or there are none.

    >>> total(["0.0333", "0.0333", "0.0333"]), total(["0.1", "?"]), total([])
    (0.0999, None, None)
    """
    prices = [price(value) for value in values]
    known = [each for each in prices if each is not None]
    if not known or len(known) < len(prices):
        return None
    return round(math.fsum(known), _DECIMALS)
