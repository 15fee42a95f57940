from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest

from detector import anomalies, frames, telemetry
from detector.models import budget, decisions
from detector.models import scoring as models_scoring
from detector.services import inbox, scoring, watching
from tests.factories import T0, at
from tests.fakes import prometheus

A: frames.Labels = (("instance", "a"),)
B: frames.Labels = (("instance", "b"),)
STEP_MS = 5_000
T0_MS = int(T0.timestamp() * 1000)
NAN = math.nan
SPIKE, DIP = int(frames.Kind.SPIKE), int(frames.Kind.DIP)
FLAT, MISSING = int(frames.Kind.FLAT), int(frames.Kind.MISSING)


def _explain(row: int, step: int, value: float) -> anomalies.Explanation:
    return anomalies.Explanation((anomalies.Residual(f"row {row}, step {step}", value, 0.0),))


class Watched:
    """A tracker, a table of A and B, and the news that came."""

    def __init__(self) -> None:
        self.dropped = 0
        self.news = inbox.Inbox(drop=self._drop)
        self.tracker = watching.Tracker("q", news=self.news, drop=self._drop)
        self.table = frames.SeriesTable()
        self.table.row(A)
        self.table.row(B)
        self.step = 0

    def _drop(self, count: int) -> None:
        self.dropped += count

    def _block(
        self, scores: list[list[float]], kinds: list[list[int]]
    ) -> tuple[frames.Frame, frames.Scores]:
        """Values are ten times the scores."""
        score = np.array(scores, np.float64)
        times_ms = T0_MS + STEP_MS * np.arange(self.step, self.step + len(score), dtype=np.int64)
        self.step += len(score)
        expected, lower, upper = (np.full(score.shape, number) for number in (5.0, 4.0, 6.0))
        drift = np.zeros(score.shape)
        return frames.Frame(times_ms, 10.0 * score, STEP_MS), frames.Scores(
            times_ms, score, expected, lower, upper, drift, np.array(kinds, np.int8)
        )

    def follow(self, *steps: tuple[float, int, float, int]) -> list[anomalies.Anomaly]:
        """The news after these steps: score and kind of A, score and kind of B."""
        frame, scores = self._block(
            [[a, b] for a, _, b, _ in steps], [[k, m] for _, k, _, m in steps]
        )
        self.tracker.follow(self.table, frame, scores, _explain)
        return self.news.take(100)

    def take_up(self, *steps: tuple[float, int, float, int]) -> None:
        frame, scores = self._block(
            [[a, b] for a, _, b, _ in steps], [[k, m] for _, k, _, m in steps]
        )
        self.tracker.take_up(self.table, frame, scores, _explain)


def _brief(
    news: list[anomalies.Anomaly],
) -> list[tuple[frames.Labels, float, float | None, float, float]]:
    """Labels, seconds of opening and end, peak and last score."""
    return [
        (
            each.labels,
            (each.opened_at - T0).total_seconds(),
            None if each.ended_at is None else (each.ended_at - T0).total_seconds(),
            each.peak_score,
            each.last_score,
        )
        for each in news
    ]


def test_nothing_open_is_no_news() -> None:
    assert Watched().follow((0.5, 0, NAN, 0)) == []


def test_opening_is_told_of_with_all_that_is_known() -> None:
    (opened,) = Watched().follow((0.5, 0, 0.1, 0), (2.0, DIP, 0.1, 0))

    assert opened == anomalies.Anomaly(
        query="q",
        labels=A,
        opened_at=at(5),
        ended_at=None,
        kind="dip",
        peak_at=at(5),
        peak_score=2.0,
        value=20.0,
        expected=5.0,
        lower=4.0,
        upper=6.0,
        last_at=at(5),
        last_score=2.0,
        explanation=_explain(0, 1, 20.0),
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(2.0, SPIKE), (3.0, SPIKE)], [(A, 0, None, 3.0, 3.0)]),
        ([(2.0, SPIKE), (1.5, SPIKE)], [(A, 0, None, 2.0, 2.0)]),
        ([(2.0, SPIKE), (0.3, 0)], [(A, 0, 5, 2.0, 0.3)]),
        ([(2.0, SPIKE), (NAN, SPIKE), (1.2, SPIKE), (0.3, 0)], [(A, 0, 15, 2.0, 0.3)]),
        ([(2.0, SPIKE), (NAN, SPIKE), (NAN, 0)], [(A, 0, 10, 2.0, 2.0)]),
        ([(2.0, SPIKE), (0.3, 0), (4.0, SPIKE)], [(A, 0, 5, 2.0, 0.3), (A, 10, None, 4.0, 4.0)]),
        ([(NAN, SPIKE), (1.5, SPIKE)], [(A, 5, None, 1.5, 1.5)]),
        ([(0.2, FLAT), (0.9, FLAT), (0.3, 0)], [(A, 0, 10, 0.2, 0.3)]),
        ([(0.2, FLAT), (3.0, FLAT), (2.0, FLAT)], [(A, 0, None, 3.0, 3.0)]),
        ([(NAN, MISSING), (NAN, MISSING), (0.2, 0)], [(A, 0, 10, 0.0, 0.2)]),
        ([(NAN, MISSING), (NAN, MISSING), (NAN, 0)], [(A, 0, 10, 0.0, 0.0)]),
        ([(NAN, MISSING), (1.5, SPIKE)], [(A, 0, None, 1.5, 1.5)]),
    ],
    ids=[
        "worse",
        "lasts",
        "ends",
        "gap",
        "ends absent",
        "again",
        "opens absent",
        "below 1",
        "becomes worse",
        "is missed",
        "is gone",
        "comes back far off",
    ],
)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_course_of_an_anomaly(
    steps: list[tuple[float, int]],
    expected: list[tuple[frames.Labels, float, float | None, float, float]],
    one_by_one: bool,
) -> None:
    watched, news = Watched(), list[anomalies.Anomaly]()
    whole = [(score, kind, 0.1, 0) for score, kind in steps]
    for part in [[each] for each in whole] if one_by_one else [whole]:
        news += watched.follow(*part)

    latest = {each.key: each for each in news}
    assert _brief(list(latest.values())) == expected


def test_one_that_lasts_is_told_of_once_a_minute() -> None:
    watched = Watched()
    watched.follow((2.0, SPIKE, 0.1, 0))

    told = [bool(watched.follow((1.5, SPIKE, 0.1, 0))) for _ in range(24)]

    assert [n for n, is_told in enumerate(told, 1) if is_told] == [12, 24]


def test_series_that_takes_the_row_of_another_ends_that_ones_anomaly() -> None:
    watched = Watched()
    watched.follow((2.0, SPIKE, 0.1, 0))
    watched.table.forget([0])
    assert _brief(watched.follow((NAN, SPIKE, 0.1, 0))) == [(A, 0, 0, 2.0, 2.0)]
    other: frames.Labels = (("instance", "c"),)
    assert watched.table.row(other) == 0

    assert _brief(watched.follow((3.0, SPIKE, 0.1, 0))) == [(other, 10, None, 3.0, 3.0)]


def test_what_is_open_at_the_end_of_history_is_taken_up_and_the_rest_left() -> None:
    watched = Watched()

    watched.take_up((2.0, SPIKE, 3.0, SPIKE), (0.2, 0, 0.2, 0), (5.0, SPIKE, 0.2, 0))

    followed = [watched.tracker.has_followed]
    assert _brief(watched.news.take(9)) == [(A, 10, None, 5.0, 5.0)]
    watched.follow((1.0, SPIKE, 0.1, 0))
    assert [*followed, watched.tracker.has_followed] == [False, True]
    assert watched.tracker.open_keys() == {anomalies.Key("q", A, at(10))}


def test_history_learnt_again_goes_on_with_what_lasts_and_ends_the_rest() -> None:
    watched = Watched()
    watched.follow((2.0, SPIKE, 2.0, SPIKE))
    watched.follow((2.5, SPIKE, 1.5, SPIKE))
    watched.tracker.start_afresh()
    watched.step = 0
    watched.take_up((2.0, SPIKE, 0.2, 0), (2.5, SPIKE, 0.2, 0))

    news = watched.follow((0.1, 0, 0.1, 0))

    assert _brief(news) == [(A, 0, 10, 2.5, 0.1), (B, 0, 5, 2.0, 1.5)]


def test_only_so_many_are_followed_and_the_rest_is_counted_once() -> None:
    watched = Watched()
    wide = watching.OPEN_MAX + 2
    for number in range(wide):
        watched.table.row((("instance", str(number)),))
    rows = len(watched.table)
    for _ in range(2):
        frame, scores = watched._block([[2.0] * rows], [[SPIKE] * rows])
        watched.tracker.follow(watched.table, frame, scores, _explain)

    assert len(watched.tracker.open_keys()) == watching.OPEN_MAX
    assert watched.dropped == rows - watching.OPEN_MAX


def test_nobody_looks_away() -> None:
    watched = Watched()
    frame, scores = watched._block([[2.0, 2.0]], [[SPIKE, SPIKE]])
    watching.NOBODY.start_afresh()
    watching.NOBODY.take_up(watched.table, frame, scores, _explain)
    watching.NOBODY.follow(watched.table, frame, scores, _explain)


def test_spike_of_a_running_query_is_told_of_explained_and_ended() -> None:
    reader, news = prometheus.FakeReader({}), inbox.Inbox(drop=lambda count: None)
    clock_s = [T0_MS / 1000 + 1]
    spike_ms = range(T0_MS + STEP_MS, T0_MS + 3 * STEP_MS)
    reader.series[A] = lambda ms: 10 + math.sin(ms / 7_000) + 90 * (ms in spike_ms)
    step = timedelta(milliseconds=STEP_MS)
    runner = scoring.QueryRunner(
        scoring.Spec("q", "x", step, timedelta(hours=1), timedelta(hours=1), timedelta(days=1)),
        reader=reader,
        writer=prometheus.RecordingWriter(),
        make_scorer=lambda: models_scoring.QueryScorer(
            step=step, budget=budget.parse_budget("1 per week per series")
        ),
        watch=watching.Tracker("q", news=news, drop=lambda count: None),
        meters=telemetry.Telemetry(),
        clock=lambda: clock_s[0],
    )

    told = []
    for _ in range(60):
        runner.run()
        told += news.take(9)
        clock_s[0] += STEP_MS / 1000

    assert len({each.key for each in told}) == 1
    assert told[-1].ended_at is not None
    assert (told[-1].kind, told[-1].labels) == ("spike", A)
    assert told[-1].peak_at in (at(5), at(10))
    assert told[-1].value > 95
    assert told[-1].explanation.residuals[0].times > 20
    assert "residual" in told[-1].explanation.rises
    records = [each.explanation.record for each in told if each.explanation.record]
    assert 1 <= len(records) <= 2  # told where it becomes worse, and then no more
    outcome = decisions.replay(decisions.parse(records[-1]))
    assert outcome.score == told[-1].peak_score
