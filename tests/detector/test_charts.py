"""Small pictures of a series: what is seen on them."""

from __future__ import annotations

import dataclasses

import numpy as np

from detector import charts, frames
from tests.detector.services.test_charting import PLOT, has_colour, pixels

VALUE, EXPECTED, INCIDENT = "#1d4f91", "#e08a00", "#d64545"
TIMES_MS = np.arange(0, 600_000, 10_000, dtype=np.int64)
NOTHING = np.full(len(TIMES_MS), np.nan)
RAMP = np.linspace(0.0, 10.0, len(TIMES_MS))
CHART = charts.Chart("load", "", TIMES_MS, RAMP, start_ms=300_000, end_ms=None)


def level(value: float) -> frames.Floats:
    return np.full(len(TIMES_MS), value)


def height_of_value(picture: bytes) -> int:
    """Rows in which the curve is."""
    wanted = np.array([0x1D, 0x4F, 0x91]) / 255
    is_value = (np.abs(pixels(picture)[PLOT, :, :3] - wanted).max(axis=2) < 0.1).any(axis=1)
    rows = np.flatnonzero(is_value)
    return int(rows[-1] - rows[0])


def test_a_wide_band_does_not_press_the_values_flat() -> None:
    alone = height_of_value(charts.png(CHART))
    wide = dataclasses.replace(CHART, lower=level(-1e6), upper=level(1e6))
    assert alone > 200
    assert height_of_value(charts.png(wide)) > alone / 4


def test_what_was_expected_is_seen_though_it_is_beside_the_values() -> None:
    for beside in (-5.0, 15.0):
        assert has_colour(
            charts.png(dataclasses.replace(CHART, expected=level(beside))), EXPECTED, PLOT
        )


def test_a_limit_far_from_the_values_is_seen() -> None:
    far = dataclasses.replace(CHART, limit=1_000.0, limit_text="at most 1,000", start_ms=0)
    assert height_of_value(charts.png(far)) < 20
    assert has_colour(charts.png(far), INCIDENT)


def test_one_sample_is_seen() -> None:
    values = NOTHING.copy()
    values[5] = 7.0
    assert has_colour(charts.png(dataclasses.replace(CHART, values=values)), VALUE, PLOT)


def test_without_any_sample_there_is_a_picture() -> None:
    empty = dataclasses.replace(CHART, values=NOTHING)
    assert not has_colour(charts.png(empty), VALUE, PLOT)
    foreseen = dataclasses.replace(empty, expected=level(4.0))
    assert has_colour(charts.png(foreseen), EXPECTED, PLOT)
    unknown = dataclasses.replace(empty, expected=NOTHING, lower=NOTHING, upper=NOTHING)
    assert charts.png(unknown).startswith(b"\x89PNG")


def test_a_long_title_is_cut() -> None:
    named = [dataclasses.replace(CHART, title="x" * length) for length in (63, 64, 65, 1_000)]
    whole, all_, cut, long = map(charts.png, named)
    assert cut == long
    assert len({whole, all_, cut}) == 3


def test_the_time_in_which_it_fires_is_shaded_to_its_end() -> None:
    ended = dataclasses.replace(CHART, end_ms=400_000)
    beyond = dataclasses.replace(CHART, end_ms=10_000_000)
    assert charts.png(ended) != charts.png(CHART)
    assert charts.png(beyond) == charts.png(CHART)
