"""Pictures of a backtest: how often, and each series with its score and what was told of it."""

from __future__ import annotations

from datetime import timedelta

import matplotlib.dates
import matplotlib.ticker
import numpy as np
from matplotlib import axes, figure, patches

from detector import drawing, frames
from detector.backtest import results
from detector.services import expectation, outcomes

WIDTH_IN = 10.5
MOST_POINTS = 4_000
"""More are drawn as the least and the greatest of each stretch: 0.4 of them to a pixel."""
LONGEST_NAME = 110
SCORE_SHOWN = 4.0
"""Scores are shown to so many times the threshold, or to the greatest."""
_RUG = 0.045
"""Of the height: the strip at the foot of a plot in which labels are marked."""


def overview(found: results.Backtest, theme: drawing.Theme) -> bytes:
    """A PNG: incidents of each day or week beside what the budget allows; red is beyond chance."""
    first = found.variants[0]
    bucket, word = _bucket(found)
    at_ms = [one.span.start_ms for each in first.series for one in each.incidents]
    bucket_ms = bucket // timedelta(milliseconds=1)
    start_ms = found.start_ms
    buckets = max(1, -(-(found.end_ms - start_ms + 1) // bucket_ms))
    counts = np.bincount([(one - start_ms) // bucket_ms for one in at_ms], minlength=buckets)
    allowed = first.allowed_per_week * (bucket / timedelta(days=7))
    drawn = figure.Figure(figsize=(WIDTH_IN, 2.7), layout="constrained", facecolor=theme.ground)
    part = drawn.subplots()
    drawing.style(part, theme)
    lefts = drawing.dates(np.array([start_ms + place * bucket_ms for place in range(buckets)]))
    width = bucket / timedelta(days=1)
    part.bar(
        lefts,
        counts,
        width=width * 0.86,
        align="edge",
        color=[theme.incident if _is_over(count, allowed) else theme.value for count in counts],
        alpha=0.85,
        zorder=2,
    )
    part.axhline(allowed, color=theme.expected, linewidth=1.8, linestyle=(0, (5, 2)), zorder=3)
    part.set_title(
        f"the budget allows {allowed:.3g} a {word}",
        loc="right",
        color=theme.expected,
        fontsize=9.5,
        fontweight="bold",
        pad=8,
    )
    part.set_title(f"Incidents a {word}", loc="left", color=theme.text, fontsize=11, pad=8)
    part.set_ylim(0, max(float(counts.max(initial=0)), allowed) * 1.22 + 0.2)
    part.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=5, integer=True))
    part.set_xlim(lefts[0] - 0.07 * width, lefts[0] + buckets * width)
    drawing.time_axis(part)
    return drawing.png(drawn)


def series(scored: outcomes.Scored, told: results.SeriesResult, theme: drawing.Theme) -> bytes:
    """A PNG: value, expected value and band above, the score below; incidents are shaded, labelled
    time is marked at the foot."""
    drawn = figure.Figure(figsize=(WIDTH_IN, 3.9), layout="constrained", facecolor=theme.ground)
    above, below = drawn.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [2.7, 1], "hspace": 0.04}
    )
    for part in (above, below):
        drawing.style(part, theme)
        _shade(part, told, scored.step, theme)
    _draw_value(above, scored, told, theme)
    _draw_score(below, scored, theme)
    _legend(above, told, theme, band=_band_word(above, scored))
    name = told.name if len(told.name) <= LONGEST_NAME else told.name[: LONGEST_NAME - 1] + "…"
    above.set_title(drawing.plain(name), loc="left", color=theme.text, fontsize=10.5, pad=26)
    shown = scored.times_ms[scored.counted :]
    first, last = drawing.dates(np.array([shown[0], shown[-1]]))
    margin = max((last - first) * 0.008, 1e-5)
    below.set_xlim(first - margin, last + margin)
    drawing.time_axis(below)
    return drawing.png(drawn)


def _is_over(count: int, allowed: float) -> bool:
    """Whether so many are more than chance makes of what is allowed."""
    return expectation.poisson_interval(int(count))[0] > allowed


def _draw_value(
    part: axes.Axes, scored: outcomes.Scored, told: results.SeriesResult, theme: drawing.Theme
) -> None:
    counted = slice(scored.counted, None)
    at, value = _thin(scored.times_ms[counted], scored.values[counted])
    places = _few(len(scored.times_ms) - scored.counted) + scored.counted
    band_at = drawing.dates(scored.times_ms[places])
    lower, upper = scored.lower[places], scored.upper[places]
    part.fill_between(band_at, lower, upper, color=theme.band, alpha=0.28, linewidth=0, zorder=1)
    part.plot(
        band_at, scored.expected[places], color=theme.expected, linewidth=0.85, zorder=3, alpha=0.9
    )
    part.plot(at, value, color=theme.value, linewidth=0.95, zorder=2)
    if len(value) < 2:
        part.plot(at, value, color=theme.value, marker=".")
    low, high = _range(scored.values[counted], lower, upper)
    drawing.value_axis(part, low, high, below=0.12, above=0.07)
    for event in told.events:
        first, last = drawing.dates(np.array([event.start_ms, event.end_ms]))
        length = max(last - first, _least_width(scored))
        part.add_patch(
            patches.Rectangle(
                (first, 0),
                length,
                _RUG,
                transform=part.get_xaxis_transform(),
                color=theme.label,
                linewidth=0,
                zorder=4,
            )
        )
    part.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=5))
    part.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: drawing.short(y)))
    part.tick_params(labelbottom=False)


def _draw_score(part: axes.Axes, scored: outcomes.Scored, theme: drawing.Theme) -> None:
    at, score = _thin(scored.times_ms[scored.counted :], scored.score[scored.counted :])
    part.plot(at, score, color=theme.score, linewidth=0.9, zorder=2)
    part.fill_between(
        at, 1.0, score, where=score > 1, color=theme.incident, alpha=0.75, zorder=3, linewidth=0
    )
    part.axhline(1.0, color=theme.incident, linewidth=1.0, linestyle=(0, (4, 2)), zorder=4)
    greatest = float(np.nanmax(score, initial=1.0))
    part.set_ylim(0, min(max(greatest * 1.15, 1.5), SCORE_SHOWN))
    part.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    part.set_ylabel("score", color=theme.text, fontsize=9)


def _shade(
    part: axes.Axes, told: results.SeriesResult, step: timedelta, theme: drawing.Theme
) -> None:
    for incident in told.incidents:
        first, last = drawing.dates(np.array([incident.span.start_ms, incident.span.end_ms]))
        last = max(last, first + step / timedelta(days=1))
        part.axvspan(first, last, color=theme.incident, alpha=0.17, linewidth=0, zorder=0)
        part.axvline(first, color=theme.incident, alpha=0.55, linewidth=0.8, zorder=0)


def _band_word(part: axes.Axes, scored: outcomes.Scored) -> str:
    """Whether the band is seen at all: a wide one would press the values flat, so it is cut."""
    low, high = part.get_ylim()
    lower, upper = scored.lower[scored.counted :], scored.upper[scored.counted :]
    seen = np.isfinite(lower) & np.isfinite(upper)
    cut = (lower[seen] < low) & (upper[seen] > high)
    return "band (wider than shown)" if seen.any() and cut.mean() > 0.5 else "band"


def _legend(
    part: axes.Axes, told: results.SeriesResult, theme: drawing.Theme, *, band: str
) -> None:
    handles: list[patches.Patch] = [
        patches.Patch(color=theme.value, label="value"),
        patches.Patch(color=theme.expected, label="expected"),
        patches.Patch(color=theme.band, alpha=0.4, label=band),
        patches.Patch(color=theme.incident, alpha=0.35, label=f"incident ({len(told.incidents)})"),
    ]
    if told.events:
        handles.append(patches.Patch(color=theme.label, label=f"labelled ({len(told.events)})"))
    part.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.008, 1.0),
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        labelcolor=theme.text,
        handlelength=1.1,
        handleheight=0.7,
        columnspacing=1.4,
    )


def _bucket(found: results.Backtest) -> tuple[timedelta, str]:
    whole = timedelta(milliseconds=found.end_ms - found.start_ms)
    if whole > timedelta(days=42):
        return timedelta(days=7), "week"
    if whole > timedelta(days=2):
        return timedelta(days=1), "day"
    return timedelta(hours=1), "hour"


def _range(
    values: frames.Floats, lower: frames.Floats, upper: frames.Floats
) -> tuple[float, float]:
    """What is shown: all values, and of the band as much as is not far outside of them."""
    held = values[np.isfinite(values)]
    if not held.size:
        return 0.0, 1.0
    low, high = float(held.min()), float(held.max())
    room = (high - low) * 0.25
    bottom, top = (part[np.isfinite(part)] for part in (lower, upper))
    if bottom.size:
        low = min(low, max(float(np.quantile(bottom, 0.02)), low - room))
        high = max(high, min(float(np.quantile(top, 0.98)), high + room))
    return low, high


def _thin(times_ms: frames.Ints, values: frames.Floats) -> tuple[frames.Floats, frames.Floats]:
    """The same curve in at most MOST_POINTS: of each stretch its least and its greatest, in order.
    A gap stays one where it is as long as a stretch."""
    size = len(values)
    if size <= MOST_POINTS:
        return drawing.dates(times_ms), values
    stretches = MOST_POINTS // 2
    edges = np.linspace(0, size, stretches + 1).astype(np.int64)
    chosen: list[int] = []
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        piece = values[first:end]
        held = np.flatnonzero(np.isfinite(piece))
        if not held.size:
            chosen.append(first)
            continue
        ends = {int(held[np.argmin(piece[held])]), int(held[np.argmax(piece[held])])}
        chosen += [first + place for place in sorted(ends)]
    places = np.array(chosen)
    return drawing.dates(times_ms[places]), values[places]


def _few(size: int) -> frames.Ints:
    """Evenly spread places, at most MOST_POINTS."""
    return np.unique(np.linspace(0, size - 1, min(size, MOST_POINTS)).astype(np.int64))


def _least_width(scored: outcomes.Scored) -> float:
    whole_ms = int(scored.times_ms[-1] - scored.times_ms[scored.counted])
    return 0.004 * whole_ms / 86_400_000
