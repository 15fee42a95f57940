"""Every model, held to every check of the suite."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import autoencoder, budget, catalogue, checks, fitted, scoring, smoothing
from detector.models.kernels import layout

SKIPS: dict[str, Callable[[], str]] = {"autoencoder": autoencoder.missing}
"""What says why a model cannot be fitted here, empty if it can."""
BESIDE = ("iforest", "hbos")


def streaming(*, cheap: bool = False) -> scoring.QueryScorer:
    return scoring.QueryScorer(
        step=timedelta(milliseconds=checks.STEP_MS),
        budget=budget.parse_budget("1 per week per series"),
        cheap=cheap,
    )


def with_models(fits: dict[str, fitted.FittedModel]) -> scoring.QueryScorer:
    scorer = scoring.QueryScorer(
        step=timedelta(milliseconds=checks.STEP_MS),
        budget=budget.parse_budget("1 per week per series"),
        models=[catalogue.model_of(name) for name in fits],
        seed=5,
    )
    for fit in fits.values():
        scorer.adopt(fit)
    return scorer


def rows_of(count: int) -> checks.Rows:
    shape = (count, layout.RESIDUALS)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def fits() -> dict[str, fitted.FittedModel]:
    return {name: catalogue.model_of(name).fit(rows_of(800), seed=5) for name in BESIDE}


@pytest.mark.parametrize("check", checks.STREAM_CHECKS.values(), ids=checks.STREAM_CHECKS.keys())
def test_streaming_members_pass(check: Callable[[checks.MakeStream], None]) -> None:
    check(streaming)


@pytest.mark.parametrize("check", checks.STREAM_CHECKS.values(), ids=checks.STREAM_CHECKS.keys())
def test_the_cheap_tier_passes(check: Callable[[checks.MakeStream], None]) -> None:
    check(lambda: streaming(cheap=True))


@pytest.mark.parametrize("check", checks.STREAM_CHECKS.values(), ids=checks.STREAM_CHECKS.keys())
def test_streaming_members_with_fitted_models_pass(
    check: Callable[[checks.MakeStream], None], fits: dict[str, fitted.FittedModel]
) -> None:
    check(lambda: with_models(fits))


# Alone they speak from the second day on, so test_smoothing.py looks whether they see a spike.
@pytest.mark.parametrize(
    ("check", "streams"),
    [
        pytest.param(check, streams, id=f"{'beside' if streams else 'alone'}-{name}")
        for name, check in checks.STREAM_CHECKS.items()
        for streams in (True, False)
        if streams or check is not checks.spike_outranks_noise
    ],
)
@pytest.mark.parametrize("name", smoothing.NAMES)
def test_smoothers_pass(
    name: str, check: Callable[[checks.MakeStream], None], *, streams: bool
) -> None:
    step = timedelta(milliseconds=checks.STEP_MS)
    weekly = budget.parse_budget("1 per week per series")
    forecast = smoothing.smoother_of(name, parameters={})
    check(
        lambda: scoring.QueryScorer(
            step=step, budget=weekly, models=[forecast], streaming=streams, seed=5
        )
    )


# Features that do not vary make some classes warn of what the check wants to see them survive.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", checks.FIT_CHECKS.values(), ids=checks.FIT_CHECKS.keys())
@pytest.mark.parametrize("name", catalogue.CATALOGUE)
def test_every_model_of_the_table_passes(
    name: str, check: Callable[[checks.FitModel], None]
) -> None:
    reason = SKIPS[name]() if name in SKIPS else ""
    if reason:
        pytest.skip(reason)
    model = catalogue.model_of(name)
    check(lambda rows, seed: model.fit(rows, seed=seed))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ecod", "copod"])
def test_models_whose_rows_depend_on_their_batch_are_refused(name: str) -> None:
    model = catalogue.model_of(name)
    problem = checks.problem_of(lambda rows, seed: model.fit(rows, seed=seed))
    assert problem == "one row: a row's score depends on its batch"


def test_check_fails_on_a_model_that_sees_the_future() -> None:
    class Peeking(scoring.QueryScorer):
        def score(
            self,
            frame: frames.Frame,
            *,
            planned: frames.Bools | None = None,
            records: bool = False,
        ) -> frames.Scores:
            scores = super().score(frame, planned=planned, records=records)
            scores.score[:] += frame.values[-1]
            return scores

    with pytest.raises(AssertionError, match="scores differ"):
        checks.future_does_not_matter(
            lambda: Peeking(
                step=timedelta(minutes=1), budget=budget.parse_budget("1 per day per query")
            )
        )


def test_check_fails_on_a_fit_that_takes_anything() -> None:
    def fit(rows: checks.Rows, seed: int) -> fitted.FittedModel:
        return catalogue.model_of("hbos").fit(np.tile(rows, (60, 1)), seed=seed)

    with pytest.raises(AssertionError, match="was accepted"):
        checks.too_little_data_raises(fit)
