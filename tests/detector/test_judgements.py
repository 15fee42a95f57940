from __future__ import annotations

from datetime import timedelta

import pytest

from detector import alerts, judgements
from detector.models import budget
from tests.factories import at

MEMORY = timedelta(days=28)
DAY_S = 86_400
TRUE, FALSE, PLANNED = (
    alerts.Feedback.TRUE,
    alerts.Feedback.FALSE_ALARM,
    alerts.Feedback.PLANNED,
)


def told(
    day: float, peak: float, verdict: alerts.Feedback = FALSE, *, lasts_s: float | None = 60
) -> judgements.Judgement:
    began = at(int(day * DAY_S))
    ended = None if lasts_s is None else began + timedelta(seconds=lasts_s)
    return judgements.Judgement((("instance", "a"),), began, ended, peak, verdict)


def raised(*given: judgements.Judgement, day: float = 10.0) -> float:
    return judgements.raise_of(given, now=at(int(day * DAY_S)), memory=MEMORY)


def test_nothing_said_raises_nothing() -> None:
    assert raised() == 1.0
    assert raised(told(1, 2.0, PLANNED)) == 1.0
    assert raised(told(1, 2.0, TRUE)) == 1.0


def test_false_alarm_raises_to_just_above_its_peak() -> None:
    assert raised(told(1, 1.4)) == pytest.approx(1.4 * 1.05)
    assert raised(told(1, 1.4), told(1.5, 1.2)) == pytest.approx(1.4 * 1.05 * 1.2 * 1.05)


def test_peaks_are_taken_in_units_of_the_threshold_of_their_day() -> None:
    """The second one was above the raised threshold; the third began before the first ended."""
    first, second = told(1, 1.4, lasts_s=3600), told(2, 1.1)
    assert raised(first, second) == pytest.approx(1.4 * 1.05 * 1.1 * 1.05)
    during = told(1 + 1 / 48, 1.5)
    assert raised(first, during) == pytest.approx(1.5 * 1.05)
    assert raised(second, first) == raised(first, second)
    assert raised(first, told(1 + 1 / 24, 1.1)) == pytest.approx(1.4 * 1.05 * 1.1 * 1.05)
    long = told(1, 1.1, lasts_s=2 * DAY_S)
    assert raised(long, told(1.5, 1.5), told(3, 1.1)) == pytest.approx(1.5 * 1.05 * 1.1 * 1.05)


def test_nobody_can_raise_it_beyond_the_most() -> None:
    assert raised(told(1, 40.0)) == judgements.MOST


def test_confirmed_alarm_keeps_the_threshold_below_its_peak() -> None:
    assert raised(told(1, 1.8), told(2, 1.0, TRUE)) == pytest.approx(1.8 * 1.05 * 0.95)
    assert raised(told(1, 1.2, TRUE), told(2, 2.5)) == pytest.approx(1.2 * 0.95)
    assert raised(told(0, 1.2, TRUE), told(1, 1.9, TRUE), told(2, 2.5)) == pytest.approx(1.2 * 0.95)
    assert raised(told(1, 1.01, TRUE), told(2, 2.5)) == 1.0


def test_false_alarm_is_forgotten_after_a_while() -> None:
    assert raised(told(1, 2.0), day=28.9) > 1.0
    assert raised(told(1, 2.0), day=29.1) == 1.0
    assert raised(told(1, 2.0, lasts_s=DAY_S), day=29.9) > 1.0


def test_what_is_confirmed_or_planned_and_over_is_masked() -> None:
    planned, open_one = told(2, 1.5, PLANNED), told(4, 1.5, TRUE, lasts_s=None)
    assert judgements.masked([told(1, 1.5), planned, told(3, 1.5, TRUE), open_one]) == (
        (at(2 * DAY_S), at(2 * DAY_S + 60)),
        (at(3 * DAY_S), at(3 * DAY_S + 60)),
    )


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1 per week per series", 28),
        ("4 per hour per series", 1),
        ("0.000000001 per week per series", 90),
    ],
)
def test_false_alarm_is_remembered_as_long_as_the_budget_affords_four(
    text: str, days: float
) -> None:
    assert budget.false_alarm_memory(budget.parse_budget(text)) == timedelta(days=days)
