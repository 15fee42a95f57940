"""The kind that is shown for a fault of each kind, and runs that are news or are not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import checks, scoring
from tests.detector.models import faults

NOISES = ("gaussian", "autocorrelated", "heavy-tailed", "idle cpu")
DAY = 1_440


@pytest.mark.parametrize("step_s", [60, 300])
@pytest.mark.parametrize("kind", faults.FAULTS, ids=lambda kind: kind.name.lower())
def test_fault_is_named_for_what_it_is(kind: frames.Kind, step_s: int) -> None:
    step = timedelta(seconds=step_s)
    # Autocorrelated noise ten times as wide wanders: every second one is told as a level shift.
    noises = [noise for noise in NOISES if (kind.name, noise) != ("VARIANCE", "autocorrelated")]
    shown = np.concatenate([faults.last_kinds(kind, noise, step, seed=2) for noise in noises])
    print(f"{kind.name} at {step_s} s: {np.bincount(shown, minlength=9)}")
    assert (shown == kind).mean() >= 0.8


@pytest.mark.parametrize("kind", faults.FAULTS, ids=lambda kind: kind.name.lower())
def test_fault_at_five_seconds_is_named_for_what_it_is(kind: frames.Kind) -> None:
    shown = faults.last_kinds(kind, "gaussian", timedelta(seconds=5), seed=2)
    print(f"{kind.name} at 5 s: {np.bincount(shown, minlength=9)}")
    assert (shown == kind).mean() >= 0.8


def scored(values: frames.Floats) -> frames.Scores:
    scorer = scoring.QueryScorer(step=timedelta(minutes=1), budget=faults.WEEKLY)
    return scorer.score(checks.frame_of(values))


def test_a_stuck_value_opens_even_where_it_is_the_expected_one() -> None:
    values = 100 + checks.noise(600, 4)
    values[500:] = 100.0
    scores = scored(values)
    assert (scores.kind[500:511] == 0).all()
    assert (scores.kind[530] == frames.Kind.FLAT).all()
    assert (scores.score[530] <= 1).all()


def test_a_series_that_is_often_stuck_does_not_alarm_for_it() -> None:
    values = 100 + checks.noise(2_000, 4)
    for first in range(0, 2_000, 100):
        values[first + 60 : first + 100] = values[first + 60]
    kinds = scored(values).kind
    assert (kinds[400:] != frames.Kind.FLAT).all()


def test_a_stuck_value_becomes_the_normal() -> None:
    values = 100 + checks.noise(1_500, 2)
    values[500:] = 100.0
    assert (scored(values).kind[-1] == frames.Kind.NONE).all()


def test_zero_is_news_only_to_a_series_that_is_never_zero() -> None:
    values = 5 + np.abs(checks.noise(800, 2))
    values[::10, 1] = 0
    values[1::10, 1] = 0
    values[700:705] = 0
    kinds = scored(values).kind
    assert (kinds[702:705, 0] == frames.Kind.ZERO).all()
    assert (kinds[100:703, 1] != frames.Kind.ZERO).all()


def test_missing_samples_are_news_for_a_while_to_a_series_of_a_day() -> None:
    values = checks.noise(DAY + 300, 2)
    values[DAY + 10 : DAY + 200, 0] = np.nan
    values[60:, 1] = np.nan
    scores = scored(values)
    kinds = scores.kind[:, 0]
    assert (kinds[DAY + 30 : DAY + 60] == frames.Kind.MISSING).all()
    assert np.isnan(scores.score[DAY + 10 : DAY + 200, 0]).all()
    assert kinds[DAY + 190] == frames.Kind.NONE
    assert (kinds[DAY + 200 :] != frames.Kind.MISSING).all()
    assert (scores.kind[:, 1] != frames.Kind.MISSING).all()


def test_a_series_that_often_has_gaps_is_not_missed() -> None:
    values = checks.noise(3 * DAY, 2)
    values[np.arange(3 * DAY) % 240 >= 200] = np.nan
    assert (scored(values).kind != frames.Kind.MISSING).all()


def test_planned_absence_is_not_missed() -> None:
    values = checks.noise(DAY + 100, 1)
    values[DAY + 10 :] = np.nan
    frame = checks.frame_of(values)
    scorer = scoring.QueryScorer(step=timedelta(minutes=1), budget=faults.WEEKLY)
    planned = np.arange(len(values)) >= DAY
    assert (scorer.score(frame, planned=planned).kind != frames.Kind.MISSING).all()
