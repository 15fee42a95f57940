"""The report of a backtest on disk: one HTML page, and its pictures as files where asked."""

from __future__ import annotations

from pathlib import Path

from detector import drawing, whole
from detector.backtest import job, page, plots, results


def write(outcome: job.Outcome, *, html: Path | None, png: Path | None, most: int) -> None:
    """Write the page, and the pictures in light colours as overview.png, series-01.png, ...

    most  series that get a picture, those with most to tell first
    Raises ConfigError where a file cannot be written.
    """
    first = outcome.found.variants[0]
    places = results.most_interesting(first.series, most)
    overview = page.Picture(
        {theme.name: plots.overview(outcome.found, theme) for theme in drawing.THEMES},
        f"incidents over time: {first.incidents} in all",
    )
    series = [_series(outcome, place) for place in places if _has_counted(outcome, place)]
    if html is not None:
        whole.write_asked_for(html, page.page_of(outcome.found, overview, series).encode())
    if png is not None:
        whole.write_asked_for(png / "overview.png", overview.png["light"])
        for number, picture in enumerate(series, 1):
            whole.write_asked_for(png / f"series-{number:02}.png", picture.png["light"])


def _has_counted(outcome: job.Outcome, place: int) -> bool:
    scored = outcome.scored[place]
    return scored.counted < len(scored.times_ms)


def _series(outcome: job.Outcome, place: int) -> page.Picture:
    told = outcome.found.variants[0].series[place]
    return page.Picture(
        {theme.name: plots.series(outcome.scored[place], told, theme) for theme in drawing.THEMES},
        f"{told.name}: {len(told.incidents)} incidents",
    )
