from __future__ import annotations

from datetime import timedelta

import numpy as np

from detector import alerts, frames, judgements
from detector.services import heeding
from tests.factories import at

A: frames.Labels = (("instance", "a"),)
B: frames.Labels = (("instance", "b"),)
MEMORY = timedelta(days=28)
TIMES_MS = np.array([round(at(second).timestamp() * 1000) for second in (0, 60, 120, 180)])
NONE_PLANNED = np.zeros(4, np.bool_)


def judged(
    labels: frames.Labels, first_s: float, last_s: float, verdict: alerts.Feedback
) -> heeding.Judged:
    return {labels: (judgements.Judgement(labels, at(first_s), at(last_s), 2.0, verdict),)}


def heeded(given: heeding.Judged) -> heeding.Heeded:
    return heeding.Heeded(given, memory=MEMORY)


def test_confirmed_span_is_planned_time_of_its_series_alone() -> None:
    found = heeded(judged(B, 60, 120, alerts.Feedback.TRUE))
    planned = NONE_PLANNED.copy()
    planned[0] = True
    mask = found.planned([A, None, B], TIMES_MS, planned)
    assert mask.T.tolist() == [
        [True, False, False, False],
        [True, False, False, False],
        [True, True, True, False],
    ]
    assert planned.tolist() == [True, False, False, False]


def test_both_ends_of_a_span_are_planned() -> None:
    for first_s, last_s, expected in ((-60, 0, [True, False]), (180, 240, [False, True])):
        found = heeded(judged(A, first_s, last_s, alerts.Feedback.TRUE))
        assert found.planned([A], TIMES_MS, NONE_PLANNED)[[0, -1], 0].tolist() == expected


def test_planned_time_stays_as_it_is_where_no_span_touches() -> None:
    for given in (
        {},
        judged(B, 181, 900, alerts.Feedback.TRUE),
        judged(B, 60, 120, alerts.Feedback.FALSE_ALARM),
        judged((("instance", "c"),), 60, 120, alerts.Feedback.PLANNED),
    ):
        assert heeded(given).planned([A, B], TIMES_MS, NONE_PLANNED) is NONE_PLANNED


def test_false_alarm_raises_the_row_of_its_series() -> None:
    found = heeded(judged(B, 60, 120, alerts.Feedback.FALSE_ALARM))
    assert found.raises([A, None, B], at=at(600)) == {2: 2.0}
    assert found.raises([A], at=at(600)) == {}
    assert found.raises([B], at=at(600) + MEMORY) == {}


def test_what_changes_learning_is_news() -> None:
    nothing = heeded({})
    confirmed = heeded(judged(B, 60, 120, alerts.Feedback.TRUE))
    assert confirmed.is_news(nothing, since=at(0))
    assert nothing.is_news(confirmed, since=at(0))
    assert not confirmed.is_news(heeded(judged(B, 60, 120, alerts.Feedback.PLANNED)), since=at(0))
    assert confirmed.is_news(nothing, since=at(119))
    assert not confirmed.is_news(nothing, since=at(120))
    assert not heeded(judged(B, 60, 120, alerts.Feedback.FALSE_ALARM)).is_news(nothing, since=at(0))
