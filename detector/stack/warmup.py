"""Warm-up on the terminal: samples seen of samples needed, then the first scores, once."""

from __future__ import annotations

import time
from collections.abc import Callable

import rich.box
import rich.console
import rich.progress
import rich.table
import rich.text

from detector.stack import status, terminal

READ_EVERY_S = 1.0
# On a terminal that cannot redraw, a line is enough every so often.
LINE_EVERY_S = 15.0
ANOMALOUS = 1.0
# Labels that the table's other columns say.
OURS = ("__name__", "query")


class Display:
    """Shows what read_status says, until the first scores were shown."""

    def __init__(
        self, console: rich.console.Console, read_status: Callable[[], status.Status | None]
    ) -> None:
        self._console = console
        self._say = terminal.sayer(console)
        self._read = read_status
        self._started_s = time.monotonic()
        self._read_s = 0.0
        self._line_s = 0.0
        self._line = ""
        self._is_done = False
        self._notes: tuple[str, ...] = ()
        self._bars: rich.progress.Progress | None = None
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def turn(self) -> None:
        """Look at the detector if it is time to, and show what changed."""
        now_s = time.monotonic()
        if self._is_done or now_s - self._read_s < READ_EVERY_S:
            return
        self._read_s = now_s
        seen = self._read()
        if seen is None:
            return
        if seen.notes != self._notes:
            self._notes = seen.notes
            for note in seen.notes:
                self._say(note)
        if seen.has_first_scores():
            self._is_done = True
            self.close()
            self._show_scores(seen, now_s - self._started_s)
        elif not seen.queries:
            return
        elif self._console.is_terminal:
            self._draw(seen)
        elif now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            self._print_line(seen)

    def close(self) -> None:
        """Take the bars off the terminal."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _draw(self, seen: status.Status) -> None:
        if self._bars is None:
            self._bars = rich.progress.Progress(
                rich.progress.TextColumn("  {task.description}"),
                rich.progress.BarColumn(bar_width=30),
                rich.progress.TextColumn("{task.fields[said]}"),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        for query in seen.queries:
            if query.name not in self._tasks:
                self._tasks[query.name] = self._bars.add_task(query.name, total=1, said="")
            self._bars.update(
                self._tasks[query.name],
                total=max(1, query.samples_needed),
                completed=min(query.samples_seen, query.samples_needed),
                said=_said(query),
            )

    def _print_line(self, seen: status.Status) -> None:
        line = ", ".join(f"{query.name} {_said(query)}" for query in seen.queries)
        if line != self._line:
            self._line = line
            self._say(f"warming up: {line}")

    def _show_scores(self, seen: status.Status, after_s: float) -> None:
        table = rich.table.Table(
            "query",
            rich.table.Column("series", justify="right"),
            rich.table.Column("highest score", justify="right"),
            "of",
            title=f"First scores, {after_s:.0f} s after the start (above 1 is anomalous)",
            title_justify="left",
            title_style="bold",
            box=rich.box.SIMPLE_HEAD,
        )
        for query in seen.queries:
            table.add_row(query.name, str(query.series), *_score(query))
        self._console.print(table)
        self._console.print("See it at work, in another terminal: mda demo spike", markup=False)


def _said(query: status.Query) -> str:
    if query.state == "failing":
        return "failing, see logs/detector.log"
    if query.series == 0:
        return "no series yet"
    seen = min(query.samples_seen, query.samples_needed)
    return f"{seen}/{query.samples_needed} samples, {query.series} series"


def _score(query: status.Query) -> tuple[rich.text.Text, rich.text.Text]:
    if not query.top:
        said = "failing, see logs/detector.log" if query.state == "failing" else "no series"
        return rich.text.Text("-", style="dim"), rich.text.Text(said, style="dim")
    top = query.top[0]
    labels = ", ".join(f"{name}={value}" for name, value in top.labels.items() if name not in OURS)
    style = "bold red" if top.score > ANOMALOUS else "green"
    return rich.text.Text(f"{top.score:.2f}", style=style), rich.text.Text(labels)
