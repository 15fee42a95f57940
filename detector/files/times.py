"""Times as files write them: unix seconds, unix milliseconds or ISO 8601."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from detector import frames
from detector.files import sheets

ALLOWED = "unix seconds or milliseconds, or ISO 8601 such as 2026-03-01T12:00:00Z, is allowed"
ONE_KIND = "all times with a zone (Z, +02:00) or all without, which means UTC, is allowed"

_MILLISECONDS_FROM = 1e11
"""As seconds that is the year 5138, as milliseconds 1973: one such number, and all are these."""
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999, those of a datetime."""
_ZONE = r"[T ].*(?:Z|[+-]\d{2}(?::?\d{2})?)$"


def times_ms(sheet: sheets.Sheet, column: str) -> frames.Ints:
    """int64[R]: the column as unix milliseconds. Raises ConfigError for one that is no time."""
    fields = sheet.columns[column]
    if fields.dtype.kind == "M":
        return _from_instants(sheet, column, fields)
    if fields.dtype.kind in "iuf" or _is_number(fields.iloc[0]):
        return _from_numbers(sheet, column)
    return _from_texts(sheet, column)


def _is_number(field: object) -> bool:
    try:
        float(str(field))
    except ValueError:
        return False
    return True


def _from_numbers(sheet: sheets.Sheet, column: str) -> frames.Ints:
    numbers = sheet.numbers(column, ALLOWED)
    is_ms = bool((np.abs(numbers) >= _MILLISECONDS_FROM).any())
    times = np.rint(numbers if is_ms else numbers * 1000.0)
    _raise_first(sheet, column, ~((times >= _FIRST_MS) & (times <= _LAST_MS)), ALLOWED)
    return times.astype(np.int64)


def _from_texts(sheet: sheets.Sheet, column: str) -> frames.Ints:
    texts = sheet.columns[column].astype(str).str.strip()
    has_zone = texts.str.contains(_ZONE, regex=True).to_numpy(dtype=np.bool_)
    instants = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    read = _from_instants(sheet, column, instants)
    _raise_first(sheet, column, has_zone != has_zone[0], ONE_KIND)
    return read


def _from_instants(sheet: sheets.Sheet, column: str, instants: pd.Series) -> frames.Ints:
    _raise_first(sheet, column, instants.isna().to_numpy(), ALLOWED)
    if instants.dt.tz is not None:
        instants = instants.dt.tz_convert("UTC").dt.tz_localize(None)
    read: frames.Ints = instants.to_numpy().astype("datetime64[ms]").astype(np.int64)
    return read


def _raise_first(
    sheet: sheets.Sheet, column: str, bad: npt.NDArray[np.bool_], allowed: str
) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        raise sheet.wrong(int(rows[0]), column, allowed)
