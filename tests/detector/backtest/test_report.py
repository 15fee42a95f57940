"""The page holds what it shows, escaped, and nothing that it would have to fetch."""

from __future__ import annotations

import dataclasses
import html.parser
import io
import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import figure

from detector import drawing, errors, frames
from detector.backtest import job, plots, report, results
from detector.services import matching, outcomes
from tests.detector.services import scored

NAN = float("nan")
HOSTILE = 'up{path="<script>alert(1)</script>$x^2$\n&"}'


class Page(html.parser.HTMLParser):
    """What of a page matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "img", "source"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def outcome(*series: outcomes.Scored, labelled: bool = True) -> job.Outcome:
    incidents = [outcomes.incidents_of(each) for each in series]
    first_ms, last_ms = int(series[0].times_ms[0]), int(series[0].times_ms[-1])
    events = (outcomes.Span(first_ms, first_ms + 1),) if labelled else ()
    variant = results.VariantResult(
        name="<settings>",
        budget="1 per week per series",
        allowed_per_week=1.0,
        weeks=(last_ms - first_ms) / job.WEEK_MS,
        series=tuple(
            results.SeriesResult(each.name, each.days, told, (), events)
            for each, told in zip(series, incidents, strict=True)
        ),
        quality=matching.quality_of(series, incidents, [events] * len(series)),
        expected=None,
    )
    found = results.Backtest("<q>", first_ms, last_ms, (variant, variant), ("<note>",))
    return job.Outcome(found, series)


def hostile(name: str = HOSTILE) -> outcomes.Scored:
    return scored.scored([0, 0.5, 2, 3, 0, NAN, 0.2] * 40, name=name)


def size_of(png: bytes) -> tuple[int, ...]:
    return matplotlib.image.imread(io.BytesIO(png)).shape


def test_labels_are_escaped_and_nothing_is_fetched(tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    report.write(outcome(hostile()), html=file, png=None, most=5)
    text = file.read_text(encoding="utf-8")
    page = Page(text)

    assert page.open == []
    assert "script" not in page.tags
    assert HOSTILE.replace("\n", " ") in page.text.replace("\n", " ")
    assert {"<q>", "<note>", "<settings>"} <= set(re.findall(r"<\w+>", page.text))
    assert re.findall(r'(?:src|srcset|href)="(?!data:image/png;base64,)', text) == []
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text


def test_only_the_most_interesting_series_have_pictures(tmp_path: Path) -> None:
    calm = scored.scored([0.1] * 280, name="calm")
    other = scored.scored(([0.1] * 10 + [2.0]) * 25 + [0.1] * 5, name="other")
    made = outcome(calm, hostile("noisy"), other, labelled=False)

    report.write(made, html=tmp_path / "r.html", png=tmp_path / "p", most=2)

    text = (tmp_path / "r.html").read_text()
    assert re.findall(r'alt="(\w+): ', text) == ["noisy", "other"]
    assert "The 2 of 3 with most to tell" in text
    assert [path.name for path in sorted((tmp_path / "p").iterdir())] == [
        "overview.png",
        "series-01.png",
        "series-02.png",
    ]


@pytest.mark.parametrize("theme", drawing.THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize(
    "series",
    [
        pytest.param(scored.scored([0.1, 2.0]), id="two samples"),
        pytest.param(scored.scored([NAN, NAN, NAN]), id="no sample"),
        pytest.param(scored.scored([0.0, 1e300, np.inf]), id="huge scores"),
        pytest.param(scored.scored([0.1] * 200_000, step_s=5), id="a week at 5 s"),
    ],
)
def test_every_series_can_be_drawn(series: outcomes.Scored, theme: drawing.Theme) -> None:
    told = results.SeriesResult("日本" + "a" * 500, 1.0, outcomes.incidents_of(series), (), ())

    assert size_of(plots.series(series, told, theme))[:2] == (561, 1512)


@pytest.mark.parametrize("days", [1, 10, 100])
def test_incidents_are_counted_by_hour_day_or_week(days: int) -> None:
    made = outcome(scored.scored(([0.1] * 20 + [2.0]) * days, step_s=4000))

    assert size_of(plots.overview(made.found, drawing.LIGHT))[:2] == (388, 1512)


def test_long_curves_keep_their_extremes_and_gaps() -> None:
    values = np.sin(np.arange(100_000) / 900)
    values[50_000], values[70_000:75_000] = 99.0, NAN
    series = scored.scored(values.tolist())

    at, thin = plots._thin(series.times_ms, values)

    assert len(at) == len(thin) <= plots.MOST_POINTS
    assert np.nanmax(thin) == 99.0
    assert np.isnan(thin).sum() > 50
    assert (np.diff(at) > 0).all()


@pytest.mark.parametrize(("edge", "word"), [(2.0, "band"), (900.0, "band (wider than shown)")])
def test_a_band_that_cannot_be_seen_is_said(edge: float, word: str) -> None:
    part = figure.Figure().subplots()
    part.set_ylim(0, 10)
    series = hostile()
    wide = dataclasses.replace(series, lower=series.values - edge, upper=series.values + edge)

    assert plots._band_word(part, wide) == word


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(errors.ConfigError, match="name a file that can be written"):
        report.write(outcome(hostile()), html=tmp_path / "f" / "r.html", png=None, most=0)


def test_kinds_are_words_in_the_summary() -> None:
    summary = json.loads(json.dumps(results.summary_of(outcome(hostile()).found)))

    series = summary["configurations"][0]["series"][0]
    assert {one["kind"] for one in series["incidents"]} == {frames.Kind.SPIKE.name.lower()}
