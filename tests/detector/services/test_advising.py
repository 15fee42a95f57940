"""Advice on policies that ask for anomalies, over a made-up Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from detector.models import budget
from detector.policy import documents
from detector.services import advising
from detector.services.previews import Doubt
from tests.detector.policy import factories
from tests.fakes.prometheus import FakeReader

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
STEP_MS = 600_000


def wave(at_ms: int) -> float:
    return float(at_ms // STEP_MS * 7 % 11)


def switch(at_ms: int) -> float:
    return float(at_ms // STEP_MS % 3 == 0)


def counter(at_ms: int) -> float:
    return float(at_ms // STEP_MS)


def advised(
    *conditions: dict[str, Any],
    series: dict[str, Any] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    per: str = "1 per week per series",
) -> list[tuple[int | None, Doubt, str]]:
    reader = FakeReader(
        {(("instance", name),): values for name, values in (series or {"a": wave}).items()}
    )
    watched = advising.Watched("cpu", "x", budget.parse_budget(per), limits)
    adviser = advising.Adviser(reader, lambda: {"cpu": watched})
    document = documents.parse(factories.tree(*conditions), "p")
    return [(each.rule, each.doubt, each.text) for each in adviser.advice(document, NOW)]


ANOMALY = {"type": "anomaly", "query": "cpu"}


def test_the_budget_of_a_query_is_told_per_week() -> None:
    ((rule, doubt, text),) = advised(
        ANOMALY, series={"a": wave, "b": wave}, per="1 per day per series"
    )
    assert (rule, doubt) == (1, Doubt.BUDGET)
    assert text == "up to 14 alarms a week on nothing: that is the budget of 2 series"
    ((_, _, text),) = advised({**ANOMALY, "score": 3}, per="2 per week per series")
    assert text == (
        "up to 2 alarms a week on nothing: that is the budget of one series; a score of 3 makes "
        "them fewer"
    )
    ((_, _, text),) = advised(ANOMALY, series={"a": wave, "b": wave}, per="2 per week per query")
    assert text == "up to 2 alarms a week on nothing: that is the budget of 2 series"


def test_series_that_scores_say_little_of_are_told() -> None:
    found = advised(ANOMALY, series={"a": wave, "b": switch, "c": counter, "d": lambda _: 5.0})
    told = {doubt: text for _, doubt, text in found}
    assert set(told) == {Doubt.TWO_VALUES, Doubt.ONLY_RISES, Doubt.BUDGET}
    assert told[Doubt.TWO_VALUES].startswith("1 of the 4 series of query cpu had two values")
    assert told[Doubt.ONLY_RISES].startswith("1 of the 4 series of query cpu only ever rose")


@pytest.mark.parametrize(
    ("limits", "words"), [((None, 100.0), "(… to 100)"), ((0.0, 1.0), "(0 to 1)")]
)
def test_hard_limits_are_told(limits: tuple[float | None, float | None], words: str) -> None:
    told = {doubt: text for _, doubt, text in advised(ANOMALY, limits=limits)}
    assert words in told[Doubt.LIMIT]


def test_a_query_that_is_not_scored_is_told() -> None:
    ((_, doubt, text),) = advised({"type": "anomaly", "query": "cpus"})
    assert (doubt, text) == (
        Doubt.NO_QUERY,
        "query cpus: the detector scores none of this name: cpu",
    )


def test_conditions_within_others_and_of_all_queries_are_looked_at_once() -> None:
    inner = {"type": "any", "conditions": [{"type": "anomaly"}, {"type": "anomaly"}]}
    assert [doubt for _, doubt, _ in advised(inner)] == [Doubt.BUDGET]


def test_other_conditions_ask_for_no_advice() -> None:
    assert advised(factories.above()) == []


def test_a_query_without_series_and_one_with_too_many_say_nothing_of_shapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert advised(ANOMALY, series={"a": lambda _: float("nan")}) == []
    monkeypatch.setattr(advising, "MOST_SERIES", 1)
    found = advised(ANOMALY, series={"a": switch, "b": switch})
    assert [doubt for _, doubt, _ in found] == [Doubt.BUDGET]


def test_short_series_say_nothing_of_shapes() -> None:
    def young(at_ms: int) -> float:
        is_there = at_ms > NOW.timestamp() * 1000 - 5 * STEP_MS
        return switch(at_ms) if is_there else float("nan")

    assert [doubt for _, doubt, _ in advised(ANOMALY, series={"a": young})] == [Doubt.BUDGET]
