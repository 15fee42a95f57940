"""Small arithmetic that several kernels share."""

from __future__ import annotations

from detector.models.kernels import compiled


@compiled.part
def clip(value, limit):  # type: ignore[no-untyped-def]
    """The value, cut to within +-limit."""
    return max(-limit, min(limit, value))


@compiled.part
def rate(memory, points):  # type: ignore[no-untyped-def]
    """The rate of a running mean: of all points while they are few, then of its memory."""
    return max(memory, 1.0 / points)


@compiled.part
def mixed(key):  # type: ignore[no-untyped-def]
    """A 32-bit hash that spreads near keys far apart, in products that fit 63 bits."""
    key = key & 0xFFFFFFFF
    for _ in range(2):
        key = (((key >> 16) ^ key) * 0x45D9F3B) & 0xFFFFFFFF
    return (key >> 16) ^ key
