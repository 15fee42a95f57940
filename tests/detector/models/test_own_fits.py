"""Models with a fit of their own for each series or group."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, catalogue, checks, decisions, fits, fitted, own_fits, scoring

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEPS, FIT_AT, AT = 900, 840, 880
LABELS: tuple[frames.Labels, ...] = tuple(
    (("channel", channel), ("instance", host)) for host in "abc" for channel in ("in", "out")
)
ALONE: frames.Labels = (("channel", "in"), ("instance", "lonely"))


def model_of(per: fitted.Per, name: str = "pca", weight: float = 2.0) -> fitted.Model:
    return catalogue.model_of(name, per=per, weight=weight)


def scorer_of(
    *models: fitted.Model,
    labels: Sequence[frames.Labels | None] | None = LABELS,
    threads: int = 1,
) -> scoring.QueryScorer:
    scorer = scoring.QueryScorer(
        step=timedelta(minutes=1),
        budget=budget.parse_budget("1 per day per series"),
        models=models,
        group_by=("instance",) if models and models[0].per is fitted.Per.GROUP else (),
        emits=True,
        threads=threads,
    )
    if labels is not None:
        scorer.follow_labels(labels)
    return scorer


def alike() -> frames.Floats:
    """Two channels of each of three hosts that move together: float64[STEPS, 6]."""
    common = checks.noise(STEPS, 3, seed=4)
    own = checks.noise(STEPS, 6, seed=5)
    return np.asfortranarray(50 + np.repeat(common, 2, axis=1) + 0.1 * own)


def fit(scorer: scoring.QueryScorer) -> list[fitted.FittedModel]:
    """Fit all that is due, and score with it."""
    found = [job.run() for job in scorer.refit_jobs()]
    for each in found:
        scorer.adopt(each)
    return found


def learned(scorer: scoring.QueryScorer, values: frames.Floats) -> list[fitted.FittedModel]:
    """Fit after FIT_AT steps, and go on to AT: a fit speaks when its level is known."""
    scorer.score(checks.frame_of(values[:FIT_AT]))
    found = fit(scorer)
    scorer.score(checks.frame_of(values[FIT_AT:AT], first=FIT_AT))
    return found


def tail_of(scorer: scoring.QueryScorer, values: frames.Floats) -> frames.Scores:
    return scorer.score(checks.frame_of(values[AT:], first=AT))


def test_a_group_finds_odd_together_what_is_usual_of_each() -> None:
    values = alike()
    values[AT + 5, :2] = 50 + np.array([2.0, -2.0])
    scorer = scorer_of(model_of(fitted.Per.GROUP))
    found = learned(scorer, values)
    assert {each.unit for each in found} == {LABELS[:2], LABELS[2:4], LABELS[4:]}
    assert {each.features for each in found} == {2 * len(own_fits.GROUP_COLUMNS)}
    scores = tail_of(scorer, values)
    said = scores.members["pca"]
    assert (said[5, :2] > 1).all()
    assert (said[5, :2] > 2 * np.delete(said[5], [0, 1]).max()).all()
    alone = scorer_of(labels=LABELS)
    learned(alone, values)
    assert (scores.score[5, :2] > tail_of(alone, values).score[5, :2]).all()


def test_what_a_group_says_it_says_of_each_of_its_series() -> None:
    scorer = scorer_of(model_of(fitted.Per.GROUP))
    learned(scorer, alike())
    values = alike()
    values[AT + 5, 0] += 8
    said = tail_of(scorer, values).members["pca"][5]
    assert said[0] > 1
    assert said[1] > 1


def test_flagged_rows_teach_no_group_and_an_absent_series_stands_as_foreseen() -> None:
    values = alike()
    values[100:FIT_AT:50, 0] += 60
    values[300:400, 3] = np.nan
    scorer = scorer_of(model_of(fitted.Per.GROUP))
    scorer.score(checks.frame_of(values[:FIT_AT]))
    rows = {job.unit: job.rows for job in scorer.refit_jobs()}
    columns = len(own_fits.GROUP_COLUMNS)
    flagged, gapped = rows[LABELS[:2]], rows[LABELS[2:4]]
    assert np.abs(flagged[:, 0]).max() < np.log(30)
    absent = (gapped[:, columns:] == 0).all(axis=1)
    assert 95 <= absent.sum() <= 100  # noise flags one or two
    assert (gapped[absent, :columns] != 0).any(axis=1).all()


def test_the_columns_of_a_group_follow_its_labels_wherever_its_rows_are() -> None:
    values = alike()
    values[AT + 5, 0] += 8
    there, moved = (scorer_of(model_of(fitted.Per.GROUP)) for _ in range(2))
    other = np.asfortranarray(values[:, ::-1])
    moved.follow_labels(LABELS[::-1])
    one, same = learned(there, values), learned(moved, other)
    by_unit = {each.unit: each.quantiles for each in same}
    assert {each.unit: each.quantiles for each in one} == by_unit
    said = tail_of(there, values).members["pca"]
    assert np.array_equal(said[:, ::-1], tail_of(moved, other).members["pca"])


def test_each_series_has_a_fit_of_its_own_rows() -> None:
    values = alike()
    scorer = scorer_of(model_of(fitted.Per.SERIES))
    found = learned(scorer, values)
    assert [each.unit for each in found] == [(series,) for series in LABELS]
    other = values.copy(order="F")
    other[:, 1:] = 7 * checks.noise(STEPS, 5, seed=9)
    changed = scorer_of(model_of(fitted.Per.SERIES))
    again = learned(changed, other)
    assert found[0].quantiles == again[0].quantiles
    assert found[1].quantiles != again[1].quantiles


@pytest.mark.parametrize("per", [fitted.Per.SERIES, fitted.Per.GROUP])
def test_step_by_step_and_in_threads_it_is_the_same(per: fitted.Per) -> None:
    values = alike()
    values[600:620, 2] = np.nan
    values[300, 4] += 12
    whole, parts = scorer_of(model_of(per), threads=2), scorer_of(model_of(per))
    whole.score(checks.frame_of(values[:FIT_AT]))
    for t in range(FIT_AT):
        parts.score(checks.frame_of(values[t : t + 1], first=t))
    for one, other in zip(fit(whole), fit(parts), strict=True):
        assert one.unit == other.unit
        assert one.quantiles == other.quantiles
    scores = whole.score(checks.frame_of(values[FIT_AT:], first=FIT_AT))
    for t in range(FIT_AT, STEPS):
        step = parts.score(checks.frame_of(values[t : t + 1], first=t))
        assert np.array_equal(step.score[0], scores.score[t - FIT_AT], equal_nan=True)


@pytest.mark.parametrize("per", [fitted.Per.SERIES, fitted.Per.GROUP])
def test_a_decision_is_made_again(per: fitted.Per) -> None:
    values = alike()
    values[AT + 5, 0] += 30
    scorer = scorer_of(model_of(per))
    learned(scorer, values)
    frame = checks.frame_of(values[AT:], first=AT)
    scores = scorer.score(frame, records=True)
    told = scorer.explain(0, 5, values[AT + 5, 0])
    again = decisions.replay(decisions.parse(told.record))
    assert again.score == scores.score[5, 0] > 1


def test_a_series_without_a_group_has_no_fit() -> None:
    scorer = scorer_of(model_of(fitted.Per.GROUP), labels=(*LABELS[:2], ALONE, None))
    values = np.asfortranarray(np.column_stack([alike()[:, :3], np.full(STEPS, np.nan)]))
    assert [each.unit for each in learned(scorer, values)] == [LABELS[:2]]
    said = tail_of(scorer, values).members["pca"]
    assert np.isnan(said[:, 2:]).all()


def test_a_group_that_changes_starts_anew_and_the_others_keep_their_fits() -> None:
    scorer = scorer_of(model_of(fitted.Per.GROUP))
    values = alike()
    learned(scorer, values)
    joined: frames.Labels = (("channel", "new"), ("instance", "a"))
    scorer.follow_labels((LABELS[2], LABELS[3], LABELS[0], LABELS[1], LABELS[4], LABELS[5], joined))
    more = np.asfortranarray(np.column_stack([values, checks.noise(STEPS, 1)]))
    said = tail_of(scorer, more).members["pca"]
    assert np.isfinite(said[-1, [0, 1, 4, 5]]).all()
    assert np.isnan(said[:, [2, 3, 6]]).all()
    assert scorer.refit_jobs() == ()


def test_a_fit_for_what_has_gone_meanwhile_is_dropped() -> None:
    scorer = scorer_of(model_of(fitted.Per.SERIES))
    scorer.score(checks.frame_of(alike()[:FIT_AT]))
    jobs = scorer.refit_jobs()
    scorer.follow_labels(LABELS[1:])
    for job in jobs:
        scorer.adopt(job.run())
    assert [job.unit for job in jobs] == [(series,) for series in LABELS]
    assert scorer.adopted == ()


def test_rows_without_labels_as_in_files_are_series_too() -> None:
    values = alike()
    together = scorer_of(model_of(fitted.Per.SERIES), labels=None)
    assert len(learned(together, values)) == values.shape[1]
    apart = scorer_of(model_of(fitted.Per.SERIES), labels=None)
    frame = checks.frame_of(values)
    edges = np.flatnonzero(np.diff(apart.epochs(frame.times_ms))) + 1
    said = np.full(STEPS, np.nan)
    for first, last in itertools.pairwise(sorted({0, *edges.tolist(), FIT_AT, STEPS})):
        if first in edges or first == 0:
            apart.refresh(rows=values.shape[1])
        if first == FIT_AT:
            fit(apart)
        for row in range(values.shape[1]):
            found = apart.score_samples(row, frame.times_ms[first:last], values[first:last, row])
            if row == 3:
                said[first:last] = found.members["pca"][:, 0]
    whole = tail_of(together, values).members["pca"][:, 3]
    assert np.isfinite(whole).all()
    assert np.array_equal(said[AT:], whole)


def test_the_sample_is_bounded_uniform_and_asked_for_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_fits, "UNIT_ROWS", 600)
    monkeypatch.setattr(own_fits, "JOBS_AT_ONCE", 4)
    scorer = scorer_of(model_of(fitted.Per.SERIES))
    scorer.score(checks.frame_of(alike()))
    first, rest = scorer.refit_jobs(), scorer.refit_jobs()
    assert [len(first), len(rest), scorer.refit_jobs()] == [4, 2, ()]
    assert {len(job.rows) for job in (*first, *rest)} == {600}
    assert fits.Schedule().take_due(held=499, offered=10_000, now_ms=0) is False


def test_pooled_and_own_fits_stand_side_by_side() -> None:
    pooled, own = model_of(fitted.Per.QUERY, "hbos"), model_of(fitted.Per.SERIES)
    scorer = scorer_of(own, pooled)
    found = learned(scorer, alike())
    assert [each.name for each in found] == ["hbos", *["pca"] * len(LABELS)]
    assert [each.name for each in scorer.adopted] == ["hbos"]
    scores = tail_of(scorer, alike())
    assert list(scores.members)[-2:] == ["hbos", "pca"]
    assert np.isfinite(scores.members["pca"]).all()
    assert np.isfinite(scores.members["hbos"]).all()
