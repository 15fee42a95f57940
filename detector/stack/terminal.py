"""Lines for the person at the terminal, or for a file that stands in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import rich.box
import rich.console
import rich.table
import rich.text


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


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows below their heads; where there is no terminal, no row is broken."""
    to = console()
    if not to.is_terminal:
        to = rich.console.Console(highlight=False, width=10_000)
    table = rich.table.Table(*heads, box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(rich.text.Text, row))
    to.print(table)
