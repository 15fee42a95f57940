from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from datetime import timedelta

import numpy as np
import pytest

from detector import anomalies, errors, frames, loops
from detector.services import inbox, recording, watching
from tests.factories import anomaly, at
from tests.fakes.anomalies import FakeAnomalyStore

HOST: frames.Labels = (("instance", "a"), ("job", "node"))
OTHER: frames.Labels = (("instance", "b"), ("job", "node"))
AWAY = errors.StoreError("PostgreSQL: gone", retryable=True)


class Recording:
    """A recorder over the fake store, at 100 s after T0."""

    def __init__(
        self, store: FakeAnomalyStore | None = None, queries: Collection[str] = ()
    ) -> None:
        self.store = store or FakeAnomalyStore()
        self.dropped, self.now_s = 0, 100.0
        self.news = inbox.Inbox(drop=self._drop)
        self.trackers = {
            query: watching.Tracker(query, news=self.news, drop=self._drop) for query in queries
        }
        self.series: Sequence[frames.Labels] = (HOST, OTHER)
        self.recorder = recording.Recorder(
            self.store,
            self.news,
            tracker_of=self.trackers.get,
            series_of=lambda query: self.series if query == "cpu" else (),
            drop=self._drop,
            keep=timedelta(days=1),
            clock=lambda: at(self.now_s).timestamp(),
        )

    def _drop(self, count: int) -> None:
        self.dropped += count

    def tell(self, *news: anomalies.Anomaly) -> loops.Turn:
        for each in news:
            self.news.put(each)
        return self.recorder.turn()

    def stored(self) -> list[anomalies.Remembered]:
        return list(self.store.list_anomalies(anomalies.Filter(limit=1000)).anomalies)[::-1]


def test_news_are_stored_in_their_incident() -> None:
    given = Recording()

    turn = given.tell(anomaly("cpu", HOST, opens=0), anomaly("disk", HOST, opens=5))

    assert turn == loops.Turn(2, 2)
    first, second = given.stored()
    assert first.incident == second.incident
    assert len(given.news) == 0


A_JOB, A_REGION = (("job", "x"),), (("region", "y"),)
TOLD = (
    anomaly("a", A_JOB, opens=5),
    anomaly("b", A_REGION, opens=0),
    anomaly("c", (*A_JOB, *A_REGION), opens=9),
)


@pytest.mark.parametrize("batches", [(TOLD,), (TOLD[:2], TOLD[2:])], ids=["at once", "later"])
def test_incidents_that_turn_out_to_be_one_are_one(
    batches: Sequence[Sequence[anomalies.Anomaly]],
) -> None:
    given = Recording()
    for told in batches:
        given.tell(*told)
    assert {each.incident for each in given.stored()} == {anomalies.incident_id(TOLD[1].key)}
    assert given.recorder._grouping.merged == {}
    given.tell(dataclasses.replace(TOLD[0], last_at=at(20), ended_at=at(20)))
    (incident,) = given.store.list_incidents(anomalies.Filter()).incidents
    assert incident.members == 3


def test_a_store_that_is_away_does_not_lose_that_incidents_are_one() -> None:
    given = Recording()
    given.tell(*TOLD[:2])
    given.store.failure = errors.StoreError("away", retryable=True)
    with pytest.raises(errors.StoreError):
        given.tell(TOLD[2])
    given.store.failure = None
    given.tell()
    assert len({each.incident for each in given.stored()}) == 1


def test_a_merge_that_is_refused_for_good_leaves_them_apart_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = Recording()
    given.tell(*TOLD[:2])

    def refuse(_: object) -> None:
        raise errors.StoreError("no", retryable=False)

    monkeypatch.setattr(given.store, "merge", refuse)
    given.tell(TOLD[2])
    assert len(given.stored()) == 3
    assert given.dropped == 0
    assert len({each.incident for each in given.stored()}) == 2


def test_cause_is_ranked_among_all_series_of_the_query() -> None:
    given = Recording()
    given.tell(anomaly("cpu", HOST))

    (incident,) = given.store.list_incidents(anomalies.Filter()).incidents

    (cause,) = incident.causes
    assert (cause.labels, cause.series, cause.deviating) == ((("instance", "a"),), 1, 1)


def test_store_that_is_away_loses_nothing() -> None:
    given = Recording()
    given.store.failure = AWAY
    with pytest.raises(errors.StoreError):
        given.tell(anomaly("cpu", HOST))
    given.store.failure = None
    given.recorder.turn()
    given.store.failure = AWAY
    with pytest.raises(errors.StoreError):
        given.tell(anomaly("cpu", HOST, ends=60))
    assert len(given.news) == 1

    given.store.failure = None
    given.recorder.turn()

    assert [each.anomaly for each in given.stored()] == [anomaly("cpu", HOST, ends=60)]
    assert given.dropped == 0


def test_one_that_is_refused_for_good_is_dropped_and_counted_and_the_rest_stored() -> None:
    given = Recording()
    given.store.refused = {"bad"}

    turn = given.tell(anomaly("cpu", HOST), anomaly("bad", HOST), anomaly("disk", HOST))

    assert turn.went_out == 2
    assert sorted(each.anomaly.query for each in given.stored()) == ["cpu", "disk"]
    assert given.dropped == 1


def test_more_than_a_batch_is_stored_in_one_turn() -> None:
    given = Recording()
    told = [anomaly("cpu", (("instance", str(n)),)) for n in range(recording.BATCH + 1)]

    assert given.tell(*told).went_out == recording.BATCH + 1


def test_next_life_goes_on_with_the_incident() -> None:
    store = FakeAnomalyStore()
    Recording(store).tell(anomaly("cpu", HOST, opens=0))

    Recording(store, ["cpu"]).tell(anomaly("disk", HOST, opens=50))

    assert len(store.list_incidents(anomalies.Filter()).incidents) == 1


def _open_states(store: FakeAnomalyStore) -> dict[str, anomalies.State]:
    page = store.list_anomalies(anomalies.Filter())
    return {each.anomaly.query: each.anomaly.state for each in page.anomalies}


def test_what_a_life_before_left_open_is_ended_once_its_query_says_so() -> None:
    store = FakeAnomalyStore()
    Recording(store).tell(anomaly("cpu", HOST, told=30), anomaly("gone", HOST, told=30))
    given = Recording(store, ["cpu"])

    given.recorder.turn()
    assert _open_states(store) == {"cpu": anomalies.State.OPEN, "gone": anomalies.State.ENDED}
    given.trackers["cpu"].has_followed = True
    given.recorder.turn()

    assert _open_states(store)["cpu"] == anomalies.State.ENDED
    assert {each.anomaly.ended_at for each in given.stored()} == {at(30)}


def test_what_is_still_open_goes_on() -> None:
    store, table = FakeAnomalyStore(), frames.SeriesTable()
    table.row(HOST)
    times_ms, ones = np.array([int(at(0).timestamp() * 1000)]), np.full((1, 1), 2.0)
    scores = frames.Scores(times_ms, ones, ones, ones, ones, ones, np.ones((1, 1), np.int8))
    Recording(store).tell(anomaly("cpu", HOST))
    given = Recording(store, ["cpu"])
    given.trackers["cpu"].follow(
        table,
        frames.Frame(times_ms, ones, 5_000),
        scores,
        lambda row, step, value: anomalies.UNEXPLAINED,
    )

    given.recorder.turn()

    assert _open_states(store) == {"cpu": anomalies.State.OPEN}
    assert len(given.stored()) == 1


def test_clock_lets_incidents_go() -> None:
    given = Recording()
    given.tell(anomaly("cpu", HOST, opens=-400, ends=-300))
    given.tell(anomaly("disk", HOST, opens=-250))

    assert len(given.store.list_incidents(anomalies.Filter()).incidents) == 2


def test_what_has_ended_long_ago_is_forgotten_once_an_hour() -> None:
    given = Recording()
    given.tell(anomaly("cpu", HOST, opens=0, ends=10), anomaly("cpu", OTHER, opens=50_000))
    given.now_s = 86_400.0 + 9
    given.recorder.turn()
    assert len(given.stored()) == 2
    given.now_s += 2
    given.recorder.turn()
    assert len(given.stored()) == 2  # looked at within the hour
    given.now_s += 3_600
    given.recorder.turn()
    assert [each.anomaly.labels for each in given.stored()] == [OTHER]


def test_more_than_a_turn_forgets_are_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FORGOTTEN_AT_ONCE", 1)
    given = Recording()
    given.tell(
        *(anomaly(name, ((name, name),), opens=0, ends=10) for name in ("one", "two", "three"))
    )
    given.now_s = 200_000.0
    left = []
    for _ in range(4):
        given.recorder.turn()
        left.append(len(given.stored()))
    assert left == [2, 1, 0, 0]
