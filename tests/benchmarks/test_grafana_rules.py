from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import grafana_rules
from detector import frames
from detector.models import checks
from detector.services import file_scoring
from detector.stack import debian

STEPS, AT = 700, 600


def series_of(values: frames.Floats, step: timedelta) -> file_scoring.Series:
    times_ms = np.arange(len(values), dtype=np.int64) * (step // timedelta(milliseconds=1))
    return file_scoring.Series("q", step, 0, times_ms, values)


def plain(seed: int) -> frames.Floats:
    return 100.0 + 2.0 * checks.noise(STEPS, 1, seed=seed)[:, 0]


@pytest.fixture(scope="module")
def scored() -> list[frames.Floats]:
    up, down, gone, hourly = (plain(seed) for seed in range(4))
    up[AT], down[AT], gone[AT : AT + 5] = 300.0, 20.0, 0.0
    up[AT + 20] = np.nan
    hourly[AT] = 300.0
    minutes, hour = timedelta(minutes=5), timedelta(hours=1)
    series = [series_of(each, minutes) for each in (up, down, gone)] + [series_of(hourly, hour)]
    source = debian.Source(Path(".cache/debian"), debian.Suite.HOST, print)
    return grafana_rules.scores(series, source)


def test_what_leaves_the_band_scores_above_one(scored: list[frames.Floats]) -> None:
    for place in (0, 1, 3):
        assert scored[place][AT] > 1
    # An hour of twelve values holds it: their mean is 116.7, and half of that is the band.
    assert scored[0][AT] == pytest.approx((300 - 116.7) / (0.5 * 116.7), rel=0.05)


def test_what_is_usual_is_within_it(scored: list[frames.Floats]) -> None:
    for each in scored:
        assert len(each) == STEPS
        assert (np.delete(each, range(AT - 1, AT + 15))[20:] < 1).all()


def test_what_is_not_above_zero_or_not_there_is_not_looked_at(scored: list[frames.Floats]) -> None:
    assert (scored[2][AT : AT + 5] == 0).all()
    assert scored[0][AT + 20] == 0


def test_windows_hold_the_points_of_their_step() -> None:
    assert "[179s:15s]" in grafana_rules.exprs_for(timedelta(minutes=5))["mean"]
    assert "[179s:15s]" in grafana_rules.exprs_for(timedelta(hours=1))["mean"]
    upper = grafana_rules.exprs_for(timedelta(minutes=5))["upper"]
    assert "[4679s:15s]" in upper
    for lag_days in (1, 7):
        assert f"offset {lag_days * 288 * 15 - 90}s" in upper
