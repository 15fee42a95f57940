"""How an SMS is coded and cut: GSM 03.38 and UCS-2, one part or several.

Source: 3GPP TS 23.038 (alphabet) and TS 23.040 (a part of several spends 6 octets on its header).
"""

from __future__ import annotations

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "^{}\\[~]|€\f"
"""Characters that take two septets."""
SINGLE, PART = 160, 153
"""Septets of a text in one part, and of each of several."""
WIDE_SINGLE, WIDE_PART = 70, 67
"""The same in UTF-16 code units, where a character is in neither table."""
MARK = "..."
"""Stands for what was cut off."""

_SEPTETS = dict.fromkeys(BASIC, 1) | dict.fromkeys(EXTENDED, 2)


def is_plain(text: str) -> bool:
    """Whether the text goes in the GSM alphabet.

    >>> is_plain("CPU at 93 %, 5 €"), is_plain("CPU at 93 % \\u2191")
    (True, False)
    """
    return all(character in _SEPTETS for character in text)


def parts_of(text: str) -> int:
    """In how many parts the text is sent; a character is never split between two.

    >>> parts_of("a" * 160), parts_of("a" * 161), parts_of("\\u2191" * 71)
    (1, 2, 2)
    """
    sizes, single, part = _sizes(text)
    if sum(sizes) <= single:
        return 1
    parts, room = 1, part
    for size in sizes:
        if size > room:
            parts, room = parts + 1, part
        room -= size
    return parts


def fitted(text: str, most: int) -> str:
    """The text, cut where it would take more than so many parts.

    >>> fitted("a" * 161, 1) == "a" * 157 + "..."
    True
    """
    if parts_of(text) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if parts_of(text[:middle] + MARK) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low] + MARK


def _sizes(text: str) -> tuple[list[int], int, int]:
    """What each character takes, and how much goes into a single part and into one of several."""
    if is_plain(text):
        return [_SEPTETS[character] for character in text], SINGLE, PART
    return [1 + (character > "\uffff") for character in text], WIDE_SINGLE, WIDE_PART
