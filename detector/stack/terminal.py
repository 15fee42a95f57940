"""Lines for the person at the terminal, or for a file that stands in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import rich.console


def console() -> rich.console.Console:
    """Standard output, without colours that guess at what a word means."""
    return rich.console.Console(highlight=False)


def sayer(on: rich.console.Console) -> Callable[[str], None]:
    """A function that prints one line after the time of day, above a live display if there is one.

    The line stays one line however narrow the terminal, so that a log of it can be searched.
    """
    return lambda text: on.print(
        f"{time.strftime('%H:%M:%S')} {text}", markup=False, soft_wrap=True
    )


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One line for each row below a line of heads, in columns.

    >>> print(table_of(("ID", "NAME"), [("1", "a"), ("12", "b")]))
    ID  NAME
    1   a
    12  b
    """
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    )
