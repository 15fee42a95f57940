"""How far the scoring has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.console
import rich.progress

LINE_EVERY_S = 5.0


@contextmanager
def shown(
    count: int,
    console: rich.console.Console | None = None,
    *,
    word: str = "scored",
    unit: str = "rows",
) -> Iterator[Callable[[int], None]]:
    """Shows how many of so many are done, on standard error; is told of each more.

    word  what is done to them; unit what they are
    """
    console = console or rich.console.Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines(console, count, f"{word} {{}} of {{}} {unit}")
        return
    bar = rich.progress.Progress(
        rich.progress.TextColumn(word),
        rich.progress.BarColumn(bar_width=30),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn(unit),
        rich.progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(word, total=count)
        yield lambda more: bar.advance(task, more)


def _lines(console: rich.console.Console, count: int, line: str) -> Callable[[int], None]:
    done, said_s = 0, time.monotonic()

    def advance(more: int) -> None:
        nonlocal done, said_s
        done += more
        if done == count or time.monotonic() - said_s >= LINE_EVERY_S:
            said_s = time.monotonic()
            console.print(line.format(done, count), markup=False, soft_wrap=True)

    return advance
