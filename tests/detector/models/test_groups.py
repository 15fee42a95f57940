"""Series that belong together corroborate each other, whichever way their samples come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import budget, checks, decisions, gates, groups, scoring

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEPS, AT = 900, 800
HOSTS = ("a", "b", "a", "c", "b", "a")
LABELS: tuple[frames.Labels, ...] = tuple((("instance", host),) for host in HOSTS)


def scorer_of(
    by: Sequence[str] = ("instance",),
    *,
    labels: Sequence[frames.Labels | None] = LABELS,
    threads: int = 1,
    limits: gates.Gates = scoring.NO_GATES,
    emits: bool = False,
) -> scoring.QueryScorer:
    scorer = scoring.QueryScorer(
        step=timedelta(minutes=1),
        budget=budget.parse_budget("1 per day per series"),
        group_by=by,
        threads=threads,
        limits=limits,
        emits=emits,
    )
    scorer.follow_labels(labels)
    return scorer


def noise_with(*bumps: tuple[int, float]) -> frames.Floats:
    """Noise of six series; at AT each of these rows is off by so much."""
    values = 50.0 + checks.noise(STEPS, len(HOSTS))
    for row, size in bumps:
        values[AT, row] += size
    return np.asfortranarray(values)


def same(one: frames.Scores, other: frames.Scores, steps: slice = slice(None)) -> bool:
    return all(
        np.array_equal(getattr(one, name)[steps], getattr(other, name), equal_nan=True)
        for name in ("score", "expected", "lower", "upper", "kind")
    )


def test_rows_are_grouped_by_the_values_of_the_labels() -> None:
    labels: list[frames.Labels | None] = [
        (("instance", "a"), ("job", "x")),
        (("instance", "a"), ("job", "y")),
        (("instance", "b"), ("job", "x")),
        None,
        (("zone", "z"),),
        (("instance", "a"), ("job", "x")),
    ]
    assert groups.groups_of(labels, ("instance",)).tolist() == [0, 0, -1, -1, -1, 0]
    assert groups.groups_of(labels, ("instance", "job")).tolist() == [0, -1, -1, -1, -1, 0]
    assert groups.groups_of(labels, ("job",)).tolist() == [0, -1, 0, -1, -1, 0]
    assert groups.groups_of([], ("job",)).tolist() == []


def test_what_a_whole_host_shows_counts_more_than_what_one_series_shows() -> None:
    together, alone = noise_with((0, 4.5), (2, 4.5), (5, 4.5)), noise_with((0, 4.5))
    scores = [
        scorer_of().score(checks.frame_of(values)).score[AT, 0] for values in (together, alone)
    ]
    assert scores[0] > 1.25 * scores[1]


def test_series_alone_in_their_groups_are_judged_as_without() -> None:
    values = noise_with((3, 9.0))
    labels = [(("instance", str(row)),) for row in range(len(HOSTS))]
    lonely = scorer_of(labels=labels).score(checks.frame_of(values))
    plain = scorer_of(()).score(checks.frame_of(values))
    assert same(lonely, plain)
    assert not same(scorer_of().score(checks.frame_of(values)), plain)


@pytest.mark.parametrize("threads", [1, 2])
def test_step_by_step_and_by_threads_the_scores_are_the_same(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    values = noise_with((0, 20.0), (2, 20.0))
    values[300:340, 2] = np.nan
    whole = scorer_of().score(checks.frame_of(values))
    monkeypatch.setattr(scoring, "GROUPED_SAMPLES", 300)
    other = scorer_of(threads=threads)
    assert same(whole, other.score(checks.frame_of(values[:700])), slice(700))
    for step in range(700, STEPS):
        found = other.score(checks.frame_of(values[step : step + 1], first=step), records=True)
        assert same(whole, found, slice(step, step + 1)), step


def test_rows_that_come_later_are_alone_until_their_labels_are_told() -> None:
    values, scorer = noise_with(), scorer_of(labels=LABELS[:2])
    scorer.score(checks.frame_of(values[:700]))
    assert scorer.seasons == (0, 0, 0)
    scorer.follow_labels(LABELS)
    scores = scorer.score(checks.frame_of(values[700:], first=700))
    assert np.isfinite(scores.score).all()


def test_the_group_speaks_in_explanation_members_and_records() -> None:
    values, scorer = noise_with((0, 20.0), (2, 20.0)), scorer_of(emits=True)
    scorer.score(checks.frame_of(values[:AT]))
    scores = scorer.score(checks.frame_of(values[AT : AT + 1], first=AT), records=True)
    told = scorer.explain(0, 0, values[AT, 0])
    assert told.rises["group"] > 0.5
    assert scores.members["group"][0, 0] > 0.3
    assert np.isnan(scores.members["group"][0, 3])
    outcome = decisions.replay(decisions.parse(told.record))
    assert (outcome.score, outcome.upper) == (scores.score[0, 0], scores.upper[0, 0])


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_band_is_where_the_score_passes_one(scale: float) -> None:
    limits, values = gates.Gates(band_scale=(scale, scale)), noise_with()
    scores = scorer_of(limits=limits).score(checks.frame_of(values))
    for row in (0, 1):
        inside, outside = (values.copy(order="F") for _ in range(2))
        width = scores.upper[AT, row] - scores.expected[AT, row]
        inside[AT, row] = scores.expected[AT, row] + 0.7 * width
        outside[AT, row] = scores.expected[AT, row] + 1.4 * width
        low, high = (
            scorer_of(limits=limits).score(checks.frame_of(each[: AT + 1])).score[AT, row]
            for each in (inside, outside)
        )
        assert low < 1.0 < high
