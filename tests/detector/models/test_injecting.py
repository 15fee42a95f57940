from __future__ import annotations

import copy
import math
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, checks, injecting, scoring

HEAD = 2_000
DAILY = budget.parse_budget("1 per day per series")


def _learned(values: frames.Floats) -> tuple[scoring.QueryScorer, frames.Frame]:
    """A scorer that has seen all but the tail, and the tail."""
    scorer = scoring.QueryScorer(step=timedelta(minutes=1), budget=DAILY)
    scorer.score(checks.frame_of(values[:HEAD]))
    return scorer, checks.frame_of(values[HEAD:], first=HEAD)


@pytest.fixture(scope="module")
def tried() -> dict[tuple[frames.Kind, float], injecting.Found]:
    values = 50 + checks.noise(HEAD + injecting.TAIL_STEPS, 40)
    scorer, tail = _learned(values)
    return {
        (each.kind, each.scales): each for each in injecting.trials(scorer, injecting.tail_of(tail))
    }


def test_every_kind_is_tried_at_every_size(
    tried: dict[tuple[frames.Kind, float], injecting.Found],
) -> None:
    sized = {(kind, size) for kind in injecting.SIZED for size in injecting.SCALES}
    assert {*tried} == sized | {(kind, 0.0) for kind in injecting.SIZELESS}
    # A lost season takes hours and has a trial of its own: lost_season, tested below.
    others = {frames.Kind.NONE, frames.Kind.LOST_SEASON}
    assert {*injecting.SIZED, *injecting.SIZELESS} == {*frames.Kind} - others
    assert all(each.series >= 35 for each in tried.values())


def test_what_is_larger_is_found_oftener_and_ten_scales_nearly_always(
    tried: dict[tuple[frames.Kind, float], injecting.Found],
) -> None:
    for kind in injecting.SIZED:
        found = [tried[kind, size].found for size in injecting.SCALES]
        assert found == sorted(found), kind
        assert found[-1] >= 0.9 * tried[kind, 10.0].series, kind
    spikes = [tried[kind, 10.0] for kind in (frames.Kind.SPIKE, frames.Kind.DIP)]
    assert all(each.delay < 1 for each in spikes)
    assert tried[frames.Kind.TREND, 10.0].delay > 3
    assert tried[frames.Kind.ZERO, 0.0].found == tried[frames.Kind.ZERO, 0.0].series


def test_what_is_not_found_has_no_delay(
    tried: dict[tuple[frames.Kind, float], injecting.Found],
) -> None:
    for each in tried.values():
        assert math.isnan(each.delay) == (each.found == 0)


def test_the_scorer_is_left_as_it_is() -> None:
    values = 50 + checks.noise(HEAD + injecting.TAIL_STEPS, 5)
    scorer, tail = _learned(values)
    expected = copy.deepcopy(scorer).score(tail)
    assert list(injecting.trials(scorer, injecting.tail_of(tail)))
    assert np.array_equal(scorer.score(tail).score, expected.score)


def test_a_series_in_trouble_of_its_own_is_left_out() -> None:
    values = 50 + checks.noise(HEAD + injecting.TAIL_STEPS, 5)
    values[HEAD + 3, 1] += 100
    values[HEAD + 20, 2] = np.nan
    scorer, tail = _learned(values)
    assert {each.series for each in injecting.trials(scorer, injecting.tail_of(tail))} == {3}


STEP = timedelta(minutes=5)
A_DAY, A_WEEK = timedelta(days=1) // STEP, timedelta(days=7) // STEP
TAIL = injecting.SEASON_LOST_FOR // STEP


def _seasonal(days: int, series: int, *, swing: float = 8.0) -> frames.Frame:
    """Noise around a sine of a day, at steps of 5 minutes, from a Thursday on."""
    steps = days * A_DAY
    daily = swing * np.sin(2 * np.pi * np.arange(steps) / A_DAY)
    values = 50 + daily[:, np.newaxis] + checks.noise(steps, series)
    times_ms = 300_000 * np.arange(steps, dtype=np.int64)
    return frames.Frame(times_ms, np.asfortranarray(values), 300_000)


def _lost(frame: frames.Frame) -> injecting.Found:
    begins = len(frame.times_ms) - TAIL
    scorer = scoring.QueryScorer(step=STEP, budget=DAILY)
    head, tail = (
        frames.Frame(frame.times_ms[part], np.asfortranarray(frame.values[part]), frame.step_ms)
        for part in (slice(0, begins), slice(begins, None))
    )
    scorer.score(head)
    before = copy.deepcopy(scorer).score(tail)
    found = injecting.lost_season(scorer, frame.values[begins - A_WEEK : -A_WEEK], tail)
    assert np.array_equal(scorer.score(tail).score, before.score, equal_nan=True)
    return found


def test_a_season_that_is_taken_out_is_told_as_lost_within_hours() -> None:
    found = _lost(_seasonal(11, 6))
    assert (found.kind, found.scales) == (frames.Kind.LOST_SEASON, 0.0)
    assert (found.series, found.found) == (6, 6)
    assert 2 <= found.delay * STEP / timedelta(hours=1) <= 16


@pytest.mark.parametrize("days", [9, 11])
def test_without_a_week_of_a_season_none_is_taken_out(days: int) -> None:
    frame = _seasonal(days, 3, swing=8.0 if days == 9 else 0.0)
    found = _lost(frame)
    assert (found.series, found.found) == (0, 0)
    assert math.isnan(found.delay)


def test_series_that_lose_their_season_anyway_or_have_gaps_are_left_out() -> None:
    frame = _seasonal(11, 4)
    frame.values[-TAIL:, 0] = frame.values[-TAIL, 0] + checks.noise(TAIL, 1)[:, 0]
    frame.values[-TAIL, 1] = np.nan
    frame.values[-TAIL // 2 :, 2] = np.nan
    found = _lost(frame)
    assert (found.series, found.found) == (1, 1)


def test_rows_by_themselves_are_told_of_as_in_a_frame() -> None:
    values = 50 + checks.noise(HEAD + injecting.TAIL_STEPS, 5)
    scorer, frame = _learned(values)
    whole = injecting.tail_of(frame)
    rows = np.array([1, 3, 4], np.int64)
    some = injecting.Tail(rows, whole.times_ms[:, rows], whole.values[:, rows])
    later = injecting.Tail(rows, some.times_ms + np.array([0, 0, 1]), some.values)

    spike = whole.values.copy()
    spike[injecting.AT] += 50
    told = whole.told(copy.deepcopy(scorer), spike)
    assert told[injecting.AT].all()
    for tail in (some, later):
        assert np.array_equal(tail.told(copy.deepcopy(scorer), spike[:, rows]), told[:, rows])
