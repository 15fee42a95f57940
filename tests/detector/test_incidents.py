from __future__ import annotations

import pytest

from detector import anomalies, incidents
from tests.factories import anomaly, at

HOST = (("instance", "a:9100"), ("job", "node"))


def _placed(*told: anomalies.Anomaly) -> list[int]:
    """The number of each one's incident, counted from 0 as they come."""
    grouping = incidents.Grouping()
    ids = [grouping.place(each) for each in told]
    return [list(dict.fromkeys(ids)).index(each) for each in ids]


CPU = anomaly("cpu", HOST, opens=0)
ENDED = anomaly("cpu", HOST, opens=0, ends=60)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([CPU, anomaly("disk", (("instance", "a:9100"),), opens=30)], [0, 0]),
        ([CPU, anomaly("disk", (("instance", "b:9100"), ("job", "db")), opens=30)], [0, 1]),
        ([CPU, anomaly("cpu", (("instance", "b:9100"),), opens=30)], [0, 0]),
        ([CPU, anomaly("disk", (("cpu", "0"),), opens=30)], [0, 1]),
        ([anomaly("a", (("cpu", "0"),)), anomaly("b", (("cpu", "0"),))], [0, 1]),
        ([ENDED, anomaly("disk", HOST, opens=60 + 120)], [0, 0]),
        ([ENDED, anomaly("disk", HOST, opens=60 + 121)], [0, 1]),
        ([CPU, ENDED], [0, 0]),
        ([ENDED, ENDED, anomaly("disk", HOST, opens=181)], [0, 0, 1]),
        ([CPU, anomaly("disk", HOST, opens=6 * 3600)], [0, 0]),
        ([CPU, anomaly("disk", HOST, opens=6 * 3600 + 1)], [0, 1]),
        ([anomaly("a", (("job", "x"),), opens=9), anomaly("b", (("job", "x"),), opens=5)], [0, 0]),
        (
            [
                anomaly("a", (("job", "x"),), opens=5),
                anomaly("b", (("region", "y"),), opens=0),
                anomaly("c", (("job", "x"), ("region", "y")), opens=9),
            ],
            [0, 1, 1],
        ),
    ],
    ids=[
        "a label in common",
        "none in common",
        "same query",
        "no link and another query",
        "label that says no place",
        "within the slack",
        "beyond the slack",
        "told of again",
        "end told of twice",
        "long after",
        "too long after",
        "told of in the wrong order",
        "the incident that opened first",
    ],
)
def test_anomalies_become_incidents(told: list[anomalies.Anomaly], expected: list[int]) -> None:
    assert _placed(*told) == expected


BRIDGE = anomaly("c", (("job", "x"), ("region", "y")), opens=9)
ENDS = (anomaly("a", (("job", "x"),), opens=5), anomaly("b", (("region", "y"),), opens=0))


def test_incidents_that_turn_out_to_be_one_are_merged_into_the_first() -> None:
    grouping = incidents.Grouping()
    later, first = (grouping.place(each) for each in ENDS)
    assert grouping.place(BRIDGE) == first
    assert grouping.merged == {later: first}
    assert {each.query for each in grouping.members(first)} == {"a", "b", "c"}
    assert (len(grouping), grouping.members(later)) == (1, ())
    assert grouping.place(ENDS[0]) == first
    grouping.forget_merged()
    assert grouping.merged == {}


def test_of_a_chain_all_mean_the_last() -> None:
    grouping = incidents.Grouping()
    ids = [
        grouping.place(each)
        for each in (
            anomaly("a", (("job", "1"),), opens=2),
            anomaly("b", (("job", "2"),), opens=1),
            anomaly("c", (("job", "3"),), opens=0),
        )
    ]
    grouping.place(anomaly("d", (("job", "1"), ("service", "s")), opens=3))
    grouping.place(anomaly("e", (("job", "2"), ("service", "s")), opens=4))
    assert grouping.merged == {ids[0]: ids[1]}
    grouping.place(anomaly("f", (("job", "2"), ("host", "h")), opens=5))
    grouping.place(anomaly("g", (("job", "3"), ("host", "h")), opens=6))
    assert grouping.merged == {ids[0]: ids[2], ids[1]: ids[2]}
    assert len(grouping.members(ids[2])) == 7


def test_two_that_are_too_large_together_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "MEMBERS_MAX", 2)
    grouping = incidents.Grouping()
    later, first = (grouping.place(each) for each in ENDS)
    assert grouping.place(BRIDGE) == first
    assert grouping.merged == {}
    assert len(grouping.members(later)) == 1


def test_id_is_the_same_in_another_process_and_exact_in_json() -> None:
    (one, other) = (incidents.Grouping().place(CPU) for _ in range(2))

    assert one == other
    assert 0 < one < 2**53


def test_restored_incident_goes_on() -> None:
    grouping = incidents.Grouping()
    grouping.restore(CPU, 17)

    assert grouping.place(CPU) == 17
    assert grouping.place(anomaly("disk", HOST, opens=30)) == 17
    assert [each.query for each in grouping.members(17)] == ["cpu", "disk"]


def test_what_is_over_is_let_go_and_what_lasts_stays() -> None:
    grouping = incidents.Grouping()
    over, lasts = grouping.place(ENDED), grouping.place(anomaly("x", (("job", "x"),)))

    grouping.forget(at(180))
    assert len(grouping) == 2
    grouping.forget(at(181))

    assert (len(grouping), grouping.members(over)) == (1, ())
    assert len(grouping.members(lasts)) == 1


def test_only_so_many_incidents_are_held_the_newest() -> None:
    grouping = incidents.Grouping()
    ids = [
        grouping.place(anomaly(f"q{n}", (("job", f"j{n}"),), opens=n))
        for n in range(incidents.INCIDENTS_MAX + 2)
    ]

    grouping.forget(at(10_000))

    assert len(grouping) == incidents.INCIDENTS_MAX
    assert grouping.members(ids[1]) == ()
    assert len(grouping.members(ids[2])) == 1


def test_full_incident_takes_no_more() -> None:
    told = [
        anomaly("cpu", (("instance", str(n)),), opens=n) for n in range(incidents.MEMBERS_MAX + 1)
    ]

    assert _placed(*told) == [0] * incidents.MEMBERS_MAX + [1]


def test_residual_is_told_in_words() -> None:
    below = anomalies.Residual("last value", -4.25, 3.0)

    assert below.text == "4.2 times the usual difference from the last value"


def test_state_follows_the_end() -> None:
    assert (CPU.state, ENDED.state) == (anomalies.State.OPEN, anomalies.State.ENDED)
