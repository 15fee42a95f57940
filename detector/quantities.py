"""Numbers with their units, as people read them in a message."""

from __future__ import annotations

from datetime import timedelta

MONEY = "currency"
"""Unit of the catalogue for amounts: which currency it is stands in a label."""
_BYTES = ("B", "B/s")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def quantity(value: float, unit: str = "", *, currency: str = "") -> str:
    """The number with its unit.

    >>> quantity(97.31, "%"), quantity(1_234_567, "B/s"), quantity(1234.5, "currency",
    ...     currency="EUR"), quantity(0.25), quantity(7_500, "s")
    ('97.3 %', '1.23 MB/s', '1,234.50 EUR', '0.25', '2 h 5 min')
    """
    if unit == MONEY:
        return f"{value:,.2f} {currency}".rstrip()
    if unit in _BYTES:
        size, prefix = next((each for each in _PREFIXES if abs(value) >= each[0]), (1.0, ""))
        return f"{number(value / size)} {prefix}{unit}"
    if unit == "s":
        return f"-{span(timedelta(seconds=-value))}" if value < 0 else _seconds(value)
    return f"{number(value)} {unit}".rstrip()


def number(value: float) -> str:
    """Three digits, or all before the point.

    >>> number(0.123456), number(12345.6), number(80.0), number(-0.0)
    ('0.123', '12,346', '80', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.3g}"


def span(length: timedelta) -> str:
    """Two units at most.

    >>> span(timedelta(seconds=59)), span(timedelta(minutes=61)), span(timedelta(hours=50))
    ('59 s', '1 h 1 min', '2 d 2 h')
    """
    seconds = int(length.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return f"{seconds} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def _seconds(value: float) -> str:
    return f"{number(value)} s" if value < 60 else span(timedelta(seconds=value))
