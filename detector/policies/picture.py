"""A picture of previews: when each series of each rule waited and fired."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.ticker
import numpy as np
from matplotlib import axes, figure, patches

from detector import errors, frames
from detector.backtest import plots
from detector.policies import preview_text, strips
from detector.policy import actions, firing, promql
from detector.services import previews

WIDTH_IN = 11.5
ROW_IN, HEAD_IN, FOOT_IN, TITLE_IN, LINE_IN = 0.235, 0.5, 0.4, 0.62, 0.19
EDGE, LEFT, RIGHT = 0.014, 0.245, 0.885
"""Of the width: where text begins, where time begins and ends, before the figures of a row."""
MOST_SERIES, MOST_RULES = 20, 40
LONGEST_NAME, LINE_CHARS = 34, 150
LEAST_WIDTH_RATIO = 0.0018
"""Of the whole time: what is shorter is drawn so wide, or it would not be seen."""
MOST_PLACES = 1_000
"""Of the curve that stands for the series left out."""
WARNING, SHUT, SOFT = "#b45309", "#e9edf1", "#5b6875"
COLOURS: Mapping[actions.Severity, tuple[str, str]] = {
    actions.Severity.CRITICAL: ("#a4133c", "#f2bccb"),
    actions.Severity.HIGH: ("#d64545", "#f5c9c9"),
    actions.Severity.WARNING: ("#e07a00", "#fbdcb4"),
    actions.Severity.MEDIUM: ("#c99700", "#f3e4ae"),
    actions.Severity.LOW: ("#2f74c0", "#c5dcf3"),
    actions.Severity.INFO: ("#5b7083", "#d3dce4"),
}
"""While it fires, and while it waits."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a rule's plot: a series, or what stands for all that have none."""

    name: str
    figures: str
    series: tuple[previews.Series, ...]


def write(path: Path, found: Sequence[previews.Preview]) -> None:
    """Write the picture. Raises ConfigError where the file can't be written."""
    content = drawn(found)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise errors.ConfigError(
            f"--png: {path}: {error.strerror}: name a file that can be written"
        ) from None


def drawn(found: Sequence[previews.Preview]) -> bytes:
    """A PNG: below each policy's name its rules, below each rule its series over time."""
    placed = [(each, rule) for each in found for rule in each.rules][:MOST_RULES]
    heights = [_height(found, each, rule) for each, rule in placed]
    whole = sum(sum(part) for part in heights) + 0.1
    sheet = figure.Figure(figsize=(WIDTH_IN, whole), facecolor=plots.LIGHT.ground)
    top = whole
    told: previews.Preview | None = None
    for (each, rule), (title, head, rows, foot) in zip(placed, heights, strict=True):
        if each is not told:
            _title(sheet, each, top / whole, whole)
            told = each
        bottom = top - title - head - rows
        part = sheet.add_axes((LEFT, bottom / whole, RIGHT - LEFT, rows / whole))
        _head(sheet, rule, (bottom + rows + 0.1) / whole)
        _draw(part, each, rule)
        top = bottom - foot
    return plots.png(sheet)


def _height(
    found: Sequence[previews.Preview], each: previews.Preview, rule: previews.Rule
) -> tuple[float, float, float, float]:
    """Inches of the policy's title, where the rule is its first, of the rule's head, rows, foot."""
    is_first = rule is each.rules[0]
    title = TITLE_IN + LINE_IN * len(_warnings(each)) if is_first else 0.0
    return title, HEAD_IN, ROW_IN * max(len(_rows(rule)), 1), FOOT_IN


def _title(sheet: figure.Figure, each: previews.Preview, top: float, whole_in: float) -> None:
    lines = [(0.14, each.policy, 14.0, plots.LIGHT.text), (0.43, _subtitle(each), 9.0, SOFT)]
    for number, line in enumerate(_warnings(each)):
        lines.append((0.66 + LINE_IN * number, line, 8.5, WARNING))
    for inches, text, size, colour in lines:
        weight = "bold" if inches == lines[0][0] else "normal"
        sheet.text(
            EDGE,
            top - inches / whole_in,
            plots.plain(text),
            va="top",
            fontsize=size,
            fontweight=weight,
            color=colour,
        )


def _subtitle(each: previews.Preview) -> str:
    period = each.period
    start, end = preview_text.instant(period.start_ms), preview_text.instant(period.end_ms)
    return f"{start} to {end} UTC, evaluated every {promql.duration(period.step)}"


def _warnings(each: previews.Preview) -> list[str]:
    return [line for warned in each.warnings for line in textwrap.wrap(f"⚠ {warned}", LINE_CHARS)]


def _rows(rule: previews.Rule) -> list[_Row]:
    shown, more = rule.series[:MOST_SERIES], rule.series[MOST_SERIES:]
    names = strips.short_names([each.labels for each in shown])
    found = [
        _Row(_shortened(name), _figures(each.times, each.firing.total_seconds()), (each,))
        for name, each in zip(names, shown, strict=True)
    ]
    if more:
        times, seconds = sum(e.times for e in more), sum(e.firing.total_seconds() for e in more)
        found.append(_Row(f"and {len(more)} more", _figures(times, seconds), tuple(more)))
    return found


def _figures(times: int, seconds: float) -> str:
    return f"{times}x  {preview_text.span(seconds)}" if times else "only waited"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _draw(part: axes.Axes, each: previews.Preview, rule: previews.Rule) -> None:
    rows, period = _rows(rule), each.period
    _style(part, len(rows))
    edges = np.array([period.start_ms, period.end_ms + period.step_ms])
    first, last = plots.dates(edges).tolist()
    part.set_xlim(first, last)
    for begin_ms, end_ms in rule.shut:
        begin, end = plots.dates(np.array([begin_ms, end_ms])).tolist()
        part.axvspan(begin, end, color=SHUT, linewidth=0, zorder=0)
    for place, row in enumerate(rows):
        if len(row.series) > 1:
            _draw_many(part, row.series, place, period, rule.severity)
        else:
            _draw_one(part, row.series[0], place, period, rule.severity)
        part.annotate(
            row.figures,
            (1, place),
            (8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=plots.LIGHT.text,
        )
    part.set_yticks(range(len(rows)), [plots.plain(row.name) for row in rows])
    plots.time_axis(part)


def _draw_one(
    part: axes.Axes,
    series: previews.Series,
    place: int,
    period: previews.Period,
    severity: actions.Severity,
) -> None:
    fires, waits = COLOURS[severity]
    for spell in series.spells:
        until_ms = _end_ms(spell, period)
        firing_ms = until_ms if spell.firing_ms is None else spell.firing_ms
        _bar(part, place, spell.since_ms, firing_ms, period, waits)
        if spell.firing_ms is not None:
            _bar(part, place, firing_ms, until_ms, period, fires)


def _bar(
    part: axes.Axes,
    place: int,
    begin_ms: int,
    end_ms: int,
    period: previews.Period,
    colour: str,
) -> None:
    if end_ms == begin_ms:
        return
    begin, end = plots.dates(np.array([begin_ms, end_ms])).tolist()
    least = LEAST_WIDTH_RATIO * (period.end_ms - period.start_ms) / 86_400_000
    width = max(end - begin, least)
    part.add_patch(
        patches.Rectangle((begin, place - 0.36), width, 0.72, color=colour, linewidth=0, zorder=2)
    )


def _draw_many(
    part: axes.Axes,
    series: Sequence[previews.Series],
    place: int,
    period: previews.Period,
    severity: actions.Severity,
) -> None:
    """How many of them fire at a time, by height."""
    fires, waits = COLOURS[severity]
    times_ms = np.linspace(period.start_ms, period.end_ms, MOST_PLACES).astype(np.int64)
    count = np.zeros(len(times_ms))
    for spell in (spell for each in series for spell in each.spells):
        if spell.firing_ms is not None:
            count += (times_ms >= spell.firing_ms) & (times_ms < _end_ms(spell, period))
    height = 0.72 * count / max(float(count.max()), 1.0)
    at: frames.Floats = plots.dates(times_ms)
    part.fill_between(
        at, place + 0.36, place + 0.36 - height, step="post", color=fires, linewidth=0, zorder=2
    )
    part.axhline(place + 0.36, color=waits, linewidth=0.8, zorder=1)


def _end_ms(spell: firing.Spell, period: previews.Period) -> int:
    return period.end_ms + period.step_ms if spell.until_ms is None else spell.until_ms


def _style(part: axes.Axes, rows: int) -> None:
    theme = plots.LIGHT
    part.set_facecolor("#fafbfc")
    part.set_ylim(max(rows, 1) - 0.5, -0.5)
    part.grid(visible=True, axis="x", color=theme.faint, linewidth=0.6, alpha=0.8)
    part.set_axisbelow(True)
    for side in ("top", "right", "left"):
        part.spines[side].set_visible(False)
    part.spines["bottom"].set_color(theme.faint)
    part.tick_params(colors=theme.text, labelsize=8.5, length=0)
    part.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def _head(sheet: figure.Figure, rule: previews.Rule, bottom: float) -> None:
    number, text = f"rule {rule.number}  {rule.severity}", preview_text.head(rule)
    sheet.text(
        EDGE,
        bottom,
        number,
        color=COLOURS[rule.severity][0],
        fontsize=9.5,
        fontweight="bold",
        va="bottom",
    )
    sheet.text(
        LEFT,
        bottom,
        plots.plain(f"{rule.condition} → {rule.action}: {text}"),
        color=plots.LIGHT.text,
        fontsize=9,
        va="bottom",
    )
