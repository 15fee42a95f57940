"""What rules fire, step by step; test_firing_promtool.py holds the same to the real engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import frames
from detector.policy import compiler, firing
from tests import remote
from tests.detector.policy import alerting

STEP_MS = 60_000
A, B = remote.labels("x", instance="a"), remote.labels("x", instance="b")
Lines = Mapping[frames.Labels, str]
"""Of each series a sign a step: x or . for being there or not; f, p, . for firing and pending."""


def rule(
    for_: float = 0, keep: float = 0, *, number: int = 1, above: tuple[int, ...] = ()
) -> compiler.AlertingRule:
    """A rule that waits so many minutes, and keeps firing for so many."""
    labels = {"policy": "P", "policy_revision": "1", "policy_rule": str(number), "severity": "high"}
    waits = (timedelta(minutes=for_), timedelta(minutes=keep))
    return compiler.AlertingRule("P", "", *waits, labels, {}, number, above)


def vector(lines: Lines) -> firing.Vector:
    present = [[sign == "x" for sign in line] for line in lines.values()]
    return firing.Vector(tuple(lines), np.array(present).T)


def times(steps: int) -> frames.Ints:
    return np.arange(1, steps + 1, dtype=np.int64) * STEP_MS


def shown(fired: firing.Fired) -> dict[frames.Labels, str]:
    """The states of each alert, without the labels of the rule."""
    return {
        firing.series_labels(labels): "".join(".pf"[state] for state in fired.states[:, place])
        for place, labels in enumerate(fired.labels)
    }


def line(given_rule: compiler.AlertingRule, fire: str, hold: str | None = None) -> str:
    """The states of one series."""
    held = None if hold is None else vector({A: hold})
    evaluated = firing.Evaluated(given_rule, vector({A: fire}), held)
    (fired,) = firing.simulate(times(len(fire)), [evaluated], per=None)
    return shown(fired)[(("instance", "a"),)]


@pytest.mark.parametrize(
    ("for_", "keep", "fire", "states"),
    [
        (0, 0, "..xx.x..", "..ff.f.."),
        (2, 0, ".xxxx...", ".ppff..."),
        (2, 0, ".xx.xxx.", ".pp.ppf."),
        (1.5, 0, ".xxxx...", ".ppff..."),
        (0, 2, ".x......", ".fff...."),
        (0, 2, ".x..x...", ".ffffff."),
        (0, 1.5, ".x......", ".fff...."),
        (0, 1, ".x......", ".ff....."),
        (0, 0.5, ".x......", ".ff....."),
        (2, 2, ".xx.....", ".pp....."),
        (2, 2, ".xxx..x.", ".ppfffff"),
        (1, 1, "xx..xx..", "pff.pff."),
    ],
)
def test_an_alert_waits_fires_and_is_kept(for_: float, keep: float, fire: str, states: str) -> None:
    assert line(rule(for_, keep), fire) == states


@pytest.mark.parametrize(
    ("for_", "keep", "fire", "hold", "states"),
    [
        (0, 0, ".x......", "xxxxx.xx", ".ffff..."),
        (2, 0, ".xx.....", "xxxxxxxx", ".pp....."),
        (2, 0, ".xxx....", "xxxxxx.x", ".ppfff.."),
        (0, 2, ".x......", "xx..x...", ".ffffff."),
        (0, 0, ".x...x..", "x.......", ".f...f.."),
    ],
)
def test_what_fires_goes_on_while_it_is_held(
    for_: float, keep: float, fire: str, hold: str, states: str
) -> None:
    assert line(rule(for_, keep), fire, hold) == states


def test_a_graver_rule_quietens_a_milder_one_that_waits_again() -> None:
    grave = firing.Evaluated(rule(), vector({A: "...xx......"}))
    mild = firing.Evaluated(
        rule(1, number=2, above=(1,)), vector({A: ".xxxxxxxx..", B: ".xxx......."})
    )
    found = firing.simulate(times(11), [grave, mild], per=None)
    a, b = (("instance", "a"),), (("instance", "b"),)
    assert [shown(each) for each in found] == [
        {a: "...ff......"},
        {a: ".pf..pfff..", b: ".pff......."},
    ]


def test_a_graver_rule_that_only_waits_quietens_none_and_any_that_fires_does() -> None:
    gravest = firing.Evaluated(rule(2), vector({A: "..xxxx."}))
    graver = firing.Evaluated(rule(number=2, above=(1,)), vector({A: "x......"}))
    mild = firing.Evaluated(rule(number=3, above=(1, 2)), vector({A: "xxxxxxx"}))
    found = firing.simulate(times(7), [gravest, graver, mild], per=None)
    a = (("instance", "a"),)
    assert [shown(each)[a] for each in found] == ["..ppff.", "f......", ".fff..f"]


def test_rules_of_one_priority_both_speak() -> None:
    each = [firing.Evaluated(rule(number=number), vector({A: ".x."})) for number in (1, 2)]
    assert [shown(one) for one in firing.simulate(times(3), each, per=None)] == [
        {(("instance", "a"),): ".f."}
    ] * 2


@pytest.mark.parametrize(
    ("per", "milder"),
    [
        (None, {"instance=a": ".x", "instance=b": ".x"}),
        (("job",), {"instance=a": "..", "instance=b": ".x"}),
        ((), {"instance=a": "..", "instance=b": ".."}),
        (("missing",), {"instance=a": "..", "instance=b": ".."}),
        (("__name__",), {"instance=a": ".x", "instance=b": ".x"}),
        (("alertstate",), {"instance=a": ".x", "instance=b": ".x"}),
        (("severity",), {"instance=a": ".x", "instance=b": ".."}),
    ],
)
def test_per_says_what_is_about_the_same_thing(
    per: tuple[str, ...] | None, milder: dict[str, str]
) -> None:
    grave = firing.Evaluated(rule(), vector({remote.labels("y", job="j"): "xx"}))
    series = {
        remote.labels("x", instance="a", job="j"): ".x",
        remote.labels("x", instance="b", job="k", severity="high"): ".x",
    }
    mild = firing.Evaluated(rule(number=2, above=(1,)), vector(series))
    _, found = firing.simulate(times(2), [grave, mild], per=per)
    assert {
        f"instance={dict(labels)['instance']}": line for labels, line in shown(found).items()
    } == {name: line.replace("x", "f") for name, line in milder.items()}


def test_labels_of_the_rule_replace_those_of_the_series() -> None:
    labels = remote.labels("x", instance="a", severity="low", policy="other", alertstate="on")
    found = firing.alert_labels(labels, rule(number=3))
    assert dict(found) == {
        "alertname": "P",
        "alertstate": "on",
        "instance": "a",
        "policy": "P",
        "policy_revision": "1",
        "policy_rule": "3",
        "severity": "high",
    }
    assert firing.series_labels(found) == (("instance", "a"),)


def test_the_name_that_an_alert_bears_is_no_template() -> None:
    named = dataclasses.replace(
        rule(), alert="a {{ b", labels={**rule().labels, "policy": 'a {{"{{"}} b'}
    )
    assert dict(firing.alert_labels(A, named))["policy"] == "a {{ b"


def test_what_was_written_one_evaluation_before_is_seen_however_long_ago_that_was() -> None:
    evaluated = firing.Evaluated(rule(), vector({A: ".x..."}), vector({A: "xxxx."}))
    (fired,) = firing.simulate(times(5) * 10, [evaluated], per=None)
    assert shown(fired) == {(("instance", "a"),): ".fff."}


def test_a_series_of_hold_goes_on_for_one_of_another_name() -> None:
    hold = remote.labels("y", instance="a", severity="low")
    evaluated = firing.Evaluated(rule(), vector({A: ".x..."}), vector({hold: "xxxx."}))
    (fired,) = firing.simulate(times(5), [evaluated], per=None)
    assert shown(fired) == {(("instance", "a"),): ".fff."}


def test_series_that_the_alert_cannot_tell_apart_are_refused_and_time_stands_still() -> None:
    other = remote.labels("y", instance="a")
    evaluated = firing.Evaluated(
        rule(2), vector({A: ".xxxxx.........x", other: "...xx..........."})
    )
    (fired,) = firing.simulate(times(16), [evaluated], per=None)
    assert shown(fired) == {(("instance", "a"),): ".ppppf.........p"}
    assert np.flatnonzero(fired.refused).tolist() == [3, 4]


def test_what_was_written_before_refusals_is_seen_for_five_minutes() -> None:
    other = remote.labels("y", instance="a")
    refused = firing.Evaluated(
        rule(), vector({A: "xxxxxxxxxx.", other: ".xxxxxxxx.."}), vector({B: "xxxxxxxxxxx"})
    )
    milder = firing.Evaluated(rule(number=2, above=(1,)), vector({A: "xxxxxxxxxxx"}))
    found = firing.simulate(times(11), [refused, milder], per=None)
    a = (("instance", "a"),)
    assert [shown(each)[a] for each in found] == ["ffffff...f.", "......fff.f"]
    assert [spell.since_ms // STEP_MS for spell in found[0].spells] == [1, 10]


def test_spells_say_since_when_it_waited_fired_and_was_over() -> None:
    evaluated = firing.Evaluated(rule(2), vector({B: ".xx......x", A: ".xxxxx..xx"}))
    (fired,) = firing.simulate(times(10), [evaluated], per=None)
    a, b = (firing.alert_labels(labels, rule()) for labels in (A, B))
    assert fired.spells == tuple(
        firing.Spell(
            labels,
            since * STEP_MS,
            None if fires is None else fires * STEP_MS,
            None if until is None else until * STEP_MS,
        )
        for labels, since, fires, until in (
            (a, 2, 4, 7),
            (b, 2, None, 4),
            (a, 9, None, None),
            (b, 10, None, None),
        )
    )


def test_nothing_that_is_ever_there_fires_nothing() -> None:
    none = firing.Vector((), np.zeros((3, 0), np.bool_))
    (fired,) = firing.simulate(times(3), [firing.Evaluated(rule(), none)], per=None)
    assert (len(fired.labels), len(fired.spells), fired.refused.tolist()) == (0, 0, [False] * 3)


def test_a_single_evaluation_is_enough() -> None:
    assert line(rule(), "x") == "f"


SERIES = st.lists(st.text(".x", min_size=12, max_size=12), min_size=1, max_size=4)


@settings(deadline=None)
@given(SERIES, SERIES, st.integers(0, 4), st.integers(0, 4))
def test_spells_are_the_states_and_nothing_fires_that_did_not_wait(
    fire: list[str], hold: list[str], for_: int, keep: int
) -> None:
    def named(lines: list[str]) -> dict[frames.Labels, str]:
        return {remote.labels("x", i=str(place)): each for place, each in enumerate(lines)}

    evaluated = firing.Evaluated(rule(for_, keep), vector(named(fire)), vector(named(hold)))
    (fired,) = firing.simulate(times(12), [evaluated], per=None)
    states = [set[frames.Labels]() for _ in range(12)]
    for t, alert in np.argwhere(fired.states).tolist():
        word = ("", "pending", "firing")[fired.states[t, alert]]
        labels = {**dict(fired.labels[alert]), "alertstate": word}
        states[t].add(frames.labels_from_pairs(labels.items()))
    assert alerting.alerts_of(fired.spells, times(12)) == states
    for spell in fired.spells:
        waited = spell.firing_ms is not None and spell.firing_ms - spell.since_ms
        assert waited is False or waited == for_ * STEP_MS
