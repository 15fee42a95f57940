from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from detector import alerts, anomalies, errors, judgements
from detector.services import heeding, judging
from tests.factories import anomaly, at
from tests.fakes.anomalies import FakeAnomalyStore

CPU_A = (("instance", "a"), ("job", "node"))
CPU_B = (("instance", "b"), ("job", "node"))


class Runner:
    def __init__(self) -> None:
        self.heeded: list[heeding.Judged] = []

    def heed(self, judged: heeding.Judged) -> None:
        self.heeded.append(judged)


class Judged:
    """What people said."""

    def __init__(self, *episodes: alerts.Episode) -> None:
        self.episodes = list(episodes)
        self.since: datetime | None = None

    def __call__(self, since: datetime) -> Sequence[alerts.Episode]:
        self.since = since
        return self.episodes


def episode(
    feedback: alerts.Feedback | None = alerts.Feedback.FALSE_ALARM,
    *,
    number: int = 1,
    begins: float = 15,
    ends: float | None = 130,
    **labels: str,
) -> alerts.Episode:
    given = {"alertname": "AnomalyDetected", "query": "cpu", **dict(CPU_A), **labels}
    return alerts.Episode(
        id=number,
        fingerprint=alerts.Fingerprint(f"{number}"),
        starts_at=at(begins),
        ends_at=None if ends is None else at(ends),
        state=alerts.State.FIRING if ends is None else alerts.State.RESOLVED,
        labels=tuple(sorted(given.items())),
        annotations=(),
        generator_url="",
        received_at=at(begins),
        updated_at=at(begins),
        feedback=feedback,
    )


@pytest.fixture
def store() -> FakeAnomalyStore:
    store = FakeAnomalyStore()
    told = [
        anomaly(query="cpu", labels=CPU_A, opens=0, ends=100, peak_score=1.5),
        anomaly(query="cpu", labels=CPU_B, opens=5, ends=100, peak_score=4.0),
        anomaly(query="disk", labels=CPU_A, opens=0, ends=100, peak_score=3.0),
        anomaly(query="cpu", labels=CPU_A, opens=9000, ends=None, peak_score=2.0),
    ]
    store.record([(1, each) for each in told], {})
    return store


def judgement(
    verdict: alerts.Feedback, *, ended: float | None = 100, opened: float = 0, peak: float = 1.5
) -> judgements.Judgement:
    ended_at = None if ended is None else at(ended)
    return judgements.Judgement(CPU_A, at(opened), ended_at, peak, verdict)


def test_runner_is_told_what_was_said_of_its_series_once(store: FakeAnomalyStore) -> None:
    said, cpu, disk = Judged(episode()), Runner(), Runner()
    judge = judging.Judging(
        said, store, lambda: {"cpu": cpu, "disk": disk}, clock=lambda: at(10_000).timestamp()
    )
    turns = [judge.turn(), judge.turn()]
    told = {CPU_A: (judgement(alerts.Feedback.FALSE_ALARM),)}
    assert (cpu.heeded, disk.heeded) == ([told], [{}])
    assert [(each.came_in, each.went_out) for each in turns] == [(1, 2), (0, 0)]
    assert said.since == at(10_000) - judging.KEEP


def test_changed_mind_and_new_runner_are_told(store: FakeAnomalyStore) -> None:
    said, first, second = Judged(episode()), Runner(), Runner()
    runners = {"cpu": first}
    judge = judging.Judging(said, store, lambda: runners, clock=lambda: at(10_000).timestamp())
    judge.turn()
    said.episodes = [episode(alerts.Feedback.TRUE)]
    judge.turn()
    runners["cpu"] = second
    judge.turn()
    said.episodes = []
    judge.turn()
    assert [dict(each) for each in first.heeded] == [
        {CPU_A: (judgement(alerts.Feedback.FALSE_ALARM),)},
        {CPU_A: (judgement(alerts.Feedback.TRUE),)},
    ]
    assert second.heeded == [{CPU_A: (judgement(alerts.Feedback.TRUE),)}, {}]


def test_later_alert_about_the_same_anomaly_wins(store: FakeAnomalyStore) -> None:
    severe = episode(alerts.Feedback.TRUE, number=2, begins=40, severity="critical")
    runner = Runner()
    judging.Judging(
        Judged(severe, episode()), store, lambda: {"cpu": runner}, clock=lambda: at(200).timestamp()
    ).turn()
    assert runner.heeded == [{CPU_A: (judgement(alerts.Feedback.TRUE),)}]


def test_anomaly_that_lasts_is_looked_at_again(store: FakeAnomalyStore) -> None:
    said = Judged(episode(begins=9015, ends=9050))
    runner = Runner()
    judge = judging.Judging(
        said, store, lambda: {"cpu": runner}, clock=lambda: at(10_000).timestamp()
    )
    judge.turn()
    over = anomaly(query="cpu", labels=CPU_A, opens=9000, ends=9100, peak_score=2.0)
    store.record([(1, over)], {})
    judge.turn()
    false = alerts.Feedback.FALSE_ALARM
    assert [dict(each) for each in runner.heeded] == [
        {CPU_A: (judgement(false, opened=9000, ended=None, peak=2.0),)},
        {CPU_A: (judgement(false, opened=9000, ended=9100, peak=2.0),)},
    ]


def test_anomaly_may_be_over_before_its_alert_begins() -> None:
    """As one by a level that scores do not show: it counts as if it had just been unusual."""
    store, runner = FakeAnomalyStore(), Runner()
    short = anomaly(query="cpu", labels=CPU_A, opens=0, ends=100, peak_score=0.4)
    store.record([(1, short)], {})
    judging.Judging(
        Judged(episode(begins=130, ends=190)),
        store,
        lambda: {"cpu": runner},
        clock=lambda: at(200).timestamp(),
    ).turn()
    assert runner.heeded == [{CPU_A: (judgement(alerts.Feedback.FALSE_ALARM, peak=1.0),)}]


@pytest.mark.parametrize("job", ["node", "other"])
def test_alert_that_is_long_over_is_looked_up_once(job: str) -> None:
    class Counted(FakeAnomalyStore):
        asked = 0

        def list_anomalies(self, *given: Any, **more: Any) -> anomalies.Page:
            self.asked += 1
            return super().list_anomalies(*given, **more)

    store, now = Counted(), at(130) + judging.SLACK
    store.record([(1, anomaly(query="cpu", labels=CPU_A, opens=0, ends=100))], {})
    judge = judging.Judging(
        Judged(episode(job=job)), store, dict[str, Runner], clock=lambda: now.timestamp()
    )
    judge.turn()
    judge.turn()
    assert store.asked == 2  # what is unusual may be remembered late
    now += timedelta(seconds=1)
    judge.turn()
    judge.turn()
    assert store.asked == 3


def test_alerts_that_are_none_on_scores_are_passed_over(store: FakeAnomalyStore) -> None:
    threshold = dataclasses.replace(episode(), labels=CPU_A)
    runner = Runner()
    judging.Judging(
        Judged(threshold, episode(None, number=2), episode(number=3, job="other")),
        store,
        lambda: {"cpu": runner},
        clock=lambda: at(200).timestamp(),
    ).turn()
    assert runner.heeded == [{}]


def test_series_with_a_label_named_query_is_found_again() -> None:
    store, runner = FakeAnomalyStore(), Runner()
    labels = (("__name__", "db_seconds"), ("query", "select"))
    found = anomaly(query="cpu", labels=labels, opens=0, ends=100, peak_score=1.5)
    store.record([(1, found)], {})
    said = dataclasses.replace(
        episode(), labels=(("exported_query", "select"), ("query", "cpu"), ("severity", "warning"))
    )
    judging.Judging(
        Judged(said), store, lambda: {"cpu": runner}, clock=lambda: at(200).timestamp()
    ).turn()
    assert list(runner.heeded[0]) == [labels]


def test_store_that_fails_is_no_news(store: FakeAnomalyStore) -> None:
    runner = Runner()
    judge = judging.Judging(
        Judged(episode()), store, lambda: {"cpu": runner}, clock=lambda: at(200).timestamp()
    )
    store.failure = errors.StoreError("PostgreSQL: away", retryable=True)
    with pytest.raises(errors.StoreError):
        judge.turn()
    store.failure = None
    judge.turn()
    assert len(runner.heeded) == 1
    assert isinstance(store.list_anomalies(anomalies.Filter()), anomalies.Page)
