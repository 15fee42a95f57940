"""What every ports.AnomalyStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest

from detector import anomalies, frames, ports
from detector.store import anomalies as stored
from detector.store import database, migrate
from tests.factories import anomaly, at
from tests.fakes.anomalies import FakeAnomalyStore

HOST: frames.Labels = (("instance", "a"), ("job", "node"))
EXPLAINED = anomalies.Explanation(
    (anomalies.Residual("last value", 38.5, 20.0),), {"residual": 2.25, "near": 0.5}
)
CAUSE = anomalies.Cause(
    labels=(("region", "eu"), ("service", "db")),
    score=1.5,
    coverage=0.75,
    lift=7.5,
    series=4,
    deviating=3,
    same=(("zone", "eu-1"), ("zone", "eu-2")),
)


@pytest.fixture(params=["fake", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[ports.AnomalyStore]:
    if request.param == "fake":
        yield FakeAnomalyStore()
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield stored.PostgresAnomalyStore(connections)
    connections.close()


def every(store: ports.AnomalyStore) -> list[anomalies.Anomaly]:
    return [each.anomaly for each in store.list_anomalies(anomalies.Filter()).anomalies]


def test_anomaly_comes_back_as_it_was_told(store: ports.AnomalyStore) -> None:
    one = anomaly(labels=HOST, explanation=EXPLAINED)

    store.record([(7, one)], {})

    (row,) = store.list_anomalies(anomalies.Filter()).anomalies
    assert row == anomalies.Remembered(row.id, one, 7)


def test_what_a_missing_sample_has_not_comes_back_so(store: ports.AnomalyStore) -> None:
    one = _with_numbers(anomaly(kind="missing", peak_score=0.0), math.nan)

    store.record([(7, one), (7, anomaly(opens=5, peak_score=2.0))], {})

    row, *_ = (each for each in every(store) if each.kind == "missing")
    assert all(math.isnan(each) for each in (row.value, row.expected, row.lower, row.upper))
    assert _with_numbers(row, 0.0) == _with_numbers(one, 0.0)
    (incident,) = store.list_incidents(anomalies.Filter()).incidents
    assert incident.peak_score == 2.0


def _with_numbers(told: anomalies.Anomaly, number: float) -> anomalies.Anomaly:
    return dataclasses.replace(told, value=number, expected=number, lower=number, upper=number)


TOLD = (
    anomaly(labels=HOST, opens=0),
    anomaly(labels=HOST, opens=0, told=30, peak_score=4.0),
    anomaly(labels=HOST, opens=0, told=60, peak_score=4.0),
    anomaly(labels=HOST, opens=0, ends=60, peak_score=4.0, explanation=EXPLAINED),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(TOLD)), 4))[::4], ids=str)
def test_any_order_and_repetition_ends_in_the_latest(
    store: ports.AnomalyStore, order: tuple[int, ...]
) -> None:
    for number in (*order, order[0]):
        store.record([(7, TOLD[number])], {})

    assert every(store) == [TOLD[3]]
    (incident,) = store.list_incidents(anomalies.Filter()).incidents
    assert (incident.ended_at, incident.members, incident.peak_score) == (at(60), 1, 4.0)


def test_the_first_incident_of_an_anomaly_stays(store: ports.AnomalyStore) -> None:
    store.record([(7, TOLD[0])], {})
    store.record([(8, TOLD[1])], {})

    assert [each.id for each in store.list_incidents(anomalies.Filter()).incidents] == [7]


def test_nothing_is_recorded_without_harm(store: ports.AnomalyStore) -> None:
    store.record([], {})

    assert every(store) == []


def test_incident_sums_up_its_members(store: ports.AnomalyStore) -> None:
    first, second = anomaly("disk", HOST, opens=0, ends=90), anomaly("cpu", HOST, opens=30)
    store.record([(7, second), (7, first)], {7: (CAUSE,)})

    found = store.incident(7)

    assert found is not None
    incident, members = found
    assert incident == anomalies.Incident(
        id=7,
        opened_at=at(0),
        ended_at=None,
        members=2,
        peak_score=2.5,
        first_query="disk",
        first_labels=HOST,
        causes=(CAUSE,),
    )
    assert [each.anomaly for each in members] == [first, second]


def test_incident_ends_with_its_last_member(store: ports.AnomalyStore) -> None:
    store.record([(7, anomaly("disk", ends=90)), (7, anomaly("cpu"))], {})
    store.record([(7, anomaly("cpu", ends=120))], {})

    (incident,) = store.list_incidents(anomalies.Filter()).incidents
    assert incident.ended_at == at(120)


def test_a_merged_incident_is_the_other_one_under_both_ids(store: ports.AnomalyStore) -> None:
    store.record([(7, anomaly("cpu", opens=9, peak_score=9.0)), (8, anomaly("disk", ends=5))], {})
    store.record([(9, anomaly("mem", opens=2))], {})
    for _ in range(2):
        store.merge({7: 8})
    found = store.incident(7)
    assert found is not None
    incident, members = found
    assert store.incident(8) == found
    assert (incident.id, incident.members, incident.peak_score) == (8, 2, 9.0)
    assert (incident.opened_at, incident.first_query, incident.ended_at) == (at(0), "disk", None)
    assert [(each.anomaly.query, each.incident) for each in members] == [("disk", 8), ("cpu", 8)]
    assert [each.id for each in store.list_incidents(anomalies.Filter()).incidents] == [9, 8]

    store.record([(8, anomaly("cpu", opens=9, ends=20, peak_score=9.0))], {})
    store.merge({8: 9})
    for id_ in (7, 8, 9):
        found = store.incident(id_)
        assert found is not None
        assert (found[0].id, found[0].members) == (9, 3)


def test_incidents_that_are_not_here_are_merged_without_harm(store: ports.AnomalyStore) -> None:
    store.merge({})
    store.merge({7: 8})
    assert store.incident(7) is None
    store.record([(8, anomaly("cpu"))], {})
    store.merge({7: 8, 5: 6})
    assert [each.id for each in store.list_incidents(anomalies.Filter()).incidents] == [8]


def test_what_was_merged_is_forgotten_with_it(three: ports.AnomalyStore) -> None:
    three.record([(40, anomaly("mem", opens=1, ends=5)), (41, anomaly("x", opens=1, ends=6))], {})
    three.merge({40: 41})
    assert three.forget(at(10), limit=10) >= 1
    assert three.incident(40) is None
    assert three.incident(41) is None


def test_later_causes_replace_those_before(store: ports.AnomalyStore) -> None:
    other = dataclasses.replace(CAUSE, score=2.0, same=())
    store.record([(7, anomaly())], {7: (CAUSE,)})
    store.record([(7, anomaly())], {7: (other,)})
    store.record([(7, anomaly(told=5))], {})

    (incident,) = store.list_incidents(anomalies.Filter()).incidents
    assert incident.causes == (other,)


def test_unknown_incident_is_none(store: ports.AnomalyStore) -> None:
    assert store.incident(7) is None


def recorded(record: bytes, **given: Any) -> anomalies.Anomaly:
    return anomaly(explanation=dataclasses.replace(EXPLAINED, record=record), **given)


def test_the_record_of_the_highest_peak_is_kept_and_told_when_asked_for(
    store: ports.AnomalyStore,
) -> None:
    first = recorded(b"one", labels=HOST)
    later = dataclasses.replace(
        recorded(b"two", labels=HOST, told=30, peak_score=4.0), peak_at=at(30)
    )
    ended = dataclasses.replace(
        anomaly(labels=HOST, explanation=EXPLAINED, ends=60, peak_score=4.0), peak_at=at(30)
    )
    for told in (later, first, ended, anomaly("other")):
        store.record([(7, told)], {})

    rows = store.list_anomalies(anomalies.Filter()).anomalies
    (row,) = (each for each in rows if each.anomaly.query != "other")
    assert row.anomaly == ended
    assert store.anomaly(row.id) == (row, b"two")
    (other,) = (each for each in rows if each.anomaly.query == "other")
    assert store.anomaly(other.id) == (other, b"")
    assert store.anomaly(10**9) is None


def test_a_record_of_another_peak_is_none(store: ports.AnomalyStore) -> None:
    first = recorded(b"one", labels=HOST)
    worse = dataclasses.replace(
        anomaly(labels=HOST, told=30, peak_score=9.0, explanation=EXPLAINED), peak_at=at(30)
    )
    store.record([(7, first)], {})
    store.record([(7, worse)], {})
    (row,) = store.list_anomalies(anomalies.Filter()).anomalies
    assert store.anomaly(row.id) == (row, b"")


def test_incidents_that_ended_long_ago_are_forgotten_whole(three: ports.AnomalyStore) -> None:
    three.record([(4, recorded(b"one", query="mem", opens=1, ends=5))], {4: (CAUSE,)})
    three.record([(4, anomaly("mem", HOST, opens=2, ends=21))], {})

    assert three.forget(at(20), limit=10) == 0
    assert three.forget(at(22), limit=1) == 1
    assert three.forget(at(22), limit=10) == 1
    assert three.forget(at(22), limit=10) == 0

    assert {each.query for each in every(three)} == {"cpu", "disk"}
    assert [each.id for each in three.list_incidents(anomalies.Filter()).incidents] == [3, 2]
    three.record([(4, anomaly("mem", opens=1, ends=5))], {})
    assert three.incident(4) is not None


@pytest.fixture
def three(store: ports.AnomalyStore) -> ports.AnomalyStore:
    told = [
        (1, anomaly("cpu", (("job", "a"), ("instance", "x")), opens=0, ends=20)),
        (2, anomaly("cpu", (("job", "a"),), opens=10)),
        (3, anomaly("disk", (("job", "b"),), opens=30, kind="dip")),
    ]
    for each in told:
        store.record([each], {})
    return store


FILTERS = [
    (anomalies.Filter(), [3, 2, 1]),
    (anomalies.Filter(query="cpu"), [2, 1]),
    (anomalies.Filter(kind="dip"), [3]),
    (anomalies.Filter(state=anomalies.State.OPEN), [3, 2]),
    (anomalies.Filter(state=anomalies.State.ENDED), [1]),
    (anomalies.Filter(labels=(("job", "a"),)), [2, 1]),
    (anomalies.Filter(labels=(("instance", "x"), ("job", "a"))), [1]),
    (anomalies.Filter(since=at(21)), [3, 2]),
    (anomalies.Filter(until=at(30)), [2, 1]),
    (anomalies.Filter(query="none"), []),
    (anomalies.Filter(limit=2), [3, 2]),
    (anomalies.Filter(limit=1, before_id=3), [2]),
    (anomalies.Filter(before_id=99), []),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS)
def test_filters_find_what_matches(
    three: ports.AnomalyStore, wanted: anomalies.Filter, expected: list[int]
) -> None:
    page, incidents = three.list_anomalies(wanted), three.list_incidents(wanted)

    assert [each.incident for each in page.anomalies] == expected
    assert [each.id for each in incidents.incidents] == expected
    more = len(expected) == wanted.limit
    assert (page.next_id is not None, incidents.next_id is not None) == (more, more)


def test_recent_are_those_of_incidents_that_may_go_on(three: ports.AnomalyStore) -> None:
    assert [each.incident for each in three.recent(at(20), limit=10)] == [1, 2, 3]
    assert [each.incident for each in three.recent(at(21), limit=10)] == [2, 3]
    assert [each.incident for each in three.recent(at(21), limit=1)] == [3]


def test_text_that_postgresql_cannot_hold_is_replaced(store: ports.AnomalyStore) -> None:
    store.record([(7, anomaly("q", (("job", "plain"),)))], {})

    if isinstance(store, FakeAnomalyStore):
        return
    store.record([(8, anomaly("q\x00", (("job", "a\x00b"),), opens=5))], {})
    newest = store.list_anomalies(anomalies.Filter(query="q\x00")).anomalies[0].anomaly
    assert (newest.query, newest.labels) == ("q\ufffd", (("job", "a\ufffdb"),))
