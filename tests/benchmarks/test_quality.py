from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import quality


def floats(*numbers: float) -> quality.Floats:
    return np.array(numbers, dtype=np.float64)


def marks(text: str) -> quality.Bools:
    """x where a point is labelled."""
    return np.array([letter == "x" for letter in text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), ("...", []), ("xxx", [[0, 2]]), (".xx.x", [[1, 2], [4, 4]])],
)
def test_segments_are_runs_of_labels(text: str, expected: list[list[int]]) -> None:
    assert quality.segments(marks(text)).tolist() == expected


@pytest.mark.parametrize(
    ("scores", "text", "window", "expected"),
    [
        (floats(0, 0, 9, 0), "..x.", 0, 1.0),
        (floats(9, 9, 0, 9), "..x.", 0, 0.25),
        (floats(1, 1, 1, 1), "..x.", 0, 0.25),
        (floats(0, 0, 9, 0, 0), "..x..", 2, 1.0),
        # Beside the event: .2 at widths 0 and 1, where it is no hit; at 2 it counts for sqrt(.5).
        (floats(0, 9, 0, 0, 0), "..x..", 2, 1 / 3),
    ],
)
def test_vus_of_small_cases(
    scores: quality.Floats, text: str, window: int, expected: float
) -> None:
    assert quality.vus_pr(scores, marks(text), window) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("text", ["....", "xxxx"])
def test_vus_needs_points_of_both_kinds(text: str) -> None:
    assert math.isnan(quality.vus_pr(floats(1, 2, 3, 4), marks(text), 2))


def slow_vus_pr(scores: quality.Floats, labels: quality.Bools, window: int) -> float:
    """The definition, point by point."""
    size, events = len(labels), quality.segments(labels).tolist()
    ranked = sorted(scores.tolist(), reverse=True)
    places = np.linspace(0, size - 1, quality.THRESHOLDS)
    levels = list(dict.fromkeys(ranked[int(at)] for at in places))  # a repeated one adds nothing
    areas = []
    for width in range(window + 1):
        half = width // 2
        counts = labels.astype(float)
        for first, last in events:
            for d in range(1, half + 1):
                for point in (first - d, last + d):
                    if 0 <= point < size:
                        counts[point] += math.sqrt(1 - d / width)
        counts = np.minimum(counts, 1)
        merged: list[list[int]] = []
        for first, last in events:
            if merged and merged[-1][1] >= first - half:
                merged[-1][1] = last + half
            else:
                merged.append([first - half, last + half])
        area = before = 0.0
        for level in levels:
            is_above = scores >= level
            hits = counts[is_above].sum()
            total = (2 * labels.sum() + hits - (is_above & labels).sum()) / 2
            found = [is_above[max(a, 0) : b + 1].any() for a, b in merged]
            recall = min(hits / total, 1) * np.mean(found)
            area += (recall - before) * hits / is_above.sum()
            before = recall
        areas.append(area)
    return float(np.mean(areas))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40),
    st.integers(0, 9),
)
def test_vus_is_what_its_definition_gives(points: list[tuple[int, bool]], window: int) -> None:
    scores, labels = floats(*(s for s, _ in points)), np.array([is_on for _, is_on in points])
    if labels.any() and not labels.all():
        expected = slow_vus_pr(scores, labels, window)
        assert quality.vus_pr(scores, labels, window) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (floats(0, 5, 0, 0, 1), 1.0),
        (floats(0, 5, 5, 0, 0), 0.75),
        (floats(9, 5, 0, 0, 0), 0.75),
        (floats(1, 1, 1, 1, 1), 0.75),
    ],
)
def test_event_f1_at_the_best_threshold(scores: quality.Floats, expected: float) -> None:
    assert quality.best_event_f1(scores, marks(".xx.x")) == pytest.approx(expected)


def test_event_f1_needs_a_label() -> None:
    assert math.isnan(quality.best_event_f1(floats(1, 2), marks("..")))


def test_an_endless_alarm_repeats_every_twelve_points() -> None:
    assert quality.alarms(np.full(30, 2.0)).tolist() == [0, 13, 26]
    assert quality.alarms(floats(1.0, 0.5)).tolist() == []


def test_tally_counts_events_found_and_alarms_outside() -> None:
    scores = np.zeros(60)
    scores[[3, 20, 40, 41]] = 2.0
    labels = np.zeros(60, np.bool_)
    labels[18:25] = labels[50:55] = True
    found = quality.tally(scores, labels, 0.5)
    assert found == quality.Tally(events=2, found=1, false_alarms=2, days=0.5)
    assert found + found == quality.Tally(4, 2, 4, 1.0)


def test_an_incident_opens_once_and_again_after_twelve_calm_points() -> None:
    scores = np.full(60, 0.8)
    scores[[5, 9]] = 2.0
    scores[20:32], scores[40] = 0.1, 1.5
    assert np.flatnonzero(quality.openings(scores)).tolist() == [5, 40]


@pytest.mark.parametrize(
    ("detected", "expected"),
    [
        ([], 0.0),
        ([50], 100.0),
        ([50, 55], 100.0),
        ([59], 50 * (1 + (2 / (1 + math.exp(-0.5)) - 1) / (2 / (1 + math.exp(-5)) - 1))),
        ([40], -5.5),
        ([99], -5.5),
        ([60], -5.5 * (1 - 2 / (1 + math.exp(5 / 9)))),
        ([3], 0.0),
    ],
)
def test_nab_rewards_early_and_charges_false_detections(
    detected: list[int], expected: float
) -> None:
    is_detected = np.zeros(100, np.bool_)
    is_detected[detected] = True
    found = quality.nab_standard([quality.NabFile(is_detected, [(50, 59)])])
    assert found == pytest.approx(expected)


def test_nab_needs_a_window() -> None:
    assert math.isnan(quality.nab_standard([quality.NabFile(np.zeros(9, np.bool_), [])]))


def test_period_is_that_of_the_strongest_repetition() -> None:
    points = np.arange(2000.0)
    assert quality.period(np.sin(2 * np.pi * points / 24)) == 24
    assert quality.period(np.ones(2000)) == 125
    assert quality.period(points) == 125
