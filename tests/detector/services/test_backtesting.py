"""History read in blocks and scored as it would have been live."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import errors, frames
from detector.models import budget, catalogue, checks, scoring
from detector.services import backtesting
from tests.detector.services import scored
from tests.fakes import prometheus

STEP = timedelta(minutes=1)
START_MS = scored.START_MS
A, B = frames.labels_from_pairs([("i", "a")]), frames.labels_from_pairs([("i", "b")])


def scorer(*, ml: bool = False) -> scoring.QueryScorer:
    return scoring.QueryScorer(
        step=STEP,
        budget=budget.parse_budget("1 per day per series"),
        models=catalogue.defaults() if ml else (),
    )


def reader(steps: int) -> prometheus.FakeReader:
    values = checks.noise(steps, 2)

    def series(row: int, first: int) -> prometheus.Series:
        return lambda at_ms: (
            float(values[(at_ms - START_MS) // 60_000, row])
            if (at_ms - START_MS) // 60_000 >= first
            else float("nan")
        )

    return prometheus.FakeReader({A: series(0, 0), B: series(1, steps // 2)})


def ask(steps: int) -> backtesting.Ask:
    return backtesting.Ask("x", STEP, START_MS, START_MS + (steps - 1) * 60_000)


def test_blocks_make_one_frame_with_series_that_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backtesting, "BLOCK_STEPS", 70)
    told: list[int] = []

    found = backtesting.read_history(reader(200), ask(200), advance=told.append)

    assert found.labels == (A, B)
    assert found.frame.values.shape == (200, 2)
    assert np.isnan(found.frame.values[:100, 1]).all()
    assert np.isfinite(found.frame.values[100:, 1]).all()
    assert told == [70, 70, 60]


@pytest.mark.parametrize("ml", [False, True])
def test_scores_are_those_of_the_server_step_by_step(ml: bool) -> None:
    history = backtesting.read_history(reader(900), ask(900), advance=lambda _: None)
    live, found = scorer(ml=ml), []
    for t in range(900):
        step = slice(t, t + 1)
        if (
            t
            and live.epochs(history.frame.times_ms)[t] != live.epochs(history.frame.times_ms)[t - 1]
        ):
            for job in live.refit_jobs():
                live.adopt(job.run())
        piece = frames.Frame(history.frame.times_ms[step], history.frame.values[step], 60_000)
        found.append(live.score(piece).score)

    series = backtesting.score_history(
        history, scorer(ml=ml), counted_ms=START_MS + 600_000, advance=lambda _: None
    )

    np.testing.assert_array_equal(np.vstack(found).T, [each.score for each in series])
    assert [(each.name, each.counted) for each in series] == [('{i="a"}', 10), ('{i="b"}', 10)]


def test_planned_time_opens_nothing() -> None:
    class Always:
        def is_planned(self, times_ms: frames.Ints) -> frames.Bools:
            return np.ones(len(times_ms), np.bool_)

    history = backtesting.read_history(reader(300), ask(300), advance=lambda _: None)
    series = backtesting.score_history(
        history, scorer(), counted_ms=0, calendar=Always(), advance=lambda _: None
    )
    assert np.nanmax([np.nanmax(each.score) for each in series]) == 0.0


def test_no_sample_and_too_many_are_said() -> None:
    with pytest.raises(errors.NotEnoughData, match="no history"):
        backtesting.read_history(prometheus.FakeReader({}), ask(9), advance=lambda _: None)
    with pytest.raises(errors.NotEnoughData, match="2 series of 20 steps: 30 samples"):
        backtesting.read_history(reader(20), ask(20), advance=lambda _: None, most_samples=30)
