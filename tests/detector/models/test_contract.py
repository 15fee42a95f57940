"""Every model, held to every check of the suite."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, checks, forest, scoring


def streaming() -> scoring.QueryScorer:
    return scoring.QueryScorer(
        step=timedelta(milliseconds=checks.STEP_MS),
        budget=budget.parse_budget("1 per week per series"),
    )


def with_forest(fitted: forest.FittedForest) -> scoring.QueryScorer:
    scorer = scoring.QueryScorer(
        step=timedelta(milliseconds=checks.STEP_MS),
        budget=budget.parse_budget("1 per week per series"),
        ml=True,
        seed=5,
    )
    scorer.adopt(fitted)
    return scorer


@pytest.fixture(scope="module")
def fitted() -> forest.FittedForest:
    rows = np.random.default_rng(1).normal(size=(800, 10)).astype(np.float32)
    return forest.fit_forest(rows, seed=5)


@pytest.mark.parametrize("check", checks.STREAM_CHECKS.values(), ids=checks.STREAM_CHECKS.keys())
def test_residual_member_passes(check: Callable[[checks.MakeStream], None]) -> None:
    check(streaming)


@pytest.mark.parametrize("check", checks.STREAM_CHECKS.values(), ids=checks.STREAM_CHECKS.keys())
def test_residual_member_with_forest_passes(
    check: Callable[[checks.MakeStream], None], fitted: forest.FittedForest
) -> None:
    check(lambda: with_forest(fitted))


@pytest.mark.parametrize("check", checks.FIT_CHECKS.values(), ids=checks.FIT_CHECKS.keys())
def test_forest_passes(check: Callable[[checks.FitModel], None]) -> None:
    check(lambda rows, seed: forest.fit_forest(rows, seed=seed))


def test_check_fails_on_a_model_that_sees_the_future() -> None:
    class Peeking(scoring.QueryScorer):
        def score(
            self, frame: frames.Frame, *, planned: frames.Bools | None = None
        ) -> frames.Scores:
            scores = super().score(frame, planned=planned)
            scores.score[:] += frame.values[-1]
            return scores

    with pytest.raises(AssertionError, match="scores differ"):
        checks.future_does_not_matter(
            lambda: Peeking(
                step=timedelta(minutes=1), budget=budget.parse_budget("1 per day per query")
            )
        )


def test_check_fails_on_a_fit_that_takes_anything() -> None:
    def fit(rows: checks.Rows, seed: int) -> forest.FittedForest:
        return forest.fit_forest(np.tile(rows, (60, 1)), seed=seed)

    with pytest.raises(AssertionError, match="was accepted"):
        checks.too_little_data_raises(fit)
