"""Generated tests: the real promtool passes them, and fails them when a rule is not what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.policy import compiler, documents, drafts, rule_tests
from detector.prometheus import promtool
from tests import stack
from tests.detector.policy import factories
from tests.detector.policy.test_conditions import CASES, CPU, JUMP, LOW_MEMORY, MONTH, X

RESOLVING = factories.above(resolve_when={"operator": "lt", "threshold": 70})
OFFICE = {
    "timezone": "Europe/Berlin",
    "weekly": [{"days": ["mon", "tue"], "start": "22:00", "end": "06:00"}],
}

Y = {**X, "metric_name": "y"}
COUNTER = {
    "type": "rate_of_change",
    "metric_name": "x",
    "over": "10m",
    "operator": "lt",
    "threshold": 1,
}

QUICK = [  # looks back for less than a test's usual step, or for no multiple of it
    {**COUNTER, "operator": "gt", "over": over, "measure": measure}
    for over in ("1s", "5s", "30s", "1875ms", "90s", "301s")
    for measure in ("difference", "slope", "rate", "increase")
] + [
    {
        "type": "forecast",
        "metric_name": "x",
        "operator": "lte",
        "limit": 0,
        "history": history,
        "within": "4h",
    }
    for history in ("2s", "30s", "90s")
]

POLICIES = [
    *([condition] for condition, _ in CASES),
    *([condition] for condition in QUICK),
    [{**RESOLVING, "for": "5m", "keep_firing_for": "10m"}],
    [{**factories.above(), "for": "90s"}],
    [factories.above(95, **{"for": "2m"}), {**RESOLVING, "for": "2m"}],
    [{**factories.above(), "window": OFFICE, "for": "10m"}],
    [{**factories.above(), "window": {**OFFICE, "mode": "outside"}, "for": "10m"}],
    [{"type": "not", "condition": RESOLVING, "for": "3m"}],
    [{"type": "not", "condition": {"type": "any", "conditions": [RESOLVING, LOW_MEMORY]}}],
    [{"type": "all", "conditions": [RESOLVING, LOW_MEMORY], "for": "3m"}],
    [{"type": "any", "conditions": [RESOLVING, {"type": "not", "condition": LOW_MEMORY}]}],
    [{"type": "all", "conditions": [X, {**X, "operator": "lt", "threshold": 5}]}],
    [{**X, "over_time": {"function": "max", "range": "7d"}}],
    [{**X, "threshold": 83.3, "metric_name": "disk_percent"}],
    [{**X, "aggregate": {"function": "max"}}],
    [{**X, "aggregate": {"function": "min", "by": ["job"]}}],
    [{**X, "labels": {"a": {"not_matches": "example"}, "b": {"matches": "c|"}}}],
    [
        {
            **X,
            "labels": {
                "a": 'b"}\\ \n or {{ vector(1)',
                "c": {"matches": "d(e|f).+", "not": ["de"]},
            },
        }
    ],
    [
        {
            "type": "rate_of_change",
            "metric_name": "x",
            "measure": "slope",
            "over": "10m",
            "operator": "lt",
            "threshold": -5,
            "resolve_when": {"operator": "gt", "threshold": -1},
        }
    ],
    [
        {
            "type": "rate_of_change",
            "metric_name": "x",
            "measure": "increase",
            "over": "10m",
            "operator": "gte",
            "threshold": 50,
        }
    ],
    [
        {
            **MONTH,
            "budget": 3000,
            "operator": "lte",
            "for": "1h",
            "resolve_when": {"operator": "gt", "threshold": 105},
            "labels": {"service": ["ec2", "s3"], "charge_type": {"not": "tax"}},
        }
    ],
    [{**JUMP, "above_percent": 40, "above": 30, "settled": True, "window": OFFICE}],
    [{"type": "not", "condition": {**MONTH, "threshold": 70, "basis": "estimate"}}],
    [{"type": "any", "conditions": [{**JUMP, "above": 5}, {**JUMP, "above": 5, "settled": True}]}],
    [
        {
            "type": "all",
            "match_on": ["account"],
            "conditions": [{**JUMP, "above_percent": 40}, {**X, "labels": {"account": "example"}}],
        }
    ],
    [
        {
            "type": "forecast",
            "metric_name": "free_bytes",
            "limit": 0,
            "operator": "lte",
            "within": "4h",
        }
    ],
]


def made(conditions: list[dict[str, Any]], name: str = "a") -> tuple[str, rule_tests.Tests]:
    """The text of the rule file, and the tests."""
    document = documents.parse(factories.tree(*conditions, name=name), "policy")
    compiled = compiler.compiled(document, 1, factories.GIVEN)
    text = compiler.file_text([compiled])
    return text, rule_tests.tests_of(document, compiled.rules, factories.GIVEN)


@pytest.fixture(scope="module")
def judge(stack_binaries: stack.Binaries) -> promtool.Promtool:
    return promtool.Promtool(Path(stack_binaries.find("promtool")))


def test_promtool_takes_the_rules_and_passes_their_tests(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    rule_files, test_files = [], []
    for number, conditions in enumerate(POLICIES):
        text, tests = made(conditions, f'policy {number} "{{{{ 🚀')
        rule_files.append(tmp_path / f"{number}.yml")
        rule_files[-1].write_text(text)
        test_files.append(tmp_path / f"{number}_test.yml")
        test_files[-1].write_text(tests.file_text(f"{number}.yml"))
        assert tests.count >= 1
    assert judge.check(rule_files) == {}
    assert judge.test(test_files) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("> 80", ">= 80"),
        ("> 80", "> 80.5"),
        ("> 80", "< 80"),
        (">= 70", ">= 78"),
        (">= 70", ">= 60"),
        ("for: 5m", "for: 4m"),
        ("for: 5m", "for: 6m"),
        ("keep_firing_for: 10m", "keep_firing_for: 20m"),
        ("and ignoring", "unless ignoring"),
        (CPU, "vector(90) or " + CPU),
    ],
)
def test_a_rule_that_is_not_what_the_policy_says_fails_its_tests(
    judge: promtool.Promtool, tmp_path: Path, old: str, new: str
) -> None:
    text, tests = made([{**RESOLVING, "for": "5m", "keep_firing_for": "10m"}])
    assert old in text
    (tmp_path / "a.yml").write_text(text.replace(old, new))
    (tmp_path / "a_test.yml").write_text(tests.file_text("a.yml"))
    assert list(judge.test([tmp_path / "a_test.yml"])) == [tmp_path / "a_test.yml"]


@pytest.mark.parametrize(
    ("condition", "what", "why"),
    [
        (
            {
                "type": "all",
                "conditions": [{**X, "labels": {"a": "b"}}, {**Y, "labels": {"a": "c"}}],
            },
            "below, then above",
            "other values of label a",
        ),
        (
            {**COUNTER, "measure": "rate", "threshold": -1},
            "below, then above",
            "a counter never falls",
        ),
        ({**X, "labels": {"a": {"matches": r"\pL+"}}}, "below, then above", "no value of label a"),
        ({**COUNTER, "operator": "eq"}, "below, then above", "not exact"),
        ({**COUNTER, "measure": "percent"}, "below, then above", "where it began"),
        (
            {**X, "resolve_when": {"operator": "lte", "threshold": 1}},
            "between the threshold and resolve_when",
            "nothing lies at level held",
        ),
        ({"type": "expression", "expr": "up == 0"}, "below, then above", "not known"),
        (
            {**X, "metric_name": "disk_percent", "threshold": 3 / 7},
            "exactly at",
            "is exactly 0.428571",
        ),
        (
            {**X, "labels": {"a": {"matches": "[^a-z]{3}"}}},
            "below, then above",
            "no value of label a",
        ),
        ({"type": "all", "conditions": [X, X]}, "below, then above", "same series"),
        ({**JUMP, "above_percent": 1 / 3}, "exactly at", "is exactly 0.333333 %"),
        ({**MONTH, "budget": 7, "threshold": 120}, "exactly at", "is exactly 120"),
        ({**X, "over_time": {"function": "sum", "range": "5m"}}, "exactly at", "how many samples"),
        (
            {**X, "window": {"weekly": [{"start": "08:00", "end": "08:05"}]}},
            "below, then above",
            "never last long enough",
        ),
    ],
)
def test_what_has_no_test_is_said_with_its_reason(
    condition: dict[str, Any], what: str, why: str
) -> None:
    _, tests = made([condition])
    assert any(what in str(each) and why in str(each) for each in tests.untested)


def test_a_rule_file_that_promtool_refuses_is_named(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(made([factories.above()])[0])
    bad.write_text(made([factories.above()])[0].replace(CPU, "sum by"))
    complaints = judge.check([good, bad])
    assert list(complaints) == [bad]
    assert "could not parse expression" in complaints[bad]


def test_the_graver_of_two_rules_speaks_alone_and_the_milder_one_before_and_after(
    judge: promtool.Promtool, tmp_path: Path
) -> None:
    text, _ = made(
        [factories.above(95, **{"for": "2m"}), factories.above(80, **{"for": "2m"})], "p"
    )
    (tmp_path / "p.yml").write_text(text)

    def fires(at: str, *rules: int) -> dict[str, Any]:
        return {
            "expr": 'count by (policy_rule) (ALERTS{alertstate="firing",instance="a"})',
            "eval_time": at,
            "exp_samples": [{"labels": f'{{policy_rule="{rule}"}}', "value": 1} for rule in rules],
        }

    series = "instance:node_cpu_utilisation:rate5m"
    case = {
        "interval": "1m",
        "input_series": [
            {"series": series + '{instance="a"}', "values": "0.85x9 0.99x9 0.85x9 0.5x9"},
            {"series": series + '{instance="b"}', "values": "0.99x39"},
        ],
        "promql_expr_test": [
            fires("1m"),
            fires("9m", 2),
            fires("11m", 2),  # the graver one still waits
            fires("12m", 1),
            fires("19m", 1),
            fires("29m", 2),
            fires("31m"),
        ],
    }
    tree = {"rule_files": ["p.yml"], "evaluation_interval": "1m", "tests": [case]}
    (tmp_path / "p_test.yml").write_text(yaml.safe_dump(tree))
    assert judge.test([tmp_path / "p_test.yml"]) == {}


def test_the_tests_of_a_hundred_rules_are_kept_to_what_people_wait_for() -> None:
    tree = factories.tree(*(factories.above(float(at)) for at in range(100)))
    draft = drafts.draft_of(documents.parse(tree, "policy"), factories.GIVEN)
    assert 0 <= 100 * len(draft.tests.cases) - rule_tests.MOST_WORK < 400  # whole rules
    rules = {int(case["name"].split()[1].rstrip(":")) for case in draft.tests.cases}
    assert {each.rule for each in draft.tests.untested if each.what == "all of it"} == set(
        range(1, 101)
    ) - rules


@pytest.mark.parametrize("over", ["5s", "90s", "1h", "10d"])
def test_a_change_is_tested_whatever_time_it_is_over(over: str) -> None:
    _, tests = made([{**COUNTER, "over": over}])
    assert [each.what for each in tests.untested] == ["exactly at the threshold"]


def test_a_change_over_a_time_that_takes_too_many_samples_is_said_to_be_untested() -> None:
    _, tests = made([{**COUNTER, "over": "7h1s"}])
    assert [each.what for each in tests.untested] == [
        "below, then above the threshold, then back",
        "exactly at the threshold",
    ]
    assert "samples that divide its times evenly would be too many" in str(tests.untested[0])
