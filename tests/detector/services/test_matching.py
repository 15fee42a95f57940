"""Incidents against what is known to have happened."""

from __future__ import annotations

import math

from detector.services import matching, outcomes
from tests.detector.services import scored

MINUTE = 60_000


def span(first: int, last: int) -> outcomes.Span:
    return outcomes.Span(scored.START_MS + first * MINUTE, scored.START_MS + last * MINUTE)


def quality(score: list[float], *events: outcomes.Span, counted: int = 0) -> matching.Quality:
    series = scored.scored(score, counted=counted)
    return matching.quality_of([series], [outcomes.incidents_of(series)], [events])


def test_found_events_right_incidents_and_delays_are_counted() -> None:
    found = quality([0, 0, 0, 2, 2, 0, 0, 2, 0, 0], span(2, 4), span(9, 9))

    assert (found.events, found.found, found.incidents, found.right) == (2, 1, 2, 1)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.delay_s == 60.0
    assert math.isclose(found.false_per_series_day, 1 / (10 / 1440))


def test_events_before_the_counted_samples_do_not_count() -> None:
    assert quality([2, 0, 0, 0], span(0, 0), counted=2).events == 0


def test_nothing_to_tell_is_not_a_number_and_a_miss_is_zero() -> None:
    calm, missed = quality([0, 0]), quality([0, 0], span(1, 1))

    assert all(math.isnan(x) for x in (calm.precision, calm.recall, calm.f1, calm.delay_s))
    assert (missed.recall, missed.f1) == (0.0, 0.0)
