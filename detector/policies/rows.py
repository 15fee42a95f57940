"""The plot of one rule: a row for each series, bars where it waited and where it fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import axes, patches

from detector import drawing
from detector.policies import preview_text, strips
from detector.policy import actions
from detector.services import previews

MOST_SERIES = 20
LONGEST_NAME = 34
LEAST_WIDTH_RATIO = 0.0018
"""Of the whole time: what is shorter is drawn so wide, or it would not be seen."""
MOST_PLACES = 1_000
"""Of the curve that stands for the series left out."""
BAR = 0.72
"""Of a row's height."""
GROUND, SHUT = "#fafbfc", "#e9edf1"
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
class Row:
    """A line of the plot: a series, or all those together that have no line of their own."""

    name: str
    figures: str
    series: tuple[previews.Series, ...]


def rows_of(rule: previews.Rule) -> list[Row]:
    """The series that fired longest, and one row for all others."""
    shown, more = rule.series[:MOST_SERIES], rule.series[MOST_SERIES:]
    names = strips.short_names([each.labels for each in shown])
    found = [
        Row(strips.cut(name, LONGEST_NAME), preview_text.figures([each]), (each,))
        for name, each in zip(names, shown, strict=True)
    ]
    if more:
        found.append(Row(f"and {len(more)} more", preview_text.figures(more), more))
    return found


def draw(part: axes.Axes, rule: previews.Rule, period: previews.Period) -> None:
    """Fill the axes of a rule."""
    rows = rows_of(rule)
    _style(part, len(rows))
    part.set_xlim(_day(period.start_ms), _day(period.end_ms + period.step_ms))
    for begin_ms, end_ms in rule.shut:
        part.axvspan(_day(begin_ms), _day(end_ms), color=SHUT, linewidth=0, zorder=0)
    for place, row in enumerate(rows):
        if len(row.series) == 1:
            _draw_one(part, row.series[0], place, period, COLOURS[rule.severity])
        else:
            _draw_many(part, row.series, place, period, COLOURS[rule.severity])
        part.annotate(
            row.figures,
            (1, place),
            (8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=drawing.LIGHT.text,
        )
    part.set_yticks(range(len(rows)), [drawing.plain(row.name) for row in rows])
    drawing.time_axis(part)


def _draw_one(
    part: axes.Axes,
    series: previews.Series,
    place: int,
    period: previews.Period,
    colours: tuple[str, str],
) -> None:
    fires, waits = colours
    least = LEAST_WIDTH_RATIO * (_day(period.end_ms) - _day(period.start_ms))
    for spell in series.spells:
        since_ms, firing_ms, until_ms = period.bounds(spell)
        for begin_ms, end_ms, colour in (
            (since_ms, firing_ms, waits),
            (firing_ms, until_ms, fires),
        ):
            if end_ms > begin_ms:
                width = max(_day(end_ms) - _day(begin_ms), least)
                corner = (_day(begin_ms), place - BAR / 2)
                part.add_patch(
                    patches.Rectangle(corner, width, BAR, color=colour, linewidth=0, zorder=2)
                )


def _draw_many(
    part: axes.Axes,
    series: Sequence[previews.Series],
    place: int,
    period: previews.Period,
    colours: tuple[str, str],
) -> None:
    """How many of them fire at a time, by height."""
    fires, waits = colours
    times_ms = np.linspace(period.start_ms, period.end_ms, MOST_PLACES).astype(np.int64)
    count = np.zeros(len(times_ms))
    for spell in (spell for each in series for spell in each.spells):
        _, firing_ms, until_ms = period.bounds(spell)
        count += (times_ms >= firing_ms) & (times_ms < until_ms)
    foot = place + BAR / 2
    top = foot - BAR * count / max(float(count.max()), 1.0)
    at = drawing.dates(times_ms)
    part.fill_between(at, foot, top, step="post", color=fires, linewidth=0, zorder=2)
    part.axhline(foot, color=waits, linewidth=0.8, zorder=1)


def _style(part: axes.Axes, rows: int) -> None:
    drawing.style(part, drawing.LIGHT, lines="x")
    part.set_facecolor(GROUND)
    part.set_ylim(max(rows, 1) - 0.5, -0.5)


def _day(time_ms: int) -> float:
    return float(drawing.dates(np.array(time_ms)))
