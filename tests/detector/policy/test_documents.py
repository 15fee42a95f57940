"""Documents: what is taken, and what is said of what is not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detector import errors
from detector.policy import actions, documents
from tests.detector.policy import factories


def faults_of(tree: object) -> list[str]:
    with pytest.raises(errors.PolicyError) as caught:
        documents.parse(tree, "p.yml")
    return [str(each) for each in caught.value.faults]


def test_one_a_list_and_several_documents_are_read() -> None:
    one = factories.tree(factories.above())
    for text, names in (
        (json.dumps(one), 1),
        (yaml.safe_dump([one, one]), 2),
        (yaml.safe_dump_all([one, one, one]), 3),
    ):
        found = documents.from_yaml(text, "p.yml")
        assert [document.name for document, _ in found] == ["High CPU Alert"] * names


def test_a_fault_has_its_line() -> None:
    text = yaml.safe_dump_all([factories.tree(factories.above()), factories.tree({"type": "x"})])
    with pytest.raises(errors.PolicyError) as caught:
        documents.from_yaml(text, "p.yml")
    (fault,) = caught.value.faults
    assert text.splitlines()[(fault.line or 0) - 1].strip() == "type: x"
    assert str(caught.value).startswith(f"p.yml:{fault.line}: rules.0.condition.type: x: ")


def test_the_faults_of_all_documents_of_a_file_are_told() -> None:
    wrong = [factories.tree({"type": kind}) for kind in ("x", "y")]
    for text in (yaml.safe_dump(wrong), yaml.safe_dump_all(wrong)):
        with pytest.raises(errors.PolicyError) as caught:
            documents.from_yaml(text, "p.yml")
        assert [each.value for each in caught.value.faults] == ["x", "y"]


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nrules: []\nname: b",
        "- name: a\n  rules: []\n  name: b",
        '{"name": "a",\n"rules": [],\n"name": "b"}',
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(errors.PolicyError) as caught:
        documents.from_yaml(text, "p.yml")
    assert str(caught.value) == (
        "p.yml:3: name: this key stands twice: one of the two would be lost"
    )


def test_merged_keys_may_be_given_anew() -> None:
    text = "name: a\nrules:\n- &r\n  condition: {type: absent, metric_name: up}\n"
    text += "  action: {type: alert}\n"
    text += "- {<<: *r, priority: 2}\n- {<<: *r, <<: *r}\n"
    ((document, _),) = documents.from_yaml(text, "p.yml")
    assert [each.priority for each in document.rules] == [1, 2, 1]


def test_choices_are_told_as_they_are_written() -> None:
    forecast = {"type": "forecast", "metric_name": "x", "limit": 0, "within": "4h"}
    assert faults_of(factories.tree({**forecast, "operator": "gt"})) == [
        "rules.0.condition.operator: gt: gte, lte are allowed"
    ]
    assert faults_of({"name": "a", "rules": []}) == ["rules: one at least is needed"]
    action = {"type": "webhook", "url": "ftp://x"}
    tree = {"name": "a", "rules": [{"condition": factories.above(), "action": action}]}
    (said,) = faults_of(tree)
    assert said.startswith("rules.0.action.url: ftp://x: http:// or https:// with a host")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no policy is in it"),
        ("a: [", "not YAML"),
        ("a: !!python/object:os.system {}", "not YAML"),
        ("a: \x00", "not YAML"),
        ("- 3", "keys with values are allowed"),
        ("? [a]\n: b", "not YAML"),
        ("&a [*a]", "too deep"),
        ("[" * 5_000, "too deep"),
        ("name: &a [*a]", "too deep"),
        ("a: 2026-13-45", "not YAML"),
    ],
)
def test_what_is_no_policy_is_said_to_be_none(text: str, said: str) -> None:
    with pytest.raises(errors.PolicyError, match=said):
        documents.from_yaml(text, "p.yml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name: one line of text is allowed"),
        ({"name": "a\nb"}, "name: 'a\\nb': one line of text is allowed"),
        ({"name": "a" * 201}, "at most 200"),
        ({"rules": []}, "rules: one at least is needed"),
        ({"rules": 3}, "rules: 3: a list is allowed"),
        ({"enabled": "perhaps"}, "enabled: perhaps: Input should be a valid boolean"),
        ({"rule": []}, "rule: unknown key; did you mean rules?"),
        ({"per": ["a-b"]}, "per.0: a-b: String should match"),
    ],
)
def test_a_wrong_key_is_named_with_its_value(change: dict[str, Any], said: str) -> None:
    (fault,) = faults_of({**factories.tree(factories.above()), **change})
    assert said in fault


def test_what_is_missing_has_the_line_of_what_lacks_it() -> None:
    text = "description: a\nrules:\n  - condition: {type: drift}\n"
    with pytest.raises(errors.PolicyError) as caught:
        documents.from_yaml(text, "p.yml")
    assert [(fault.path, fault.line) for fault in caught.value.faults] == [
        ("name", 1),
        ("rules.0.action", 3),
    ]


def test_what_is_missing_is_said_once() -> None:
    assert faults_of({}) == ["name: is needed", "rules: is needed"]


def test_faults_of_a_broken_rule_do_not_call_its_list_empty() -> None:
    assert faults_of(
        factories.tree({"type": "any", "conditions": [{"type": "drift", "x": 1}]})
    ) == ["rules.0.condition.conditions.0.x: unknown key"]


@pytest.mark.parametrize(
    "message",
    [
        "{{ range . }}",
        "{{ $labels }}",
        '{{ query "up" }}',
        "{{",
        "{{ $value | js }}",
        "{{/* a */}}",
    ],
)
def test_a_message_that_does_more_than_name_values_is_refused(message: str) -> None:
    tree = factories.tree(factories.above())
    tree["rules"][0]["action"] = {"type": "alert", "message": message}
    (fault,) = faults_of(tree)
    assert fault.startswith("rules.0.action.message: ")
    assert "are allowed" in fault


@pytest.mark.parametrize(
    "action",
    [
        {
            "type": "alert",
            "severity": "high",
            "message": '{{ $value | printf "%.1f" }} {{$labels.a}}',
        },
        {"type": "scale_down", "target": "asg/web", "by": 2},
        {"type": "shutdown_service", "service": "nginx"},
        {"type": "webhook", "url": "https://example.org/hook"},
        {"type": "run_command", "command": ["/usr/bin/true", "a b"]},
        {"type": "silence", "matchers": {"alertname": "A"}, "duration": "1h"},
    ],
)
def test_each_action_is_taken(action: dict[str, Any]) -> None:
    tree = factories.tree(factories.above())
    tree["rules"][0]["action"] = action
    taken = documents.parse(tree, "p").rules[0].action
    assert type(taken) is actions.TYPES[action["type"]]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "https://a:b@c/", "ftp://a", "https://a b"])
def test_a_webhook_goes_to_a_plain_url(url: str) -> None:
    tree = factories.tree(factories.above())
    tree["rules"][0]["action"] = {"type": "webhook", "url": url}
    (fault,) = faults_of(tree)
    assert fault.startswith("rules.0.action.url: ")


def test_too_many_rules_and_too_deep_ones_are_refused() -> None:
    many = factories.tree(*[factories.above()] * 10_000)
    assert faults_of(many) == ["too large: 200 conditions in a policy are allowed"]
    wide = {"type": "any", "conditions": [factories.above()] * 100}
    assert faults_of(factories.tree(wide, wide)) == [
        "too large: 200 conditions in a policy are allowed"
    ]
    deep: dict[str, Any] = factories.above()
    for _ in range(100):
        deep = {"type": "not", "condition": deep}
    assert faults_of(factories.tree(deep)) == ["too deep: conditions in 12 levels are allowed"]


def test_a_bomb_of_aliases_is_refused_before_it_unfolds() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(errors.PolicyError, match="too large"):
        documents.from_yaml("\n".join(levels), "p.yml")


def test_conditions_stand_in_twelve_levels() -> None:
    deep: dict[str, Any] = factories.above()
    for _ in range(11):
        deep = {"type": "all", "conditions": [deep]}
    documents.parse(factories.tree(deep), "p")
    with pytest.raises(errors.PolicyError, match="12 levels"):
        documents.parse(factories.tree({"type": "all", "conditions": [deep]}), "p")


def test_the_schema_says_durations_as_people_write_them() -> None:
    wait = documents.json_schema()["$defs"]["Drift"]["properties"]["for"]
    assert (wait["type"], wait["default"]) == (["string", "number"], "0s")


def test_the_schema_knows_every_type() -> None:
    text = json.dumps(documents.json_schema())
    assert all(f'"{name}"' in text for name in (*actions.TYPES, "metric_threshold", "not"))


trees = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "rules", "condition", "action", "type", "conditions", "x"]),
            inner | st.sampled_from(["all", "alert", "metric_threshold"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(trees)
def test_any_tree_is_a_policy_or_a_policy_error(tree: object) -> None:
    with contextlib.suppress(errors.PolicyError):
        documents.parse(tree, "p")


@pytest.mark.parametrize("name", ["inf", "NaN", "on", "bool", "group_left"])
def test_words_of_promql_are_no_names_of_metrics(name: str) -> None:
    tree = factories.tree(factories.above() | {"metric_name": name})
    with pytest.raises(errors.PolicyError, match=rf"metric_name: {name}: a word of PromQL"):
        documents.parse(tree, "policy")


@pytest.mark.parametrize("space", ["\xa0", "\x0b", "\x1f", "\u2028"])
def test_spaces_that_go_does_not_know_are_none_of_a_place(space: str) -> None:
    tree = factories.tree(factories.above())
    tree["rules"][0]["action"] = {"type": "alert", "message": f"{{{{{space}$value }}}}"}
    with pytest.raises(errors.PolicyError, match=r"is not taken"):
        documents.parse(tree, "policy")


@pytest.mark.parametrize(
    "place", ["$value | title", "$value|toUpper", "$value | toLower", '$labels.a | printf "%.1f"']
)
def test_what_would_spoil_a_message_when_it_is_made_is_refused(place: str) -> None:
    tree = factories.tree(factories.above())
    tree["rules"][0]["action"] = {"type": "alert", "message": f"{{{{ {place} }}}}"}
    with pytest.raises(errors.PolicyError, match=r"is not taken: .* a label with \| title"):
        documents.parse(tree, "policy")


@pytest.mark.parametrize("value", [True, "80", None, [80]])
def test_a_threshold_is_a_number_and_nothing_that_can_be_taken_for_one(value: object) -> None:
    tree = factories.tree(
        {**factories.above(), "resolve_when": {"operator": "lt", "threshold": value}}
    )
    with pytest.raises(errors.PolicyError, match=r"threshold: .*a valid number"):
        documents.parse(tree, "p")
