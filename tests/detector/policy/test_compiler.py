"""Rules of policies: labels, priority, hysteresis, text that stays text."""

from __future__ import annotations

import pytest
import yaml

from detector import errors
from detector.policy import compiler, documents
from tests.detector.policy import factories

CPU = "100 * instance:node_cpu_utilisation:rate5m"
OWN = "alertname, alertstate, policy, policy_revision, policy_rule, severity"
EXAMPLE = """
name: High CPU Alert
description: Alert when CPU usage exceeds 80%
enabled: true
rules:
  - condition: {type: metric_threshold, metric_name: cpu_percent, operator: gt, threshold: 80.0,
                for: 5m, resolve_when: {operator: lt, threshold: 70}}
    action:    {type: alert, severity: high, message: CPU usage is above threshold}
    priority: 1
"""


def test_the_example_is_this_rule_file() -> None:
    ((document, _),) = documents.from_yaml(EXAMPLE, "example")
    compiled = compiler.compiled(document, 3, factories.GIVEN)
    group = yaml.safe_load(compiler.file_text([compiled]))["groups"][0]
    assert group == {
        "name": "policy High CPU Alert",
        "rules": [
            {
                "alert": "High CPU Alert",
                "expr": f"({CPU} > 80)\nor\n(({CPU} >= 70) and ignoring ({OWN}) ALERTS"
                '{policy="High CPU Alert",policy_rule="1",alertstate="firing"})',
                "for": "5m",
                "labels": {
                    "policy": "High CPU Alert",
                    "policy_revision": "3",
                    "policy_rule": "1",
                    "severity": "high",
                },
                "annotations": {
                    "summary": "CPU usage is above threshold",
                    "description": "Alert when CPU usage exceeds 80%",
                },
            }
        ],
    }


def test_a_rule_is_quiet_while_one_of_a_lower_number_fires() -> None:
    grave, mild, other = factories.rules(
        factories.above(95), factories.above(80), factories.above(60)
    )
    assert grave.expr == f"{CPU} > 95"
    assert mild.expr == (
        f"({CPU} > 80)\nunless ignoring ({OWN}) ALERTS"
        '{policy="High CPU Alert",policy_rule="1",alertstate="firing"}'
    )
    assert other.expr.endswith('policy_rule=~"1|2",alertstate="firing"}')


def test_rules_stand_by_priority_and_are_numbered_as_written() -> None:
    tree = factories.tree(factories.above(80), factories.above(95))
    tree["rules"][0]["priority"], tree["rules"][1]["priority"] = 5, 2
    found = compiler.rules(documents.parse(tree, "p"), 1, factories.GIVEN)
    assert [(rule.number, rule.outranked_by) for rule in found] == [(2, ()), (1, (2,))]


def test_rules_of_one_priority_both_speak() -> None:
    tree = factories.tree(factories.above(80), factories.above(95))
    tree["rules"][1]["priority"] = 1
    found = compiler.rules(documents.parse(tree, "p"), 1, factories.GIVEN)
    assert [rule.outranked_by for rule in found] == [(), ()]


def test_per_says_which_series_outrank_each_other() -> None:
    _, mild = factories.rules(factories.above(95), factories.above(80), per=["instance"])
    assert "\nunless on (instance) ALERTS{" in mild.expr
    _, mild = factories.rules(factories.above(95), factories.above(80), per=[])
    assert "\nunless on () ALERTS{" in mild.expr


def test_names_and_descriptions_are_no_templates() -> None:
    (rule,) = factories.rules(factories.above(), name="a {{ b", description="c {{ d }}")
    assert rule.labels["policy"] == 'a {{"{{"}} b'
    assert rule.annotations["description"] == 'c {{"{{"}} d }}'
    tree = factories.tree(factories.above(), description="c {{ d }}")
    tree["rules"][0]["action"] = {"type": "alert", "runbook": "e {{ f"}
    (rule,) = compiler.rules(documents.parse(tree, "p"), 1, factories.GIVEN)
    assert rule.annotations["summary"] == rule.annotations["description"]
    assert rule.annotations["runbook"] == 'e {{"{{"}} f'


def test_without_message_and_description_the_name_is_the_summary() -> None:
    tree = factories.tree(factories.above())
    del tree["rules"][0]["action"]["message"]
    tree["rules"][0]["action"] = {"type": "alert", "runbook": "docs/x.md"}
    (rule,) = compiler.rules(documents.parse(tree, "p"), 1, factories.GIVEN)
    assert rule.annotations == {"summary": "High CPU Alert", "runbook": "docs/x.md"}
    assert rule.labels["severity"] == "warning"


def test_a_rule_waits_and_keeps_firing_as_its_condition_says() -> None:
    (rule,) = factories.rules({**factories.above(), "for": "5m", "keep_firing_for": "1h"})
    assert {key: each for key, each in rule.tree().items() if "for" in key} == {
        "for": "5m",
        "keep_firing_for": "1h",
    }
    (rule,) = factories.rules(factories.above())
    assert list(rule.tree()) == ["alert", "expr", "labels", "annotations"]


def test_all_conditions_that_make_no_rule_are_named() -> None:
    wrong = {"type": "metric_threshold", "metric_name": "load_per_cpu", "operator": "gt"}
    with pytest.raises(errors.PolicyError) as told:
        factories.rules(wrong, factories.above(), wrong)
    paths = [each.path for each in told.value.faults]
    assert paths == ["rules.0.condition.threshold", "rules.2.condition.threshold"]


def test_a_disabled_policy_has_no_group_and_none_at_all_is_an_empty_file() -> None:
    tree = factories.tree(factories.above(), enabled=False)
    compiled = compiler.compiled(documents.parse(tree, "p"), 1, factories.GIVEN)
    assert (compiled.rules, compiled.text) == ((), "")
    assert yaml.safe_load(compiler.file_text([compiled])) == {"groups": []}


def test_names_that_look_alike_have_files_of_their_own() -> None:
    names = {compiler.file_name(name) for name in ("a b", "a-b", "A b", "🚀", "…")}
    assert len(names) == 5
    assert all(name.isascii() and name.endswith(".yml") for name in names)
