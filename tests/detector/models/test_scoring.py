from __future__ import annotations

import zoneinfo
from datetime import UTC, timedelta

import numpy as np
import pandas as pd
import pytest

from detector import frames, models
from detector.models import arrays, budget, catalogue, checks, gates, memories, scoring, siblings
from detector.models.kernels import layout, offsets, steps, verdict

WEEKLY = budget.parse_budget("1 per week per series")
MINUTE = timedelta(minutes=1)


def scorer(
    *, ml: bool = False, limits: gates.Gates = scoring.NO_GATES, threads: int = 2
) -> scoring.QueryScorer:
    models = catalogue.defaults() if ml else ()
    return scoring.QueryScorer(
        step=MINUTE, budget=WEEKLY, limits=limits, models=models, seed=3, threads=threads
    )


def spiked(height: float, *, steps: int = 400, series: int = 3) -> frames.Floats:
    values = 100 + checks.noise(steps, series)
    values[300] += height
    return values


def test_score_is_zero_until_enough_samples_are_seen() -> None:
    values = checks.noise(60, 1)
    values[20] += 1e6
    needed = scorer().samples_needed
    scores = scorer().score(checks.frame_of(values)).score
    assert (scores[:needed] == 0).all()
    assert (scores[needed:] > 0).any()


@pytest.mark.parametrize(("height", "kind"), [(50.0, frames.Kind.SPIKE), (-50.0, frames.Kind.DIP)])
def test_incident_opens_at_score_above_one_and_closes_after_twelve_calm_points(
    height: float, kind: frames.Kind
) -> None:
    scores = scorer().score(checks.frame_of(spiked(height)))
    kinds = scores.kind[:, 0]
    assert scores.score[300, 0] > 1
    assert kinds[299] == frames.Kind.NONE
    calm = scores.score[301:, 0] < verdict.CALM_SCORE
    ends = next(t for t in range(12, 99) if calm[t - 12 : t].all())
    assert (kinds[300 : 300 + ends] == kind).all()
    assert kinds[300 + ends] == frames.Kind.NONE


@pytest.mark.parametrize(
    ("direction", "height", "passes"),
    [
        (gates.Direction.ABOVE, 50.0, True),
        (gates.Direction.ABOVE, -50.0, False),
        (gates.Direction.BELOW, -50.0, True),
        (gates.Direction.BELOW, 50.0, False),
    ],
)
def test_direction_lets_one_side_pass(
    direction: gates.Direction, height: float, passes: bool
) -> None:
    scores = scorer(limits=gates.Gates(direction)).score(checks.frame_of(spiked(height)))
    assert (scores.score[300] > 1).all() == passes
    assert (scores.kind[300] > 0).all() == passes


@pytest.mark.parametrize(
    ("absolute", "relative", "passes"),
    [(40.0, 0.0, True), (60.0, 0.0, False), (0.0, 0.4, True), (0.0, 0.6, False)],
)
def test_least_deviation_cuts_the_score_to_one(
    absolute: float, relative: float, passes: bool
) -> None:
    limits = gates.Gates(min_deviation=(0.0, absolute), min_relative_deviation=(0.0, relative))
    scores = scorer(limits=limits).score(checks.frame_of(spiked(50.0)))
    assert (scores.score[300] > 1).all() == passes
    if not passes:
        assert (scores.score[300] == 1).all()
        assert (scores.kind[300] == 0).all()


def test_least_deviation_of_one_side_leaves_the_other_alone() -> None:
    limits = gates.Gates(min_deviation=(60.0, 0.0), min_relative_deviation=(0.6, 0.0))
    up, down = (scorer(limits=limits).score(checks.frame_of(spiked(h))) for h in (50.0, -50.0))
    assert (up.score[300] > 1).all()
    assert (down.score[300] == 1).all()


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_wrong_least_deviation_is_named(bad: float) -> None:
    with pytest.raises(ValueError, match="min_deviation"):
        gates.Gates(min_deviation=(0.0, bad))


@pytest.mark.parametrize(
    ("limits", "name"),
    [({"band_scale": (0.0, 1.0)}, "band_scale"), ({"valid_range": (1.0, 1.0)}, "valid_range")],
)
def test_wrong_gate_is_named(limits: dict[str, gates.Sides], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        gates.Gates(**limits)  # type: ignore[arg-type]


def test_a_value_outside_its_valid_range_is_anomalous_however_usual() -> None:
    values = 100 + checks.noise(400, 1)
    limits = gates.Gates(valid_range=(0.0, 90.0))
    scores = scorer(limits=limits).score(checks.frame_of(values))
    warm = slice(steps.SAMPLES_NEEDED, None)
    assert (scores.score[warm] >= verdict.OUTSIDE).all()
    assert (scores.expected == 90).all()
    assert (scores.upper == 90).all()


def test_a_wider_band_takes_more_and_its_edge_is_still_where_the_score_passes_one() -> None:
    values = checks.noise(1500, 20)
    values *= 1 + 30 * (np.random.default_rng(4).random(values.shape) < 0.002)
    plain = scorer().score(checks.frame_of(values))
    wide = scorer(limits=gates.Gates(band_scale=(1.0, 3.0))).score(checks.frame_of(values))
    warm = slice(300, None)
    up, down = values > plain.expected, values < plain.expected
    passed = [int(((each.score > 1) & up)[warm].sum()) for each in (plain, wide)]
    assert 0 < passed[1] < 0.9 * passed[0]
    # Where the references disagree, what is expected depends on the band, and so does the side.
    assert (((wide.score > 1) == (plain.score > 1)) | ~down)[warm].mean() > 0.999
    assert (wide.upper >= plain.upper)[warm].mean() > 0.99
    outside = (values < wide.lower) | (values > wide.upper)
    assert ((wide.score > 1) == outside)[warm].mean() > 0.98


def test_no_score_before_as_many_samples_as_the_query_asks_for() -> None:
    patient = scorer(limits=gates.Gates(min_samples=350))
    scores = patient.score(checks.frame_of(spiked(50.0)))
    assert patient.samples_needed == 350
    assert (scores.score[:350] == 0).all()
    assert (scores.score[350:] > 0).any()


def test_planned_time_neither_alarms_nor_teaches() -> None:
    values = 100 + checks.noise(500, 3)
    values[300:400] += 50
    planned = np.zeros(500, dtype=np.bool_)
    planned[300:400] = True
    heeding = scorer()
    scores = heeding.score(checks.frame_of(values), planned=planned)
    assert (scores.score[planned] == 0).all()
    assert (scores.kind[planned] == 0).all()
    assert (np.abs(scores.expected[planned] - 100) < 5).all()
    assert (scores.score[~planned] < 1).all()
    assert heeding.samples_seen.tolist() == [400, 400, 400]


def test_planned_time_ends_an_open_incident() -> None:
    planned = np.zeros(310, dtype=np.bool_)
    planned[302:] = True
    scores = scorer().score(checks.frame_of(spiked(50.0, steps=310)), planned=planned)
    assert (scores.kind[301] == frames.Kind.SPIKE).all()
    assert (scores.kind[302:] == frames.Kind.NONE).all()


def test_planned_time_is_heeded_step_by_step_as_in_whole() -> None:
    values, planned = 100 + checks.noise(200, 3), np.arange(200) % 50 > 40
    whole = scorer().score(checks.frame_of(values), planned=planned)
    model = scorer()
    parts = [
        model.score(checks.frame_of(values[t : t + 1], first=t), planned=planned[t : t + 1])
        for t in range(200)
    ]
    assert np.array_equal(whole.score, np.concatenate([part.score for part in parts]))


def test_planned_time_may_be_that_of_single_series() -> None:
    values = 100 + checks.noise(500, 3)
    values[300:400] += 50
    planned = np.zeros((500, 3), dtype=np.bool_)
    planned[300:400, 1] = True
    heeding = scorer()
    scores = heeding.score(checks.frame_of(values), planned=planned)
    of_all = scorer().score(checks.frame_of(values), planned=planned[:, 1])
    of_none = scorer().score(checks.frame_of(values))
    assert np.array_equal(scores.expected[:, 1], of_all.expected[:, 1])
    assert np.array_equal(scores.expected[:, 0], of_none.expected[:, 0])
    assert (scores.score[300:400, 1] == 0).all()
    assert (scores.score[300, [0, 2]] > 1).all()
    assert heeding.samples_seen.tolist() == [500, 400, 500]


def test_raised_threshold_is_one_of_one_series_until_it_is_taken_back() -> None:
    values = 100 + checks.noise(400, 3)
    plain, raised = scorer(), scorer()
    before = plain.score(checks.frame_of(values[:300]))
    raised.raise_thresholds({1: 2.0})
    first = raised.score(checks.frame_of(values[:300]))
    assert np.allclose(first.score[200:, 1], before.score[200:, 1] / 2, atol=0.36)
    assert np.array_equal(first.score[:, [0, 2]], before.score[:, [0, 2]])
    assert (first.upper[200:, 1] > before.upper[200:, 1]).all()
    assert (first.expected == before.expected).all()
    raised.raise_thresholds({})
    after = raised.score(checks.frame_of(values[300:], first=300))
    usual = plain.score(checks.frame_of(values[300:], first=300))
    assert np.allclose(after.score[50:], usual.score[50:], atol=0.01)


def test_spike_just_above_a_threshold_is_none_above_the_raised_one() -> None:
    height = next(
        height
        for height in np.arange(3.0, 50.0, 0.5)
        if scorer().score(checks.frame_of(spiked(height))).score[300, 0] > 1.1
    )
    score = float(scorer().score(checks.frame_of(spiked(height))).score[300, 0])
    raised = scorer()
    raised.raise_thresholds({0: score * 1.01})
    found = raised.score(checks.frame_of(spiked(height)))
    assert 0.98 < found.score[300, 0] < 1.0
    assert (found.kind[:, 0] == frames.Kind.NONE).all()
    raised.forget([0])
    again = raised.score(checks.frame_of(spiked(height), first=1000))
    assert again.score[300, 0] == pytest.approx(score, rel=0.05)


def test_wrong_step_is_named() -> None:
    with pytest.raises(ValueError, match="step"):
        scoring.QueryScorer(step=timedelta(0), budget=WEEKLY)


def test_score_passes_one_where_the_value_leaves_the_band() -> None:
    values = checks.noise(1500, 20) * np.geomspace(0.1, 1e6, 20)
    values *= 1 + 30 * (np.random.default_rng(4).random(values.shape) < 0.02)
    scores = scorer().score(checks.frame_of(values))
    warm = slice(steps.SAMPLES_NEEDED, None)
    outside = (values < scores.lower) | (values > scores.upper)
    assert outside[warm].sum() > 30
    assert ((scores.score > 1) == outside)[warm].mean() > 0.98


@pytest.mark.parametrize("noise", ["gaussian", "heavy tails", "daily"])
def test_incidents_open_outside_the_band_and_hardly_anything_else_is_outside(noise: str) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(4_000, 20))
    if noise == "heavy tails":
        values = rng.standard_t(3, size=values.shape)
    elif noise == "daily":
        values += 20 * np.sin(np.arange(len(values)) / 1440 * 2 * np.pi)[:, None]
    hit = rng.random(values.shape) < 0.002
    values += hit * rng.uniform(-20, 20, size=values.shape)
    scores = scorer().score(checks.frame_of(values))
    warm = slice(300, None)
    opens = (scores.score > 1) & (scores.kind > 0)
    opens[1:] &= scores.kind[:-1] == 0
    outside = ((values < scores.lower) | (values > scores.upper))[warm]
    assert outside[opens[warm]].mean() > 0.8
    scored = (scores.score > 1)[warm]
    assert scored[outside].mean() > 0.6
    width = np.median((scores.upper - scores.lower)[warm], axis=0) / np.diff(values, axis=0).std()
    assert np.median(width) < 30  # differences from step to step


def test_expected_value_follows_a_level_shift() -> None:
    values = checks.noise(3000, 2)
    values[1000:] += 500
    scores = scorer().score(checks.frame_of(values))
    assert np.abs(scores.expected[900:1000]).max() < 5
    assert np.abs(scores.expected[2000:] - 500).max() < 25


def test_new_rows_start_cold_beside_old_ones() -> None:
    grown = scorer()
    values = checks.noise(100, 5)
    grown.score(checks.frame_of(values[:50, :2]))
    scores = grown.score(checks.frame_of(values[50:], first=50))
    alone = scorer().score(checks.frame_of(values[50:, 2:], first=50))
    assert grown.samples_seen.tolist() == [100, 100, 50, 50, 50]
    assert np.array_equal(scores.score[:, 2:], alone.score)


def test_forgotten_row_starts_cold() -> None:
    forgetful = scorer()
    values = checks.noise(100, 3)
    forgetful.score(checks.frame_of(values[:50]))
    forgetful.forget([1])
    assert forgetful.samples_seen.tolist() == [50, 0, 50]
    scores = forgetful.score(checks.frame_of(values[50:], first=50))
    alone = scorer().score(checks.frame_of(values[50:, 1:2], first=50))
    assert np.array_equal(scores.score[:, 1:2], alone.score)


@pytest.mark.parametrize("ml", [False, True])
def test_samples_row_by_row_score_as_their_frame_bit_by_bit(ml: bool) -> None:
    values = checks.noise(700, 3)
    values[100:130, 1] = np.nan
    values[300:310] += 9.0
    frame = checks.frame_of(values)
    whole, by_row = scorer(ml=ml), scorer(ml=ml)
    expected = whole.score(frame)
    epochs = by_row.epochs(frame.times_ms)
    for epoch in np.unique(epochs):
        steps = np.flatnonzero(epochs == epoch)
        by_row.refresh(rows=3)
        for row in range(3):
            scores = by_row.score_samples(row, frame.times_ms[steps], values[steps, row])
            for part in ("score", "expected", "lower", "upper", "kind"):
                want = getattr(expected, part)[steps, row : row + 1]
                assert np.array_equal(getattr(scores, part), want, equal_nan=True), part
    rows = [job.rows.tolist() for each in (whole, by_row) for job in each.refit_jobs()]
    assert len(rows) == (2 if ml else 0)
    assert not ml or rows[0] == rows[1]


def test_scores_sample_and_evidence_are_the_same_however_many_threads_share_the_rows() -> None:
    values = checks.noise(300, 41)
    values[250, ::3] += 50.0
    frame = checks.frame_of(values)
    alone, shared = scorer(ml=True, threads=1), scorer(ml=True, threads=5)
    one, other = alone.score(frame), shared.score(frame)
    for part in ("score", "expected", "lower", "upper", "drift", "kind"):
        assert np.array_equal(getattr(one, part), getattr(other, part), equal_nan=True), part
    (job,), (same,) = alone.refit_jobs(), shared.refit_jobs()
    assert len(job.rows) == arrays.SAMPLE_ROWS
    assert np.array_equal(job.rows, same.rows)
    for row in range(41):
        told = [each.explain(row, 250, values[250, row]) for each in (alone, shared)]
        assert told[0] == told[1]
        assert bool(told[0].rises) == (row % 3 == 0)


def test_no_samples_change_nothing() -> None:
    quiet = scorer()
    scores = quiet.score_samples(1, np.empty(0, np.int64), np.empty(0))
    assert scores.score.shape == (0, 1)
    assert quiet.samples_seen.tolist() == [0, 0]


def test_empty_frame_changes_nothing() -> None:
    quiet = scorer()
    scores = quiet.score(checks.frame_of(np.empty((0, 4))))
    assert scores.score.shape == (0, 4)
    assert quiet.samples_seen.tolist() == [0, 0, 0, 0]


def test_long_gap_restarts_short_memories_and_ends_the_incident() -> None:
    values = spiked(50.0, steps=310)
    later = 40 + checks.noise(5, 3, seed=9)
    gone = scorer()
    before = gone.score(checks.frame_of(values[:302]))
    assert (before.kind[-1] == frames.Kind.SPIKE).all()
    absent = gone.score(checks.frame_of(np.full((14, 3), np.nan), first=302))
    assert (absent.kind[0] == frames.Kind.SPIKE).all()
    assert (absent.kind[-1] == frames.Kind.NONE).all()
    gone.score(checks.frame_of(later, first=500))
    state = gone._state.numbers[:, layout.E]
    assert np.abs(state - (later[-1] - values[0])).max() < 5


def test_daily_profile_expects_what_happens_each_day() -> None:
    times = np.arange(8 * 288)
    values = checks.noise(len(times), 4) + 100 * np.sin(times * 2 * np.pi / 288)[:, None] ** 9
    five = scoring.QueryScorer(step=timedelta(minutes=5), budget=WEEKLY)
    frame = frames.Frame(times * 300_000, np.asfortranarray(values), 300_000)
    scores = five.score(frame)
    error = np.abs(values - scores.expected)
    assert error[6 * 288 :].mean() < 0.7 * error[288 // 8 : 288].mean()


def weekly_traffic(weeks: int, *, of_weekend: float, series: int = 4) -> frames.Floats:
    """A value an hour: so much of a working day's on each sixth and seventh day."""
    hours = np.arange(weeks * 168)
    of_day = 2.0 + np.sin((hours % 24 - 6) / 24 * 2 * np.pi)
    share = np.where(hours // 24 % 7 >= 5, of_weekend, 1.0)
    return np.asarray((100 * of_day * share)[:, None] + checks.noise(len(hours), series))


@pytest.mark.parametrize("of_weekend", [0.4, 1.0])
def test_the_week_is_used_where_it_foresees_better_and_only_there(of_weekend: float) -> None:
    values = weekly_traffic(6, of_weekend=of_weekend)
    hourly = scoring.QueryScorer(step=timedelta(hours=1), budget=WEEKLY)
    seasons, errors = [], []
    for first in range(0, len(values), 168):
        week = values[first : first + 168]
        times_ms = np.arange(first, first + 168, dtype=np.int64) * 3_600_000
        scores = hourly.score(frames.Frame(times_ms, np.asfortranarray(week), 3_600_000))
        seasons.append(hourly.seasons)
        errors.append(float(np.abs(week - scores.expected)[24:].mean()))
    assert seasons[0] == (4, 0, 0)  # a week of comparison comes first
    assert seasons[-1] == (4, 4 if of_weekend < 1 else 0, 0)
    if of_weekend < 1:
        assert errors[-1] < 0.35 * errors[1]


def test_a_week_that_ends_is_not_used_any_more() -> None:
    values = weekly_traffic(12, of_weekend=0.4)
    values[5 * 168 :] = weekly_traffic(7, of_weekend=1.0)
    hourly = scoring.QueryScorer(step=timedelta(hours=1), budget=WEEKLY)
    used = []
    for first in range(0, len(values), 168):
        times_ms = np.arange(first, first + 168, dtype=np.int64) * 3_600_000
        week = np.asfortranarray(values[first : first + 168])
        hourly.score(frames.Frame(times_ms, week, 3_600_000))
        used.append(hourly.seasons[1])
    assert used[4] == 4
    assert used[-1] == 0


def test_confidence_grows_from_nought_to_one() -> None:
    hourly = scoring.QueryScorer(step=MINUTE, budget=budget.parse_budget("1 per hour per series"))
    hourly.score(checks.frame_of(checks.noise(10, 2)))
    assert hourly.confidence.tolist() == [0, 0]
    hourly.score(checks.frame_of(checks.noise(30, 2), first=10))
    assert ((hourly.confidence > 0) & (hourly.confidence < 1)).all()
    hourly.score(checks.frame_of(checks.noise(60, 2), first=40))
    assert hourly.confidence.tolist() == [1, 1]


def test_budget_of_a_query_is_shared_by_its_live_series() -> None:
    shared = scoring.QueryScorer(step=MINUTE, budget=budget.parse_budget("7 per week per query"))
    own = scoring.QueryScorer(step=MINUTE, budget=WEEKLY)
    values = checks.noise(3000, 7)
    one, other = (each.score(checks.frame_of(values)).score for each in (shared, own))
    assert np.array_equal(one[2000:], other[2000:])


def test_without_ml_there_is_nothing_to_fit() -> None:
    plain = scorer()
    plain.score(checks.frame_of(checks.noise(200, 20)))
    assert plain.refit_jobs() == ()


def test_fit_is_due_at_enough_rows_at_doublings_and_weekly_with_growth() -> None:
    learning = scorer(ml=True)
    learning.score(checks.frame_of(checks.noise(30, 20)))
    assert learning.refit_jobs() == ()
    learning.score(checks.frame_of(checks.noise(40, 20), first=30))
    assert len(learning.refit_jobs()) == 1
    assert learning.refit_jobs() == ()
    learning.score(checks.frame_of(checks.noise(60, 20), first=70))
    assert len(learning.refit_jobs()) == 1
    learning.score(checks.frame_of(checks.noise(1, 20), first=131 + 7 * 1440))
    assert learning.refit_jobs() == ()
    learning.score(checks.frame_of(checks.noise(40, 20), first=132 + 7 * 1440))
    assert len(learning.refit_jobs()) == 1


def test_adopted_forest_joins_the_score() -> None:
    learning, plain = scorer(ml=True), scorer()
    values = checks.noise(300, 20)
    for each in (learning, plain):
        each.score(checks.frame_of(values[:100]))
    (job,) = learning.refit_jobs()
    fitted = job.run()
    assert (fitted.rows, fitted.features, fitted.seed) == (len(job.rows), 10, 3)
    assert fitted.window_start_ms < fitted.window_end_ms
    learning.adopt(fitted)
    joined, alone = (
        each.score(checks.frame_of(values[100:], first=100)) for each in (learning, plain)
    )
    assert not np.array_equal(joined.score, alone.score)


def test_a_model_alone_scores_nothing_before_its_fit_and_then_finds_the_spike() -> None:
    alone = scoring.QueryScorer(
        step=MINUTE, budget=WEEKLY, models=[catalogue.model_of("hbos")], streaming=False
    )
    values = checks.noise(800, 20)
    values[700] += 15
    before = alone.score(checks.frame_of(values[:400]))
    assert (before.score == 0).all()
    for job in alone.refit_jobs():
        alone.adopt(job.run())
    after = alone.score(checks.frame_of(values[400:], first=400)).score
    assert (after[:300] > 1).mean() < 0.005
    assert (after[300] > 0.9).all()


def test_streaming_is_left_out_only_for_a_model() -> None:
    with pytest.raises(ValueError, match="streaming"):
        scoring.QueryScorer(step=MINUTE, budget=WEEKLY, streaming=False)


def test_members_are_told_when_asked_for() -> None:
    model = catalogue.model_of("hbos")
    telling = scoring.QueryScorer(step=MINUTE, budget=WEEKLY, models=[model], emits=True)
    plain = scoring.QueryScorer(step=MINUTE, budget=WEEKLY, models=[model])
    values = spiked(50.0)
    values[350, 1] = np.nan
    for each in (telling, plain):
        each.score(checks.frame_of(values[:250]))
        for job in each.refit_jobs():
            each.adopt(job.run())
    told = telling.score(checks.frame_of(values[250:], first=250))
    silent = plain.score(checks.frame_of(values[250:], first=250))
    assert silent.members == {}
    assert np.array_equal(told.score, silent.score, equal_nan=True)
    assert list(told.members) == ["residual", "near", "wide", "gaussian", "hbos"]
    weights = np.array([*scoring.WEIGHTS, model.weight])
    mean = np.average(np.stack(list(told.members.values())), axis=0, weights=weights)
    assert np.allclose(mean[50], told.score[50])
    assert np.isnan(told.members["hbos"][100, 1])
    assert (told.members["residual"][50] > 1).all()


def test_sample_of_rows_is_the_same_however_they_come() -> None:
    values = checks.noise(300, 40)
    whole, parts = scorer(ml=True), scorer(ml=True)
    whole.score(checks.frame_of(values))
    for t in range(0, 300, 7):
        parts.score(checks.frame_of(values[t : t + 7], first=t))
    (one,), (other,) = whole.refit_jobs(), parts.refit_jobs()
    assert len(one.rows) == arrays.SAMPLE_ROWS
    assert np.array_equal(one.rows, other.rows)


def test_walk_of_the_forest_equals_pyod() -> None:
    from pyod.models.iforest import IForest

    rows = np.random.default_rng(0).normal(size=(900, 10)).astype(np.float32)
    theirs = IForest(n_estimators=100, max_samples=256, random_state=3, n_jobs=1).fit(rows)
    ours = catalogue.model_of("iforest").fit(rows, seed=3).score(rows)
    expected = theirs.decision_function(rows) - theirs.detector_.offset_
    assert np.allclose(ours, expected, rtol=0, atol=1e-12)


def test_walk_of_a_forest_on_some_features_equals_pyod() -> None:
    from pyod.models.iforest import IForest

    rows = np.random.default_rng(0).normal(size=(900, 10)).astype(np.float32)
    theirs = IForest(n_estimators=20, max_samples=64, max_features=0.4, random_state=3).fit(rows)
    parameters = {"n_estimators": 20, "max_samples": 64, "max_features": 0.4}
    ours = catalogue.model_of("iforest", parameters=parameters).fit(rows, seed=3).score(rows)
    expected = theirs.decision_function(rows) - theirs.detector_.offset_
    assert np.allclose(ours, expected, rtol=0, atol=1e-12)


def test_memories_below_a_minute_keep_their_length_in_time() -> None:
    minute, fine = (memories.memories_for_step(timedelta(seconds=s)) for s in (60, 5))
    assert np.allclose((1 - fine.ewma) ** 12, 1 - minute.ewma)
    assert memories.memories_for_step(timedelta(hours=1)).ewma.tolist() == [1, 0.5, 0.2, 0.05, 0.01]
    assert [fine.profile_bins, minute.profile_bins] == [288, 288]
    assert memories.memories_for_step(timedelta(hours=1)).profile_bins == 24


def test_prior_leaves_the_series_itself_out() -> None:
    rows = np.array([0, 1, 3, 4])
    values = np.array([5.0, 1.0, 3.0, 9.0])
    assert siblings._medians_without_self(values, rows, 5).tolist() == [3, 5, 4, 5, 3]
    assert siblings._means_without_self(values, rows, 5).tolist() == [13 / 3, 17 / 3, 4.5, 5, 3]
    assert siblings._medians_without_self(values[:1], rows[:1], 2).tolist() == [0, 5]


@pytest.mark.parametrize(
    ("text", "alarms", "period", "per"),
    [
        ("1 per week per series", 1, timedelta(weeks=1), "series"),
        (" 0.25  per day per query ", 0.25, timedelta(days=1), "query"),
        (".5 per hour per series", 0.5, timedelta(hours=1), "series"),
    ],
)
def test_budget_is_parsed(text: str, alarms: float, period: timedelta, per: str) -> None:
    assert budget.parse_budget(text) == budget.Budget(alarms, period, budget.Per(per))


@pytest.mark.parametrize(
    "text", ["", "0 per day per series", "1 per year per series", "1 per day", "1 per day per host"]
)
def test_wrong_budget_names_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"hour\|day\|week per series\|query"):
        budget.parse_budget(text)


def test_warm_up_compiles_without_error() -> None:
    models.warm_up()
    assert steps.look_steps is not None


def test_at_fine_steps_a_burst_leaves_no_image_of_itself_once_it_is_over() -> None:
    step_ms = 5_000
    values = 0.03 + 0.01 * checks.noise(200, 1)
    values[60:72] += 0.9
    judge = scoring.QueryScorer(step=timedelta(milliseconds=step_ms), budget=WEEKLY)

    scores = judge.score(
        frames.Frame(np.arange(200, dtype=np.int64) * step_ms, np.asfortranarray(values), step_ms)
    )

    assert (scores.score[60:72, 0] > 1).all()
    assert (scores.score[75:100, 0] < 1).all()
    assert scores.kind[90, 0] == frames.Kind.NONE


def month_edges(months: int, *, of_edge: float, series: int = 3) -> frames.Frame:
    """A value an hour from 2026-01-01 on: so much of other days' on a month's last and first."""
    end = pd.Timestamp("2026-01-01") + pd.DateOffset(months=months)
    hours = pd.date_range("2026-01-01", end, inclusive="left", freq="h", tz="UTC")
    is_edge = (hours.day == 1) | hours.is_month_end
    of_day = 2.0 + np.sin((hours.hour - 6) / 24 * 2 * np.pi)
    values = (100 * of_day * np.where(is_edge, of_edge, 1.0)).to_numpy()[:, np.newaxis]
    values = values + checks.noise(len(hours), series)
    times_ms = hours.as_unit("ms").asi8
    return frames.Frame(times_ms, np.asfortranarray(values), 3_600_000)


@pytest.mark.parametrize("of_edge", [1.6, 1.0])
def test_the_edge_of_a_month_is_used_from_the_third_on_and_only_where_it_helps(
    of_edge: float,
) -> None:
    frame = month_edges(6, of_edge=of_edge)
    hourly = scoring.QueryScorer(step=timedelta(hours=1), budget=WEEKLY)
    used, expected = [], []
    days = pd.to_datetime(frame.times_ms, unit="ms", utc=True)
    for month in range(1, 7):
        part = days.month == month
        piece = np.asfortranarray(frame.values[part])
        scores = hourly.score(frames.Frame(frame.times_ms[part], piece, frame.step_ms))
        expected.append(scores.expected)
        used.append(hourly.seasons[2])
    assert used == [0, 0, *[3 if of_edge > 1 else 0] * 4]
    last_edge = np.flatnonzero((days.month == 6) & (days.day == 1))
    first_edge = np.flatnonzero((days.month == 2) & (days.day == 1))
    wrong = np.abs(np.concatenate(expected) - frame.values)
    if of_edge > 1:
        assert wrong[last_edge].mean() < 0.5 * wrong[first_edge].mean()


@pytest.mark.parametrize(
    ("date", "edge"),
    [
        ("2026-03-01", 0), ("2026-03-03", 2), ("2026-03-04", None), ("2026-03-28", None),
        ("2026-03-29", 3), ("2026-03-31", 5), ("2024-02-26", None), ("2024-02-27", 3),
        ("2024-02-29", 5), ("2023-02-28", 5), ("2000-02-29", 5), ("2100-02-28", 5),
        ("1969-12-31", 5), ("1970-01-01", 0),
    ],
)  # fmt: skip
def test_edges_of_months_are_told_by_the_calendar(date: str, edge: int | None) -> None:
    midnight_ms = int(pd.Timestamp(date, tz="UTC").timestamp() * 1000)
    for hour in (0, 4, 23):
        found = offsets.edge_of(midnight_ms + hour * 3_600_000)
        assert found == (-1 if edge is None else edge * layout.EDGE_PARTS + hour // 3)


def test_a_season_stays_where_it_is_for_people_when_clocks_are_turned() -> None:
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    start = int(pd.Timestamp("2026-03-15", tz=zone).timestamp() * 1000)
    times_ms = start + 3_600_000 * np.arange(24 * 21, dtype=np.int64)
    walls = pd.to_datetime(times_ms, unit="ms", utc=True).tz_convert(zone)
    is_open = (walls.hour >= 8) & (walls.hour < 18)
    values = (100.0 + 50.0 * is_open)[:, np.newaxis] + checks.noise(len(walls), 3)
    turned = (walls >= pd.Timestamp("2026-03-30", tz=zone)) & (walls.hour == 8)
    wrong = {}
    for each in (zone, UTC):
        hourly = scoring.QueryScorer(step=timedelta(hours=1), budget=WEEKLY, zone=each)
        scores = hourly.score(frames.Frame(times_ms, np.asfortranarray(values), 3_600_000))
        wrong[each] = float(np.abs(scores.expected - values)[turned][0].mean())
    assert wrong[zone] < 5 < 20 < wrong[UTC]


def test_the_cheap_tier_has_half_the_state_and_finds_the_spike() -> None:
    full, cheap = (
        scoring.QueryScorer(step=MINUTE, budget=WEEKLY, cheap=cheap) for cheap in (False, True)
    )
    values = spiked(15.0, steps=800)
    for each in (full, cheap):
        score = each.score(checks.frame_of(values)).score
        assert (score[300] > 1).all()
        assert (score[400:] > 1).mean() < 0.005
    assert cheap.state_bytes < 0.6 * full.state_bytes


def test_models_that_speak_alone_keep_no_reservoirs() -> None:
    alone = scoring.QueryScorer(
        step=MINUTE, budget=WEEKLY, models=[catalogue.model_of("hbos")], streaming=False
    )
    full = scorer(ml=True)
    for each in (alone, full):
        each.score(checks.frame_of(spiked(0.0)))
    assert alone.state_bytes < 0.6 * full.state_bytes
