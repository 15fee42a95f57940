"""A small picture of a series about the start of an alert, for a message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import axes, figure, ticker

from detector import drawing, frames

WIDTH_IN, HEIGHT_IN, DPI = 6.0, 2.4, 200
"""Twice the pixels at which mail programs show it: 600 by 240."""
LONGEST_TITLE = 64


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn.

    times_ms  int64[T]
    values    float64[T], NaN where there is no sample
    expected, lower, upper
              float64[T] likewise; None where nothing scores the series
    limit     that the values are compared with, and what it says
    start_ms, end_ms  of the alert; it lasts where it has no end
    """

    title: str
    unit: str
    times_ms: frames.Ints
    values: frames.Floats
    start_ms: int
    end_ms: int | None
    expected: frames.Floats | None = None
    lower: frames.Floats | None = None
    upper: frames.Floats | None = None
    limit: float | None = None
    limit_text: str = ""


def png(chart: Chart) -> bytes:
    """The picture, on white: mail programs and Slack turn colours of text, not of pictures."""
    theme = drawing.LIGHT
    sheet = figure.Figure(
        figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained", facecolor=theme.ground
    )
    part = sheet.subplots()
    drawing.style(part, theme)
    at = drawing.dates(chart.times_ms)
    if chart.lower is not None and chart.upper is not None:
        part.fill_between(
            at, chart.lower, chart.upper, color=theme.band, alpha=0.28, linewidth=0, zorder=1
        )
    if chart.expected is not None:
        part.plot(at, chart.expected, color=theme.expected, linewidth=1.0, zorder=2)
    if chart.limit is not None:
        part.axhline(chart.limit, color=theme.incident, linewidth=1, linestyle=(0, (4, 2)))
    part.plot(at, chart.values, color=theme.value, linewidth=1.3, zorder=3)
    if np.isfinite(chart.values).sum() < 2:
        part.plot(at, chart.values, color=theme.value, marker=".", zorder=3)
    _mark_alert(part, chart, theme)
    part.set_xlim(at[0], at[-1])
    low, high = _shown(chart)
    drawing.value_axis(part, low, high, below=0.07, above=0.1)
    _label(part, chart, theme)
    drawing.time_axis(part)
    return drawing.png(sheet, dpi=DPI)


def _mark_alert(part: axes.Axes, chart: Chart, theme: drawing.Theme) -> None:
    """The time in which it fires is shaded, its start a line."""
    last_ms = int(chart.times_ms[-1])
    ends_ms = last_ms if chart.end_ms is None else min(chart.end_ms, last_ms)
    first, last = drawing.dates(np.array([chart.start_ms, max(ends_ms, chart.start_ms)]))
    part.axvspan(first, last, color=theme.incident, alpha=0.12, linewidth=0, zorder=0)
    part.axvline(first, color=theme.incident, linewidth=1.2, zorder=4)


def _shown(chart: Chart) -> tuple[float, float]:
    """All values and the limit; of what was expected as much as is not far from them."""
    held = chart.values[np.isfinite(chart.values)]
    ends = [*([] if chart.limit is None else [chart.limit])]
    if held.size:
        ends += [float(held.min()), float(held.max())]
    band = [each for each in (chart.lower, chart.upper, chart.expected) if each is not None]
    known = np.concatenate([each[np.isfinite(each)] for each in band]) if band else held
    if not ends:
        ends = [float(known.min()), float(known.max())] if known.size else [0.0, 1.0]
    low, high = min(ends), max(ends)
    if band and known.size:
        room = (high - low) or abs(high) or 1.0
        low = min(low, max(float(known.min()), low - room))
        high = max(high, min(float(known.max()), high + room))
    return low, high


def _label(part: axes.Axes, chart: Chart, theme: drawing.Theme) -> None:
    title, word, colour = chart.title, "", theme.text
    if len(title) > LONGEST_TITLE:
        title = title[: LONGEST_TITLE - 1] + "…"
    part.set_title(
        drawing.plain(title), loc="left", color=theme.text, fontsize=9, fontweight="bold", pad=5
    )
    if chart.expected is not None:
        word, colour = "expected", theme.expected
    elif chart.limit is not None:
        word, colour = chart.limit_text, theme.incident
    part.set_title(drawing.plain(word), loc="right", color=colour, fontsize=8, pad=5)
    unit = f" {chart.unit}" if len(chart.unit) <= len("B/s") else ""
    part.yaxis.set_major_locator(ticker.MaxNLocator(nbins=4))
    part.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: drawing.plain(f"{drawing.short(value)}{unit}"))
    )
    part.tick_params(labelsize=7.5)
