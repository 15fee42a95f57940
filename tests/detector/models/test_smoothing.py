"""Seasonal naive and Holt-Winters as members, and alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, catalogue, checks, decisions, scoring, smoothing
from detector.models.kernels import layout

STEP = timedelta(minutes=5)
A_DAY = 288
DAILY = budget.parse_budget("1 per day per series")
NAIVE = smoothing.smoother_of(smoothing.NAIVE, parameters={})
WINTERS = smoothing.smoother_of(smoothing.HOLT_WINTERS, parameters={})
BOTH = (NAIVE, WINTERS)


def scorer_of(
    models: Sequence[scoring.Model], *, streaming: bool = False, step: timedelta = STEP
) -> scoring.QueryScorer:
    return scoring.QueryScorer(
        step=step, budget=DAILY, models=models, streaming=streaming, emits=True
    )


def frame_of(values: frames.Floats, step: timedelta = STEP) -> frames.Frame:
    step_ms = step // timedelta(milliseconds=1)
    times_ms = np.arange(len(values), dtype=np.int64) * step_ms
    return frames.Frame(times_ms, np.asfortranarray(values), step_ms)


def days(count: int, *, a_day: int = A_DAY, series: int = 6) -> frames.Floats:
    """A daily sine of 20 around 100, in unit noise."""
    turns = 2 * np.pi * np.arange(count * a_day) / a_day
    return 100 + 20 * np.sin(turns)[:, np.newaxis] + checks.noise(len(turns), series, seed=3)


def test_the_naive_one_expects_the_value_of_the_day_before() -> None:
    values = days(3)
    scores = scorer_of([NAIVE]).score(frame_of(values))
    assert scores.expected[A_DAY:] == pytest.approx(values[:-A_DAY], rel=1e-6)


def test_at_steps_within_a_bin_it_is_the_mean_of_the_bin_a_day_before() -> None:
    step, a_day = timedelta(minutes=1), 1_440
    values = days(2, a_day=a_day)
    scores = scorer_of([NAIVE], step=step).score(frame_of(values, step))
    bins = values[:a_day].reshape(A_DAY, 5, -1).mean(axis=1)
    assert scores.expected[a_day:] == pytest.approx(np.repeat(bins, 5, axis=0), rel=1e-6)


def test_holt_winters_follows_level_trend_and_season() -> None:
    values = days(6) + 0.05 * np.arange(6 * A_DAY)[:, np.newaxis]
    scores = scorer_of([WINTERS]).score(frame_of(values))
    wrong = np.abs(scores.expected - values)[4 * A_DAY :]
    as_before = np.abs(values[A_DAY:] - values[:-A_DAY])[3 * A_DAY :]
    assert wrong.mean() < 1.5
    assert wrong.mean() < 0.15 * as_before.mean()


@pytest.mark.parametrize("model", BOTH, ids=smoothing.NAMES)
def test_alone_it_is_silent_on_the_first_day_and_then_tells_of_what_is_off(
    model: smoothing.Smoother,
) -> None:
    values = days(8)
    at = 7 * A_DAY + 100
    values[at, ::2] += 15.0
    scores = scorer_of([model]).score(frame_of(values))
    assert (scores.score[:A_DAY] == 0).all()
    assert (scores.score[at, ::2] > 1).all()
    assert (values[at, ::2] > scores.upper[at, ::2]).all()
    quiet = scores.score[2 * A_DAY : at]
    assert (quiet > 1).mean() < 3 / A_DAY
    outside = (values < scores.lower) | (values > scores.upper)
    agree = (outside == (scores.score > 1))[2 * A_DAY :]
    assert agree.mean() > 0.999


def test_beside_the_others_each_says_what_it_thinks_by_its_name() -> None:
    values = days(3)
    values[-1, 0] += 40.0
    scorer = scorer_of(BOTH, streaming=True)
    scores = scorer.score(frame_of(values))
    assert list(scores.members) == ["residual", "near", "wide", "gaussian", *smoothing.NAMES]
    for name in smoothing.NAMES:
        assert scores.members[name][-1, 0] > 1
        assert np.isnan(scores.members[name][: A_DAY - 1]).all()
    told = scorer.explain(0, len(values) - 1, values[-1, 0])
    assert {*smoothing.NAMES} < {*told.rises}
    assert scores.score[-1, 0] > 1


def test_the_expected_value_is_that_of_the_streaming_members_where_they_speak() -> None:
    values = days(3)
    beside = scorer_of(BOTH, streaming=True).score(frame_of(values))
    without = scorer_of((), streaming=True).score(frame_of(values))
    assert np.array_equal(beside.expected, without.expected)


@pytest.mark.parametrize("streaming", [True, False], ids=["beside", "alone"])
def test_a_decision_is_made_again(*, streaming: bool) -> None:
    values = days(4)
    values[-1] += 40.0
    scorer = scorer_of([WINTERS], streaming=streaming)
    frame = frame_of(values)
    scorer.score(frames.Frame(frame.times_ms[:-1], frame.values[:-1], frame.step_ms))
    last = frames.Frame(frame.times_ms[-1:], frame.values[-1:], frame.step_ms)
    scores = scorer.score(last, records=True)
    told = scorer.explain(2, 0, values[-1, 2])
    assert told.record
    assert "forecast of Holt-Winters" in {each.reference for each in told.residuals}
    again = decisions.replay(decisions.parse(told.record))
    assert (again.score, again.expected) == (scores.score[0, 2], scores.expected[0, 2])


def test_a_record_whose_state_has_other_parts_is_not_replayed() -> None:
    values = days(3)
    values[-1] += 40.0
    scorer = scorer_of((), streaming=True)
    frame = frame_of(values)
    scorer.score(frame, records=True)
    decision = decisions.parse(scorer.explain(0, len(values) - 1, values[-1, 0]).record)
    cut = decision.state._replace(kinds=decision.state.kinds[:, :-1])
    record = decisions.bytes_of(dataclasses.replace(decision, state=cut))
    with pytest.raises(ValueError, match="another version of the detector wrote it"):
        decisions.parse(record)


def test_below_a_minute_rates_keep_their_length_in_time() -> None:
    minute, fine = (WINTERS.setting(timedelta(seconds=each)) for each in (60, 5))
    assert 1 - (1 - fine[0]) ** 12 == pytest.approx(minute[0])
    assert fine[3] ** 12 == pytest.approx(minute[3])
    assert 1 - (1 - fine[2]) ** 12 == pytest.approx(minute[2])


def test_forecasts_and_fitted_models_speak_under_their_own_names() -> None:
    hbos = catalogue.model_of("hbos")
    rows = np.random.default_rng(1).normal(size=(600, layout.RESIDUALS)).astype(np.float32)
    fit = hbos.fit(rows, seed=0)
    values = days(3)
    values[-1, 0] += 40.0

    def rises(*models: scoring.Model) -> Mapping[str, float]:
        scorer = scorer_of(models, streaming=True)
        if hbos in models:
            scorer.adopt(fit)
        scorer.score(frame_of(values))
        return scorer.explain(0, len(values) - 1, values[-1, 0]).rises

    naive, fitted_one, both = rises(NAIVE), rises(hbos), rises(NAIVE, hbos)
    assert both["seasonal_naive"] == naive["seasonal_naive"] > 0
    assert both["fitted 1"] == fitted_one["fitted 1"] > 0
    assert both["seasonal_naive"] != both["fitted 1"]
