"""Parts of pasts, of histories and of files, and trouble that is put into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, checks, injecting, scoring
from detector.services import backtesting, file_scoring, outcomes, pasts, tuning

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEP = timedelta(minutes=5)
STEP_MS = 300_000
STEPS = 1600
START_MS = 1_772_323_200_000


def scorer(*, group_by: tuple[str, ...] = ()) -> scoring.QueryScorer:
    allowed = budget.parse_budget("1 per day per series")
    return scoring.QueryScorer(step=STEP, budget=allowed, group_by=group_by)


def recorded(
    values: frames.Floats, *, late_ms: int = 0, past: int = 0, host: str = "a"
) -> file_scoring.Series:
    times_ms = START_MS + late_ms + np.arange(len(values), dtype=np.int64) * STEP_MS
    return file_scoring.Series("", STEP, past, times_ms, values, (("host", host),))


def past_of(*series: file_scoring.Series) -> pasts.FilePast:
    return pasts.FilePast([f"s{place}" for place in range(len(series))], series)


def noise(series: int) -> frames.Floats:
    values = 50 + checks.noise(STEPS, series)
    values[700, 0] += 30
    values[1400:1403, 1] += 30
    return np.asfortranarray(values)


def looked_at(past: pasts.FilePast) -> list[tuple[int, injecting.Tail]]:
    found: list[tuple[int, injecting.Tail]] = []
    past.score(scorer(), pasts.Part.COMPARED, lambda _, epoch, tail: found.append((epoch, tail)))
    return found


@pytest.mark.parametrize("part", pasts.Part)
def test_a_file_on_a_grid_is_tried_as_a_history_is(part: pasts.Part) -> None:
    values = noise(3)
    values[:50] = np.nan
    file = past_of(*(recorded(column) for column in values.T))
    frame = frames.Frame(file.series[0].times_ms, values, STEP_MS)
    history = pasts.HistoryPast(backtesting.History(((("a", "1"),),) * 3, frame))

    one = tuning.try_out(history, scorer(), part)
    other = tuning.try_out(file, scorer(), part)

    assert one.found is not None
    assert one.found > 0.5
    assert one.per_week > 0
    assert other == one
    assert pasts.series_at_a_time(file.counted(part)) == 3.0
    assert history.held == file.held == STEP * (STEPS - 51)


def test_what_is_held_back_is_scored_as_a_backtest_of_the_file_does() -> None:
    values = noise(2)
    given = [recorded(values[:, 0], past=300), recorded(values[:, 1], late_ms=13_000)]
    found = past_of(*given).score(scorer(), pasts.Part.HELD_BACK, lambda *_: None)
    expected = file_scoring.score_series(
        given, make_scorer=lambda _: scorer(), advance=lambda _: None
    )
    for each, scores in zip(found, expected, strict=True):
        assert each.counted == 1000
        assert np.array_equal(each.score, scores.score[:, 0])


def test_what_is_behind_the_part_that_is_compared_is_not_looked_at() -> None:
    calm = noise(2)
    wild = calm.copy(order="F")
    wild[1000:] *= 1000
    found = [
        past_of(*(recorded(column) for column in values.T)).score(
            scorer(), pasts.Part.COMPARED, lambda *_: None
        )
        for values in (calm, wild)
    ]
    for one, other in zip(*found, strict=True):
        assert len(one.times_ms) == 1000
        assert np.array_equal(one.score, other.score)


@pytest.mark.parametrize(
    ("past", "counted"), [(0, (400, 1000)), (100, (400, 1000)), (800, (800, 1200)), (1601, None)]
)
def test_the_rows_that_are_known_beforehand_are_only_learned_from(
    past: int, counted: tuple[int, int] | None
) -> None:
    each = past_of(recorded(np.ones(1601), past=past)).counted(pasts.Part.COMPARED)
    if counted is None:
        assert not pasts.covered(each)
    else:
        first, end = (START_MS + step * STEP_MS for step in counted)
        assert each == [pasts.Span(first, end)]


def test_trouble_is_put_into_whole_heads_of_epochs_wherever_series_stand() -> None:
    values = noise(3)
    given = [recorded(values[:, row], late_ms=13_000 * row) for row in range(3)]
    there = np.arange(STEPS) % 64 != 20
    given[1] = replace(given[1], times_ms=given[1].times_ms[there], values=given[1].values[there])
    found = looked_at(past_of(*given))
    assert len(found) == 9
    for _, tail in found:
        assert tail.rows.tolist() in ([0, 2], [0, 1, 2])
        assert tail.values.shape == (injecting.TAIL_STEPS, len(tail.rows))
    tried = tuning.try_out(past_of(*given), scorer(), pasts.Part.COMPARED)
    assert tried.found is not None
    assert tried.found > 0.5


def test_series_one_after_the_other_are_cut_at_their_own_times() -> None:
    values = noise(3)
    week_ms = 7 * pasts.DAY_MS
    past = past_of(*(recorded(values[:, row], late_ms=row * week_ms) for row in range(3)))
    spans = past.counted(pasts.Part.COMPARED)
    assert [each.first_ms - START_MS for each in spans] == [
        row * week_ms + 1599 * STEP_MS // 4 for row in range(3)
    ]
    assert pasts.series_at_a_time(spans) == 1.0
    epochs = past.epochs(scorer(), pasts.Part.COMPARED)
    assert len({*np.concatenate(epochs).tolist()}) == sum(len(each) for each in epochs) == 27
    assert len(tuning._places(epochs)) == 24
    assert {epoch for epoch, _ in looked_at(past)} == {*np.concatenate(epochs).tolist()}


def test_series_that_hear_of_each_other_get_trouble_at_once() -> None:
    values = noise(3)
    past = past_of(*(recorded(values[:, row], host="ab"[row == 2]) for row in range(3)))
    alone = tuning.try_out(past, scorer(), pasts.Part.COMPARED)
    together = tuning.try_out(past, scorer(group_by=("host",)), pasts.Part.COMPARED)
    assert together.found is not None
    assert alone.found is not None
    assert together.found != alone.found


def test_events_say_what_a_way_is_worth() -> None:
    values = noise(2)
    past = past_of(*(recorded(column) for column in values.T))

    def events(*steps: tuple[int, int]) -> Sequence[outcomes.Span]:
        return [
            outcomes.Span(START_MS + first * STEP_MS, START_MS + last * STEP_MS)
            for first, last in steps
        ]

    known = [events((690, 710)), events((1390, 1405))]
    found = tuning.try_out(past, scorer(), pasts.Part.HELD_BACK, events=known).quality
    assert found is not None
    assert (found.events, found.found) == (1, 1)
    assert found.series_days == pytest.approx(1200 / 288)


def test_the_last_days_of_a_series_know_less_beforehand() -> None:
    series = recorded(np.arange(STEPS * 1.0), past=1500)
    end_ms = int(series.times_ms[-1])
    found = pasts.last_days(series, 1.0, end_ms)
    assert (len(found.values), found.values[0], found.past) == (289, 1311.0, 189)
    assert not len(pasts.last_days(series, 1.0, end_ms + 8 * pasts.DAY_MS).values)
