from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import frames
from detector.models import budget, catalogue, checks, fitted, scoring
from detector.services import file_scoring

MINUTE = timedelta(minutes=1)
PARTS = ("score", "expected", "lower", "upper", "kind")


def factory(
    text: str = "1 per day per series", *, ml: bool = False
) -> Callable[[timedelta], scoring.QueryScorer]:
    allowed = budget.parse_budget(text)
    models = catalogue.defaults() if ml else ()
    return lambda step: scoring.QueryScorer(step=step, budget=allowed, models=models, seed=1)


def scored(
    series: Sequence[file_scoring.Series],
    make: Callable[[timedelta], scoring.QueryScorer] | None = None,
) -> tuple[frames.Scores, ...]:
    return file_scoring.score_series(series, make_scorer=make or factory(), advance=lambda _: None)


def recorded(
    values: frames.Floats,
    *,
    first: int = 0,
    past: int = 0,
    query: str = "q",
    step: timedelta = MINUTE,
) -> file_scoring.Series:
    """A series on the grid, beginning so many steps after the others."""
    step_ms = step // timedelta(milliseconds=1)
    times_ms = (np.arange(len(values), dtype=np.int64) + 28_333_333 + first) * step_ms
    return file_scoring.Series(query, step, past, times_ms, np.asarray(values, dtype=np.float64))


def same(one: frames.Scores, other: frames.Scores, rows: slice = slice(None)) -> bool:
    return all(
        np.array_equal(getattr(one, part)[rows], getattr(other, part)[rows], equal_nan=True)
        for part in PARTS
    )


def lively(steps: int, series: int) -> frames.Floats:
    """Noise with bursts, gaps and a shift, so that siblings have tails to tell of."""
    values = checks.noise(steps, series, seed=7)
    values[np.random.default_rng(2).random(values.shape) < 0.01] *= 12.0
    values[steps // 2 :, 0] += 40.0
    values[90:120, 1] = np.nan
    values[200, 2] = np.inf
    return values


@pytest.mark.parametrize("ml", [False, True])
@pytest.mark.parametrize("text", ["1 per day per series", "1 per day per query"])
def test_series_on_a_common_grid_score_as_one_frame_bit_by_bit(text: str, ml: bool) -> None:
    values = lively(1000, 5)
    series = [recorded(column) for column in values.T]
    found = scored(series, factory(text, ml=ml))

    whole = factory(text, ml=ml)(MINUTE)
    times_ms = series[0].times_ms
    for epoch in np.unique(whole.epochs(times_ms)):
        steps = whole.epochs(times_ms) == epoch
        block = np.asfortranarray(values[steps])
        expected = whole.score(frames.Frame(times_ms[steps], block, 60_000))
        for job in whole.refit_jobs():
            whole.adopt(job.run())
        for row, scores in enumerate(found):
            for part in PARTS:
                ours, theirs = getattr(scores, part)[steps, 0], getattr(expected, part)[:, row]
                assert np.array_equal(ours, theirs, equal_nan=True), (epoch, row, part)


HOSTS = ("a", "b", "a", "b", "c", "a")


def grouped(per: fitted.Per | None = None) -> Callable[[timedelta], scoring.QueryScorer]:
    """Series of one host corroborate each other, with a model for each group if asked."""
    models = () if per is None else (catalogue.model_of("pca", per=per, weight=2.0),)
    allowed = budget.parse_budget("1 per day per series")
    return lambda step: scoring.QueryScorer(
        step=step, budget=allowed, group_by=("host",), models=models, seed=1
    )


def on_hosts(values: frames.Floats, *, past: int = 0) -> list[file_scoring.Series]:
    return [
        replace(
            recorded(column, past=past),
            labels=frames.labels_from_pairs([("host", host), ("id", str(place))]),
        )
        for place, (column, host) in enumerate(zip(values.T, HOSTS, strict=True))
    ]


@pytest.mark.parametrize("past", [0, 300])
@pytest.mark.parametrize("per", [None, fitted.Per.GROUP])
def test_groups_score_as_one_frame_of_them_bit_by_bit(per: fitted.Per | None, past: int) -> None:
    values = lively(1000, 6)
    values[800, [0, 2]] += 6.0
    series = on_hosts(values, past=past)
    found = scored(series, grouped(per))

    live = grouped(per)(MINUTE)
    live.follow_labels([each.labels for each in series])
    times_ms = series[0].times_ms
    for epoch in np.unique(live.epochs(times_ms)):
        steps = live.epochs(times_ms) == epoch
        block = np.asfortranarray(values[steps])
        expected = live.score(frames.Frame(times_ms[steps], block, 60_000))
        for job in live.refit_jobs():
            live.adopt(job.run())
        for row, scores in enumerate(found):
            for part in (*PARTS, "drift"):
                ours, theirs = getattr(scores, part)[steps, 0], getattr(expected, part)[:, row]
                assert np.array_equal(ours, theirs, equal_nan=True), (epoch, row, part)


def test_a_group_makes_a_difference_and_one_series_is_none() -> None:
    values = lively(700, 6)
    series = on_hosts(values)
    apart = [replace(each, labels=(("host", str(row)),)) for row, each in enumerate(series)]
    alone = scored(series)
    assert not any(
        same(one, other) for one, other in zip(scored(series, grouped()), alone, strict=True)
    )
    assert all(same(one, other) for one, other in zip(scored(apart, grouped()), alone, strict=True))


def test_rows_that_a_series_of_a_group_lacks_are_steps_without_a_sample() -> None:
    values = lively(700, 6)
    values[400:420, 2] = np.nan
    whole = on_hosts(values)
    there = np.isfinite(values[:, 2])
    lacking = [
        replace(each, times_ms=each.times_ms[there], values=each.values[there])
        if row == 2
        else each
        for row, each in enumerate(whole)
    ]
    for row, (one, other) in enumerate(
        zip(scored(whole, grouped()), scored(lacking, grouped()), strict=True)
    ):
        rows = there if row == 2 else np.full(700, True)
        assert np.array_equal(one.score[rows], other.score, equal_nan=True)


def test_later_rows_change_no_earlier_score_of_a_group() -> None:
    values = lively(900, 6)
    cut = [
        replace(each, times_ms=each.times_ms[:500], values=each.values[:500])
        for each in on_hosts(values, past=300)
    ]
    for one, other in zip(
        scored(on_hosts(values, past=300), grouped()), scored(cut, grouped()), strict=True
    ):
        assert same(one, other, slice(500))


def test_a_time_beside_the_grid_is_found() -> None:
    series = on_hosts(checks.noise(100, 6))
    assert file_scoring.off_grid(series) is None
    late = replace(series[3], times_ms=series[3].times_ms + np.where(np.arange(100) < 50, 0, 1000))
    assert file_scoring.off_grid([*series[:3], late]) == (3, int(late.times_ms[50]))


def test_whole_frame_at_once_gives_the_same_bits() -> None:
    values = lively(700, 4)
    series = [recorded(column) for column in values.T]
    expected = factory()(MINUTE).score(
        frames.Frame(series[0].times_ms, np.asfortranarray(values), 60_000)
    )
    for row, scores in enumerate(scored(series)):
        assert np.array_equal(scores.score[:, 0], expected.score[:, row], equal_nan=True)


def staggered(values: frames.Floats) -> list[file_scoring.Series]:
    """Series of one query at different times, the first 300 rows of each known beforehand."""
    return [recorded(column, first=place * 411, past=300) for place, column in enumerate(values.T)]


@pytest.mark.parametrize("ml", [False, True])
@pytest.mark.parametrize("is_cut", [True, False])
def test_later_rows_of_any_series_change_no_earlier_score(is_cut: bool, ml: bool) -> None:
    series = staggered(lively(900, 4))
    now_ms = int(series[2].times_ms[500])
    changed = []
    for each in series:
        is_seen = (np.arange(len(each.values)) < each.past) | (each.times_ms <= now_ms)
        wild = np.where(is_seen, each.values, 1e6 * checks.noise(900, 1, seed=9)[:, 0])
        changed.append(
            replace(each, times_ms=each.times_ms[is_seen], values=each.values[is_seen])
            if is_cut
            else replace(each, values=wild)
        )
    make = factory(ml=ml)
    for each, one, other in zip(series, scored(series, make), scored(changed, make), strict=True):
        seen = int(((np.arange(len(each.values)) < each.past) | (each.times_ms <= now_ms)).sum())
        assert same(one, other, slice(seen))


def test_pasts_of_all_series_come_before_the_rest() -> None:
    calm = staggered(checks.noise(900, 4))
    last = calm[3]
    busy = [*calm[:3], replace(last, values=np.where(np.arange(900) < 300, 1, 30) * last.values)]
    others = [*calm[:3], replace(last, values=last.values ** np.where(np.arange(900) < 300, 3, 1))]
    first = calm[0].past
    assert calm[0].times_ms[-1] < last.times_ms[0]
    assert same(scored(calm)[0], scored(busy)[0])
    assert same(scored(calm)[0], scored(others)[0], slice(first))
    assert not same(scored(calm)[0], scored(others)[0], slice(first, None))


def test_queries_and_steps_do_not_meet() -> None:
    values = lively(600, 3)
    one, other = recorded(values[:, 0]), recorded(values[:, 1], query="other")
    slow = recorded(values[:, 2], step=timedelta(hours=1))
    together = scored([one, other, slow])
    for each, scores in zip([one, other, slow], together, strict=True):
        assert same(scores, scored([each])[0])


def test_repeated_run_gives_the_same_bits() -> None:
    series = staggered(lively(900, 4))
    make = factory(ml=True)
    for one, other in zip(scored(series, make), scored(series, make), strict=True):
        assert same(one, other)


def test_input_is_left_as_it_is_and_may_be_read_only() -> None:
    series = recorded(lively(300, 3)[:, 1])
    values, times_ms = series.values.copy(), series.times_ms.copy()
    series.values.flags.writeable = series.times_ms.flags.writeable = False
    scored([series])
    assert np.array_equal(series.values, values, equal_nan=True)
    assert np.array_equal(series.times_ms, times_ms)


def test_progress_adds_up_to_all_rows() -> None:
    told: list[int] = []
    series = [*staggered(lively(900, 3)), recorded(np.empty(0), query="none")]
    file_scoring.score_series(series, make_scorer=factory(), advance=told.append)
    assert sum(told) == 2700
    assert len(told) > 10


def ramp(steps: int) -> frames.Floats:
    return np.arange(float(steps))


SHAPES: dict[str, frames.Floats] = {
    "constant": np.full(400, 7.0),
    "empty": np.empty(0),
    "one point": np.array([3.0]),
    "all NaN": np.full(400, np.nan),
    "infinite": np.where(ramp(400) % 7 == 3, np.inf, ramp(400) % 5),
    "minus infinite": np.full(400, -np.inf),
    "1e308": np.where(ramp(400) % 50 == 3, 1e308, ramp(400) % 5),
    "all 1e308": np.where(ramp(400) % 2 == 0, 1e308, -1e308),
    "counter resets": np.cumsum(1 + ramp(400) % 3) % 97,
    "step change": np.where(ramp(400) < 200, 1.0, 1e6) + ramp(400) % 3,
}


@pytest.mark.parametrize("ml", [False, True])
@pytest.mark.parametrize(
    "step", [timedelta(seconds=1), timedelta(minutes=5), timedelta(hours=1)], ids=str
)
@pytest.mark.parametrize("shape", SHAPES)
def test_bad_input_scores_finite_where_there_is_a_sample(
    shape: str, step: timedelta, ml: bool
) -> None:
    values = SHAPES[shape]
    (scores,) = scored([recorded(values, step=step)], factory(ml=ml))
    is_sample = np.isfinite(values)
    for part in ("score", "expected", "lower", "upper"):
        assert np.array_equal(np.isfinite(getattr(scores, part)[:, 0]), is_sample), part
    assert (scores.score[is_sample] >= 0).all()
    if shape == "constant":
        assert (scores.score == 0).all()
    if shape == "step change":
        assert scores.score[200, 0] > 1


def test_a_change_of_the_scrape_interval_alarms_for_little() -> None:
    times_ms = 1000 * np.cumsum(np.repeat([15, 60, 300, 15], 300))
    series = recorded(50 + checks.noise(1200, 1, seed=2)[:, 0], step=timedelta(seconds=15))
    (scores,) = scored([replace(series, times_ms=times_ms)])
    assert np.isfinite(scores.score).all()
    assert (scores.score > 1).sum() <= 6


def test_gaps_of_hours_are_stepped_over() -> None:
    whole = recorded(checks.noise(600, 1)[:, 0])
    is_kept = (np.arange(600) < 200) | (np.arange(600) > 450)
    series = replace(whole, times_ms=whole.times_ms[is_kept], values=whole.values[is_kept])
    (scores,) = scored([series])
    assert np.isfinite(scores.score).all()
    assert (scores.score < 1).mean() > 0.97


@pytest.mark.parametrize(
    "times_ms",
    [
        np.zeros(300, np.int64),
        np.arange(300, dtype=np.int64)[::-1] * 60_000,
        np.random.default_rng(0).integers(0, 10**7, 300),
    ],
    ids=["the same", "backwards", "shuffled"],
)
def test_duplicated_and_unordered_times_score_in_the_order_of_rows(times_ms: frames.Ints) -> None:
    values = checks.noise(300, 1)[:, 0]
    values[250] = 60.0
    series = file_scoring.Series("q", MINUTE, 0, file_scoring.rising(times_ms), values)
    (scores,) = scored([series])
    assert np.isfinite(scores.score).all()
    assert int(scores.score.argmax()) == 250


@pytest.mark.parametrize(
    ("times_ms", "expected"),
    [
        ([], []),
        ([5], [5]),
        ([5, 5, 5], [5, 6, 7]),
        ([5, 5, 3, 9], [5, 6, 7, 9]),
        ([1000, 0, 1001], [1000, 1001, 1002]),
        ([-5, -9, 0], [-5, -4, 0]),
    ],
)
def test_times_are_made_to_rise(times_ms: list[int], expected: list[int]) -> None:
    assert file_scoring.rising(np.array(times_ms, np.int64)).tolist() == expected


@settings(deadline=None)
@given(st.lists(st.integers(-(2**50), 2**50), max_size=50))
def test_risen_times_rise_by_a_millisecond_or_are_their_own(times_ms: list[int]) -> None:
    risen = file_scoring.rising(np.array(times_ms, np.int64)).tolist()
    expected: list[int] = []
    for time_ms in times_ms:
        expected.append(max([time_ms, *(before + 1 for before in expected[-1:])]))
    assert risen == expected


@pytest.mark.parametrize(
    ("times_ms", "seconds"),
    [
        ([0, 60_000, 120_000, 600_000], 60),
        ([0, 0, 60_000, 60_000, 120_000], 60),
        ([120_000, 60_000, 120_000], 60),
        ([0, 300_499, 600_998], 300),
        ([0, 1, 2], 1),
        ([0], None),
        ([7, 7], None),
        ([], None),
    ],
)
def test_usual_step_is_the_median_of_rising_times(times_ms: list[int], seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert file_scoring.usual_step(np.array(times_ms, np.int64)) == expected
