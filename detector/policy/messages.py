"""Messages of alerts: text, the value, and labels, in a part of Prometheus' template language."""

from __future__ import annotations

import re

SIGN = "{{"
_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_SPACE = "[ \t\r\n]"
"""All that Go's templates take for a space; Python's \\s is more."""
_INSIDE = re.compile(
    rf"{_SPACE}*\$(?:value|labels\.[a-zA-Z_][a-zA-Z0-9_]*)"
    rf"(?:{_SPACE}*\|{_SPACE}*"
    "(?:humanize|humanize1024|humanizeDuration|humanizePercentage|title|toUpper|toLower"
    rf'|printf{_SPACE}+"%\.[0-9]f"))?{_SPACE}*'
)
ALLOWED = (
    "{{ $value }} and {{ $labels.NAME }} are allowed, each with | humanize, humanize1024, "
    'humanizeDuration, humanizePercentage, title, toUpper, toLower or printf "%.1f"'
)


def checked(text: str) -> str:
    """The text, if Prometheus can fill it in and nothing in it does more than that.

    Raises ValueError that says what is allowed.
    """
    for place in _PLACE.finditer(text):
        if not _INSIDE.fullmatch(place[1]):
            raise ValueError(f"{place[0]} is not taken: {ALLOWED}")
    if SIGN in _PLACE.sub("", text):
        raise ValueError(f"{SIGN} without its end: {ALLOWED}")
    return text


def literal(text: str) -> str:
    """The text as a template that gives it back.

    >>> print(literal("a {{ b"))
    a {{"{{"}} b
    """
    return text.replace(SIGN, '{{"{{"}}')
