"""The two pieces of protobuf that all our messages are made of."""

from __future__ import annotations


def varint(number: int) -> bytes:
    r"""A number >= 0, seven bits a byte, lowest first.

    >>> varint(300)
    b'\xac\x02'
    """
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def int64(number: int) -> bytes:
    """A number of either sign, as protobuf's int64."""
    return varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def field(tag: int, content: bytes) -> bytes:
    """A length-delimited field; tag is field number * 8 + 2."""
    return bytes((tag,)) + varint(len(content)) + content


def read_varint(text: bytes | bytearray, i: int) -> tuple[int, int]:
    """(number, where it ends) of the varint at i; raises IndexError where it is cut off."""
    value = text[i]
    i += 1
    if value < 0x80:
        return value, i
    value &= 0x7F
    shift = 7
    while True:
        byte = text[i]
        i += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, i
        shift += 7
