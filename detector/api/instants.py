"""Instants as RFC 3339 writes them."""

import re
from datetime import UTC, datetime
from typing import Annotated

import pydantic

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
"""The grammar of RFC 3339, section 5.6, with at most nanoseconds, which is what Go writes."""


def _check(value: object) -> object:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        return value
    raise ValueError("an instant with its zone, such as 2026-03-01T12:00:00Z (RFC 3339)")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("an instant between the years 1 and 9999 in UTC") from None


Instant = Annotated[
    pydantic.AwareDatetime, pydantic.BeforeValidator(_check), pydantic.AfterValidator(_in_utc)
]
"""An aware datetime in UTC, to the microsecond, from text of RFC 3339 and nothing else."""
