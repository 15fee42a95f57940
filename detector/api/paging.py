"""What lists have in common: labels that are wanted, and cursors from page to page."""

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, Field

from detector import frames

LARGEST_ID = 2**63 - 1
"""PostgreSQL's bigint."""
_CURSOR = b"after:"


def _label(value: object) -> object:
    name, colon, wanted = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not (name and colon and wanted):
        raise ValueError("name:value, neither of them empty")
    return value


def _cursor(value: object) -> object:
    """The id in a cursor that an earlier answer gave."""
    if value is None:
        return None
    try:
        text = base64.b64decode(str(value).encode("ascii"), altchars=b"-_", validate=True)
        last_id = int(text.removeprefix(_CURSOR))
    except (binascii.Error, ValueError):
        last_id = 0
    if not 0 < last_id <= LARGEST_ID or cursor_after(last_id) != value:
        raise ValueError("the next_cursor of an earlier answer")
    return last_id


def cursor_after(last_id: int) -> str:
    """What a client hands back to get the page after this row; nothing to rely on."""
    return base64.urlsafe_b64encode(_CURSOR + str(last_id).encode()).decode()


Label = Annotated[
    str, BeforeValidator(_label), Field(json_schema_extra={"pattern": r"^[^:]+:[\s\S]+$"})
]
"""name:value, neither of them empty."""

Cursor = Annotated[
    int | None,
    BeforeValidator(_cursor),
    Field(
        description="next_cursor of the page before, with the same filters.",
        json_schema_extra={"type": "string"},
    ),
]
"""The id that a cursor stands for."""


def pairs(wanted: Iterable[Label]) -> frames.Labels:
    """The pairs of name:value, as they come.

    >>> pairs(["job:a", "path:/a:b"])
    (('job', 'a'), ('path', '/a:b'))
    """
    parts = (each.partition(":") for each in wanted)
    return tuple((name, value) for name, _, value in parts)
