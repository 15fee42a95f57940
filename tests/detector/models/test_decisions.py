"""What a score was made from makes it again, to the last bit."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.models import (
    arrays,
    budget,
    catalogue,
    checks,
    decisions,
    fitted,
    gates,
    scoring,
    smoothing,
)
from detector.models.kernels import keeping, layout

pytestmark = pytest.mark.usefixtures("compiled_kernels")

STEPS = 700
SPIKE = 650


def scorer_of(
    *, limits: gates.Gates = scoring.NO_GATES, models: Sequence[fitted.Model] = (), threads: int = 2
) -> scoring.QueryScorer:
    return scoring.QueryScorer(
        step=timedelta(minutes=1),
        budget=budget.parse_budget("1 per day per series"),
        limits=limits,
        models=models,
        threads=threads,
    )


def values_with_spikes() -> frames.Floats:
    values = 50.0 + checks.noise(STEPS, 5)
    values[SPIKE : SPIKE + 3, 1:4] += [[30.0, -40.0, 8.0]]
    values[SPIKE - 60 : SPIKE - 50, 4] = np.nan
    values[SPIKE + 1, 4] = 90.0
    return np.asfortranarray(values)


def replayed(
    scorer: scoring.QueryScorer, values: frames.Floats
) -> list[tuple[decisions.Outcome, frames.Scores, int, int]]:
    """What comes of each record of the last steps, with the scores of then and where."""
    scorer.score(checks.frame_of(values[: SPIKE - 50]))
    for job in scorer.refit_jobs():
        scorer.adopt(job.run())
    scores = scorer.score(checks.frame_of(values[SPIKE - 50 :], first=SPIKE - 50), records=True)
    found = []
    for step, row in np.argwhere(scores.score > 1.0).tolist():
        told = scorer.explain(row, step, values[SPIKE - 50 + step, row])
        assert told.record
        found.append((decisions.replay(decisions.parse(told.record)), scores, step, row))
    return found


@pytest.mark.parametrize(
    ("limits", "models"),
    [
        (scoring.NO_GATES, ()),
        (gates.Gates(min_deviation=(1.0, 2.0), band_scale=(1.5, 1.2), valid_range=(0.0, 85.0)), ()),
        (scoring.NO_GATES, (catalogue.model_of("hbos"), catalogue.model_of("iforest"))),
    ],
    ids=["plain", "gates", "fitted"],
)
def test_a_record_replays_to_the_same_numbers(
    limits: gates.Gates, models: tuple[fitted.Model, ...]
) -> None:
    found = replayed(scorer_of(limits=limits, models=models), values_with_spikes())
    assert len({row for _, _, _, row in found}) >= 3
    for outcome, scores, step, row in found:
        then = (
            float(each[step, row])
            for each in (scores.score, scores.expected, scores.lower, scores.upper)
        )
        assert (outcome.score, outcome.expected, outcome.lower, outcome.upper) == tuple(then)
        assert outcome.kind == scores.kind[step, row]


def test_records_change_no_score() -> None:
    values = values_with_spikes()
    plain, recording = scorer_of(), scorer_of(threads=1)
    for first, end in ((0, 600), (600, 601), (601, STEPS)):
        frame = checks.frame_of(values[first:end], first=first)
        one, other = plain.score(frame), recording.score(frame, records=True)
        assert np.array_equal(one.score, other.score, equal_nan=True)
        assert np.array_equal(one.upper, other.upper, equal_nan=True)
        assert np.array_equal(one.kind, other.kind)


def test_without_records_and_for_what_is_not_anomalous_there_is_none() -> None:
    values, scorer = values_with_spikes(), scorer_of()
    scores = scorer.score(checks.frame_of(values))
    assert scores.score[SPIKE, 1] > 1
    assert scorer.explain(1, SPIKE, values[SPIKE, 1]).record == b""
    again = scorer_of()
    again.score(checks.frame_of(values), records=True)
    assert again.explain(1, SPIKE, values[SPIKE, 1]).record
    assert again.explain(0, SPIKE - 5, values[SPIKE - 5, 0]).record == b""
    again.score(checks.frame_of(values[:1], first=STEPS))
    assert again.explain(1, SPIKE, values[SPIKE, 1]).record == b""


def test_what_opens_by_a_run_has_a_record_where_it_opens_and_only_there() -> None:
    values, scorer = 50.0 + checks.noise(STEPS, 4), scorer_of()
    values[SPIKE - 10 :, 1] = 50.0
    values[:, 2] = 7.0
    scores = scorer.score(checks.frame_of(values), records=True)
    kept = [
        (step, row)
        for step in range(SPIKE - 30, STEPS)
        for row in range(4)
        if scores.score[step, row] <= 1.0 and scorer.explain(row, step, values[step, row]).record
    ]
    opening = int(np.flatnonzero(scores.kind[:, 1] == frames.Kind.FLAT)[0])
    assert kept == [(opening, 1)]


def test_constant_series_leave_room_for_what_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "RECORDS_MOST", 1)
    values, scorer = 50.0 + checks.noise(STEPS, 40), scorer_of(threads=1)
    values[200:, :39] = 50.0
    values[SPIKE:, 39] = 50.0
    kinds = scorer.score(checks.frame_of(values[:SPIKE])).kind
    assert (kinds[300, :39] == frames.Kind.FLAT).all()
    assert (kinds[-1] == frames.Kind.NONE).all()
    for step in range(SPIKE, STEPS):
        scores = scorer.score(checks.frame_of(values[step : step + 1], first=step), records=True)
        if scores.kind[0, 39]:
            break
    assert scores.score[0, 39] <= 1.0
    assert scorer.explain(39, 0, 50.0).record


def test_where_more_are_suspect_than_fit_the_first_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "RECORDS_MOST", 2)
    values, scorer = values_with_spikes(), scorer_of(threads=1)
    scorer.score(checks.frame_of(values[:SPIKE]))
    scores = scorer.score(checks.frame_of(values[SPIKE : SPIKE + 1], first=SPIKE), records=True)
    records = [bool(scorer.explain(row, 0, values[SPIKE, row]).record) for row in range(5)]
    assert (scores.score[0] > 1).tolist() == [False, True, True, True, False]
    assert records == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (b"", "not a decision record"),
        (b"MDA1 and then something else", "a broken decision record"),
        (decisions.MAGIC + zlib.compress(b"\x02\0\0\0{}"), "a broken decision record"),
        (
            decisions.MAGIC + zlib.compress(b'\x0d\0\0\0{"format": 9}'),
            "of format 9: 1 can be read",
        ),
    ],
)
def test_what_is_no_record_is_refused(record: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decisions.parse(record)


def test_a_record_takes_less_than_the_state_it_holds() -> None:
    values, scorer = values_with_spikes(), scorer_of()
    scorer.score(checks.frame_of(values), records=True)
    record = scorer.explain(1, SPIKE, values[SPIKE, 1]).record
    assert 1_000 < len(record) < scorer.state_bytes


def test_every_part_of_a_state_is_copied() -> None:
    forecasts = smoothing.settings_of(
        [smoothing.smoother_of(name, parameters={}) for name in smoothing.NAMES],
        timedelta(minutes=5),
    )
    of, to = (arrays.empty_state(2, 288, np.ones(6), forecasts) for _ in range(2))
    rng = np.random.default_rng(0)
    for part in of:
        part[:] = rng.integers(1, 100, part.shape)
    keeping.copy_row(to, 1, layout.State(*(part[0] for part in of)))
    for name, part in to._asdict().items():
        assert np.array_equal(part[1], getattr(of, name)[0]), name
