"""Messages of alerts: text, the value, and labels, in a part of Prometheus' template language."""

from __future__ import annotations

import re

SIGN = "{{"
_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_SPACE = "[ \t\r\n]"
"""All that Go's templates take for a space; Python's \\s is more."""
_NUMBER = "humanize|humanize1024|humanizeDuration|humanizePercentage"
_INSIDE = re.compile(
    rf"{_SPACE}*(?:"
    rf'\$value(?:{_SPACE}*\|{_SPACE}*(?:{_NUMBER}|printf{_SPACE}+"%\.[0-9]f"))?'
    r"|\$labels\.[a-zA-Z_][a-zA-Z0-9_]*"
    rf"(?:{_SPACE}*\|{_SPACE}*(?:{_NUMBER}|title|toUpper|toLower))?"
    rf"){_SPACE}*"
)
"""What else Prometheus parses fails when an alert is made, and the whole message with it: text of a
value in capitals, or a label as %.1f."""
ALLOWED = (
    "{{ $value }} and {{ $labels.NAME }} are allowed, each with | humanize, humanize1024, "
    'humanizeDuration or humanizePercentage, the value with | printf "%.1f", a label with | title, '
    "toUpper or toLower"
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
