"""Alerts as one file, written while it is read."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum

import pydantic
from fastapi.responses import StreamingResponse

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run by spreadsheets (OWASP, CSV injection)."""


class Format(StrEnum):
    """Of a file."""

    JSON = "json"
    CSV = "csv"


def answer(
    wanted: Format, kind: type[pydantic.BaseModel], rows: Iterable[pydantic.BaseModel]
) -> StreamingResponse:
    """All rows, which are of this kind, one after the other."""
    is_csv = wanted is Format.CSV
    return StreamingResponse(
        _csv(kind, rows) if is_csv else _json(rows),
        media_type="text/csv; charset=utf-8" if is_csv else "application/json",
        headers={"Content-Disposition": f'attachment; filename="alerts.{wanted}"'},
    )


def _json(rows: Iterable[pydantic.BaseModel]) -> Iterator[str]:
    """An array, a line for each row."""
    before = "[\n"
    for each in rows:
        yield before + each.model_dump_json()
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _csv(kind: type[pydantic.BaseModel], rows: Iterable[pydantic.BaseModel]) -> Iterator[str]:
    """A header, then a line for each row; labels and the like as JSON."""
    yield _line(kind.model_fields)
    for each in rows:
        yield _line(map(_cell, each.model_dump(mode="json").values()))


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    """Inert in a spreadsheet.

    >>> _cell("=1+1"), _cell(None), _cell({"a": "b"}), _cell(-1)
    ("'=1+1", '', '{"a": "b"}', '-1')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return json.dumps(value, ensure_ascii=False)
