"""`mda demo spike`: a burst of real CPU, watched on its way from the host to memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rich import console, live, progress, spinner, table, text

from detector import config, errors
from detector.demo import burst, timeline, watch

QUERY = "host_cpu"
ALERT = "AnomalyDetected"
LEAST_S, MOST_S = 20.0, 300.0
POLL_S = 0.25
PATIENCE = timedelta(minutes=5)
"""How long after the burst its episode may take to resolve before the demo gives up."""
_BLOCKS = "▁▂▃▄▅▆▇█"


def run(settings: config.Settings, *, seconds: float) -> int:
    """Show the burst and its timeline; 0 if the anomaly came through and resolved, else 1.

    Raises ConfigError for a length out of bounds, StackError if no stack runs.
    """
    if not LEAST_S <= seconds <= MOST_S:
        raise errors.ConfigError(f"--seconds: {seconds:g}: {LEAST_S:g} to {MOST_S:g} are allowed")
    urls = watch.urls_from_home(settings.home)
    screen = console.Console()
    step_s = settings.metric_collection_interval.total_seconds()
    watcher = watch.Watch(urls, query=QUERY, alert=ALERT, since=datetime.now(UTC))  # noqa: TID251 - the demo's own clock
    _wait_until_warm(watcher, screen)
    _wait_until_quiet(watcher, screen)
    started_s = time.time()  # noqa: TID251 - compared with the server's clock on this host
    watcher = watch.Watch(
        urls, query=QUERY, alert=ALERT, since=datetime.fromtimestamp(started_s, UTC)
    )
    line = timeline.Timeline(started_s, math.ceil(started_s / step_s) * step_s)
    screen.print(
        f"\n[bold]{seconds:g} s of full load on every core[/], then: "
        "host → exporter → Prometheus → detector → rule → Alertmanager → PostgreSQL\n"
    )
    with burst.Burst(seconds) as load:
        over = _follow(line, watcher.look, load, screen)
    return _summary(line, screen, over=over)


def _wait_until_warm(watcher: watch.Watch, screen: console.Console) -> None:
    seen, needed = watcher.warm_up()
    if seen >= needed:
        return
    with progress.Progress(console=screen, transient=True) as bar:
        task = bar.add_task(f"warm-up of {QUERY}", total=needed)
        while seen < needed:
            time.sleep(1)
            seen, needed = watcher.warm_up()
            bar.update(task, completed=seen, total=needed)


def _wait_until_quiet(watcher: watch.Watch, screen: console.Console) -> None:
    sight = watcher.look()
    if not _is_loud(sight):
        return
    with screen.status(f"{QUERY} is anomalous already: waiting until it is quiet (Ctrl-C ends)"):
        while _is_loud(sight):
            time.sleep(1)
            sight = watcher.look()


def _is_loud(sight: watch.Sight) -> bool:
    return sight.score is None or sight.score > 1 or sight.rule_state is not None


def _follow(
    line: timeline.Timeline,
    look: Callable[[], watch.Sight],
    load: burst.Burst,
    screen: console.Console,
) -> bool:
    """Watch until the last station is passed (True) or patience ends (False)."""
    scores: list[float] = []
    last_ms, ended_s = 0, math.inf
    with live.Live(console=screen, refresh_per_second=8, transient=True) as view:
        while not line.is_over():
            now_s = time.time()  # noqa: TID251 - compared with the server's clock on this host
            if math.isinf(ended_s) and load.is_over():
                ended_s = now_s
            if now_s - ended_s > PATIENCE.total_seconds():
                return False
            sight = look()
            for station in line.note(sight, now_s):
                if not screen.is_terminal:
                    screen.print(_plain(station))
            if sight.score is not None and sight.score_ms != last_ms:
                last_ms = sight.score_ms or 0
                scores.append(sight.score)
            view.update(_picture(line, scores, busy=math.isinf(ended_s), now_s=now_s))
            time.sleep(POLL_S)
    return True


def _picture(
    line: timeline.Timeline, scores: list[float], *, busy: bool, now_s: float
) -> table.Table:
    grid = _stations(line)
    if not line.is_over():
        grid.add_row(
            spinner.Spinner("dots"),
            timeline.TITLES[len(line.passed)] + " …",
            text.Text(f"{now_s - line.first_bad_s:+7.1f} s", style="dim"),
            text.Text("cores busy" if busy else "cores quiet again", style="dim"),
        )
    grid.add_row("", "[dim]score[/]", "", _sparkline(scores[-48:]))
    return grid


def _stations(line: timeline.Timeline) -> table.Table:
    grid = table.Table.grid(padding=(0, 2))
    for station in line.passed:
        grid.add_row(
            "[green]✓[/]",
            f"[bold]{station.title}[/]",
            f"{station.after_s:+7.1f} s",
            f"[dim]{station.detail}[/]",
        )
    return grid


def _sparkline(scores: list[float]) -> text.Text:
    """One block a score, from 0 to the highest (at least 2); red above 1."""
    top = max([2.0, *scores])
    line = text.Text()
    for score in scores:
        block = _BLOCKS[min(int(score / top * len(_BLOCKS)), len(_BLOCKS) - 1)]
        line.append(block, style="red" if score > 1 else "green")
    return line


def _plain(station: timeline.Station) -> str:
    return f"{station.after_s:+7.1f} s  {station.title}: {station.detail}"


def _summary(line: timeline.Timeline, screen: console.Console, *, over: bool) -> int:
    if screen.is_terminal:
        screen.print(_stations(line))
    if over:
        screen.print(
            f"\n[green]The loop is closed.[/] Highest score {line.peak:.1f}; "
            "seconds count from the first sample that could show the burst."
        )
        return 0
    screen.print(
        f"\n[red]Not seen: {timeline.TITLES[len(line.passed)]}.[/] "
        f"Highest score {line.peak:.1f}. The logs are in MDA_HOME/logs."
    )
    return 1
