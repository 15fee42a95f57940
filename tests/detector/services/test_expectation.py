"""What the first half lets expect, beside what the later half has, on simulated noise."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import errors, frames
from detector.models import budget, scoring
from detector.services import backtesting, expectation, outcomes
from tests.detector.models import simulation
from tests.detector.services import scored

STEP = timedelta(minutes=1)
DAYS, SERIES = 14, 40


def simulated(kind: str) -> tuple[outcomes.Scored, ...]:
    """Two weeks of minutes at the shipped budget."""
    values = simulation.KINDS[kind](np.random.default_rng(1), DAYS * 1440, SERIES)
    times_ms = scored.START_MS + 60_000 * np.arange(len(values), dtype=np.int64)
    labels = tuple((("id", str(number)),) for number in range(SERIES))
    history = backtesting.History(labels, frames.Frame(times_ms, np.asfortranarray(values), 60_000))
    scorer = scoring.QueryScorer(step=STEP, budget=budget.parse_budget("1 per week per series"))
    return backtesting.score_history(
        history, scorer, counted_ms=scored.START_MS, advance=lambda _: None
    )


@pytest.mark.parametrize("kind", ["mean of four", "quantised", "heavy-tailed", "idle cpu"])
def test_expected_incidents_are_within_twice_of_those_that_come(kind: str) -> None:
    found = expectation.expect(simulated(kind))

    assert found.incidents >= 8
    assert found.later_per_week / 2 <= found.per_week <= found.later_per_week * 2


@pytest.mark.parametrize("kind", ["gaussian", "rare bursts"])
def test_where_few_come_their_number_lies_in_what_was_expected(kind: str) -> None:
    found = expectation.expect(simulated(kind))

    assert found.incidents < 8
    assert found.low <= found.later_per_week <= found.high


def test_a_rate_is_that_of_the_series_that_there_are() -> None:
    hours = 10 * 24
    score = np.zeros(hours)
    score[[30, 70, 90, 100, 200]] = 2.0
    series = [scored.scored(score.tolist(), step_s=3600, name=str(k)) for k in range(3)]

    found = expectation.expect(series)

    assert found.incidents == 9
    assert np.isclose(found.series_days, 3 * hours / 4 / 24, rtol=0.02)
    assert np.isclose(found.per_week, 9 * 7 / found.series_days * 3, rtol=0.02)
    assert found.low < found.per_week < found.high


@pytest.mark.parametrize("hours", [0, 1, 90])
def test_too_little_history_is_said(hours: int) -> None:
    with pytest.raises(errors.NotEnoughData):
        expectation.expect([scored.scored([0.0] * hours, step_s=3600)])


def test_a_half_without_samples_is_said() -> None:
    score = [0.0] * 5 + [float("nan")] * 150 + [0.0]
    with pytest.raises(errors.NotEnoughData, match="no sample in one half"):
        expectation.expect([scored.scored(score, step_s=3600)])
