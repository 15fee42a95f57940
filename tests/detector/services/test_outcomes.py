"""Incidents by the incident rule, alerts as Prometheus would fire them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from detector import frames
from detector.services import outcomes
from tests.detector.services import scored

NAN = float("nan")


def seconds(spans: tuple[outcomes.Span, ...]) -> list[tuple[float, float]]:
    """From and to, in seconds after the first sample."""
    return [
        ((one.start_ms - scored.START_MS) / 1000, (one.end_ms - scored.START_MS) / 1000)
        for one in spans
    ]


@pytest.mark.parametrize(
    ("step_s", "score", "expected"),
    [
        pytest.param(60, [0, 2, 0, 0], [], id="one bad minute is not 15 s"),
        pytest.param(60, [0, 2, 2, 0, 0], [(120, 240)], id="two bad minutes fire at the second"),
        pytest.param(5, [0, 2, 2, 2, 0], [], id="three bad scores at 5 s"),
        pytest.param(5, [0, 2, 2, 2, 2, 0], [(20, 55)], id="four bad scores at 5 s, kept for 30 s"),
        pytest.param(5, [2] * 4 + [0] * 5 + [2] * 2 + [0] * 9, [(15, 85)], id="a gap is bridged"),
        pytest.param(5, [2] * 4 + [0] * 9 + [2] * 4, [(15, 50), (80, 115)], id="two alerts"),
        pytest.param(5, [2, 2, NAN, 2, 2, 0], [], id="no sample ends the wait"),
        pytest.param(5, [1.0] * 9, [], id="1 is not above 1"),
    ],
)
def test_the_alert_is_that_of_the_shipped_rule(
    step_s: int, score: list[float], expected: list[tuple[float, float]]
) -> None:
    every = timedelta(seconds=step_s)
    assert (
        seconds(outcomes.alerts_of(scored.scored(score, step_s=step_s), evaluated_every=every))
        == expected
    )


def test_a_score_stands_for_the_lookback_where_steps_are_long() -> None:
    hours = scored.scored([0, 2, 0], step_s=3600)

    found = outcomes.alerts_of(hours, evaluated_every=timedelta(minutes=1))

    assert seconds(found) == [(3660, 3960)]


def test_what_fired_before_the_counted_samples_is_left_out() -> None:
    series = scored.scored([2, 2, 0, 0, 2, 2, 0], counted=3)

    assert seconds(outcomes.alerts_of(series, evaluated_every=timedelta(minutes=1))) == [(300, 420)]
    assert [one.span.start_ms for one in outcomes.incidents_of(series)] == [
        scored.START_MS + 240_000
    ]


def test_an_incident_lasts_until_it_closes_and_has_its_highest_score() -> None:
    spike, dip = frames.Kind.SPIKE, frames.Kind.DIP
    series = scored.scored([0, 2, 3, 0.5, 0, 4, 0], kind=[0, 1, 1, 1, 0, 2, 2])

    found = outcomes.incidents_of(series)

    assert seconds(tuple(one.span for one in found)) == [(60, 180), (300, 360)]
    assert [(one.kind, one.peak) for one in found] == [(spike, 3.0), (dip, 4.0)]


def test_a_series_without_samples_brings_nothing() -> None:
    series = scored.scored([NAN] * 5, counted=5)

    assert outcomes.incidents_of(series) == ()
    assert outcomes.alerts_of(series, evaluated_every=timedelta(minutes=1)) == ()
    assert series.days == 0.0


def test_days_are_those_of_the_counted_samples() -> None:
    series = scored.scored([0, 0, NAN, 0], step_s=3600, counted=1)
    assert np.isclose(series.days, 2 / 24)
