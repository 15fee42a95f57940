"""Text that PostgreSQL can hold."""

from __future__ import annotations

from collections.abc import Mapping

from detector import frames

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """The text with NUL and lone surrogates, which PostgreSQL's text lacks, as U+FFFD.

    Refusing them would make Alertmanager send the alert again for as long as it fires.

    >>> storable("a\\x00b")
    'a�b'
    """
    clean = text.replace("\x00", REPLACEMENT)
    return (
        clean
        if clean.isascii()
        else clean.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def document(labels: frames.Labels) -> dict[str, str]:
    """Labels as the JSON object that is stored."""
    return {storable(name): storable(value) for name, value in labels}


def labels(document: Mapping[str, str]) -> frames.Labels:
    """Labels from the JSON object that is stored."""
    return frames.labels_from_pairs(document.items())
