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
    slow = {frames.Kind.NONE, frames.Kind.LOST_SEASON}
    assert {*injecting.SIZED, *injecting.SIZELESS} == {*frames.Kind} - slow
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
