"""Conditions: their PromQL, and what of them is refused."""

from __future__ import annotations

from typing import Any, get_args

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import errors, frames
from detector.policy.conditions import anomaly, table
from detector.prometheus import selectors
from tests.detector.policy import factories

BUSY = "instance:node_cpu_utilisation:rate5m"
DISK = "instance_mountpoint:node_filesystem_utilisation:ratio"
CPU = f"100 * {BUSY}"
MEMORY = "100 * instance:node_memory_utilisation:ratio"
ACTIVE = 'anomaly_active{query="cpu",kind='
LOW_MEMORY = {
    "type": "metric_threshold",
    "metric_name": "memory_percent",
    "operator": "lt",
    "threshold": 20,
}
BILLED = 'sum by ({by}) (cloud_cost:{measure}{{basis="billed"}})'
RISE, WEEK_BEFORE = (
    BILLED.format(by="account, currency", measure=each) for each in ("jump", "week_before")
)
SETTLED_MONTH = 'cloud_cost_settled:projected_month{basis="billed",provider=~"aws|gcp"}'
MONTH = {"type": "cost", "measure": "month_to_date"}
JUMP = {"type": "cost", "measure": "jump", "by": ["account"]}
X = {"type": "metric_threshold", "metric_name": "x", "operator": "gt", "threshold": 1}

CASES: list[tuple[dict[str, Any], str]] = [
    (factories.above(), f"{CPU} > 80"),
    (
        {"type": "metric_threshold", "metric_name": "disk_percent", "operator": "gte"},
        f"100 * {DISK} >= 80",
    ),
    ({**X, "operator": "ne", "threshold": -0.5}, "x != -0.5"),
    (
        {
            **X,
            "labels": {
                "a": "b",
                "c": ["d.e", "f"],
                "g": {"matches": "h.*", "not": "hi"},
                "j": {"not": ["k", "l"], "not_matches": "m+"},
            },
        },
        'x{a="b",c=~"d\\\\.e|f",g=~"h.*",g!="hi",j!~"k|l",j!~"m+"} > 1',
    ),
    ({**X, "over_time": {"function": "avg", "range": "90m"}}, "avg_over_time(x[90m]) > 1"),
    (
        {
            **X,
            "over_time": {"function": "quantile", "quantile": 0.9, "range": "1d"},
            "aggregate": {"function": "sum", "by": ["job", "instance"]},
        },
        "sum by (job, instance) (quantile_over_time(0.9, x[1d])) > 1",
    ),
    (
        {**X, "aggregate": {"function": "quantile", "quantile": 0.5, "without": ["cpu"]}},
        "quantile without (cpu) (0.5, x) > 1",
    ),
    ({"type": "anomaly"}, "anomaly_score > 1"),
    (
        {"type": "anomaly", "query": "cpu", "score": 3, "labels": {"instance": "a"}},
        'anomaly_score{query="cpu",instance="a"} > 3',
    ),
    (
        {"type": "anomaly", "query": "cpu", "kind": ["flat", "zero"]},
        ACTIVE[:-1] + '=~"flat|zero"} == 1',
    ),
    (
        {"type": "anomaly", "query": "cpu", "kind": "spike", "score": 2},
        f'anomaly_score{{query="cpu"}} > 2 and ignoring (kind) {ACTIVE}"spike"}} == 1',
    ),
    ({"type": "drift", "query": "cpu", "score": 1.5}, 'drift_score{query="cpu"} > 1.5'),
    (
        {
            "type": "rate_of_change",
            "metric_name": "disk_percent",
            "over": "1h",
            "operator": "gt",
            "threshold": 5,
        },
        f"100 * ({DISK} - {DISK} offset 1h) > 5",
    ),
    (
        {
            "type": "rate_of_change",
            "metric_name": "cpu_percent",
            "measure": "percent",
            "over": "1d",
            "operator": "lt",
            "threshold": -50,
        },
        f"100 * ({BUSY} - {BUSY} offset 1d) / abs({BUSY} offset 1d != 0) < -50",
    ),
    (
        {
            "type": "rate_of_change",
            "metric_name": "x_total",
            "measure": "rate",
            "over": "5m",
            "operator": "eq",
            "threshold": 0,
        },
        "rate(x_total[5m]) == 0",
    ),
    (
        {
            "type": "forecast",
            "metric_name": "disk_percent",
            "limit": 100,
            "within": "4h",
            "history": "2h",
        },
        f"100 * predict_linear({DISK}[2h], 14400) >= 100",
    ),
    (
        {"type": "forecast", "query": "disk", "within": "4h"},
        'anomaly_exhaustion_seconds{query="disk"} <= 14400',
    ),
    ({"type": "absent", "metric_name": "up", "labels": {"job": "node"}}, 'absent(up{job="node"})'),
    (
        {"type": "absent", "metric_name": "up", "seen_within": "1h"},
        "last_over_time(up[1h]) unless up",
    ),
    (
        {"type": "cost", "measure": "daily", "threshold": 99.5},
        BILLED.format(by="currency", measure="daily") + " > 99.5",
    ),
    (
        {
            "type": "cost",
            "measure": "projected_month",
            "operator": "gte",
            "budget": 5000,
            "threshold": 80,
            "by": ["provider", "currency"],
            "labels": {"provider": ["aws", "gcp"]},
            "settled": True,
        },
        f"100 / 5000 * sum by (provider, currency) ({SETTLED_MONTH}) >= 80",
    ),
    (
        {**MONTH, "budget": 5000, "basis": "estimate"},
        '100 / 5000 * sum by (currency) (cloud_cost:month_to_date{basis="estimate"}) > 100',
    ),
    ({**JUMP, "above": 20}, f"{RISE} > 20"),
    ({**JUMP, "above_percent": 50}, f"100 * {RISE} / abs({WEEK_BEFORE}) > 50"),
    (
        {**JUMP, "above_percent": 50, "above": 20},
        f"100 * {RISE} / abs({WEEK_BEFORE}) > 50\nand {RISE} > 20",
    ),
    ({"type": "expression", "expr": "up == 0 # down"}, "(up == 0 # down\n)"),
    (
        {"type": "all", "conditions": [factories.above(), LOW_MEMORY]},
        f"({CPU} > 80)\nand ({MEMORY} < 20)",
    ),
    (
        {"type": "all", "match_on": ["instance"], "conditions": [factories.above(), LOW_MEMORY]},
        f"({CPU} > 80)\nand on (instance) ({MEMORY} < 20)",
    ),
    (
        {"type": "any", "ignoring": ["device"], "conditions": [factories.above(), LOW_MEMORY]},
        f"({CPU} > 80)\nor ignoring (device) ({MEMORY} < 20)",
    ),
    ({"type": "not", "condition": factories.above()}, f"{CPU} unless ({CPU} > 80)"),
    (
        {"type": "all", "match_on": [], "conditions": [factories.above(), LOW_MEMORY]},
        f"({CPU} > 80)\nand on () ({MEMORY} < 20)",
    ),
    (
        {"type": "not", "condition": {"type": "all", "conditions": [factories.above(), X]}},
        f"{CPU} unless (({CPU} > 80)\nand (x > 1))",
    ),
    (
        {"type": "not", "condition": {"type": "any", "conditions": [factories.above(), X]}},
        f"(({CPU})\nor (x)) unless (({CPU} > 80)\nor (x > 1))",
    ),
    (
        {"type": "not", "condition": {"type": "not", "condition": X}},
        "x unless (x unless (x > 1))",
    ),
    (
        {"type": "forecast", "metric_name": "x", "limit": 0, "within": "4h", "operator": "lte"},
        "predict_linear(x[1h], 14400) <= 0",
    ),
    ({**X, "threshold": 0}, "x > 0"),
    ({**X, "metric_name": "cpu_percent", "threshold": 0}, f"{CPU} > 0"),
    ({**X, "aggregate": {"function": "max", "by": []}}, "max by () (x) > 1"),
    ({**X, "aggregate": {"function": "max", "without": []}}, "max without () (x) > 1"),
    ({"type": "drift"}, "drift_score > 1"),
    ({"type": "expression", "expr": "a or b"}, "(a or b)"),
]


@pytest.mark.parametrize(("condition", "expr"), CASES)
def test_a_condition_is_this_promql(condition: dict[str, Any], expr: str) -> None:
    assert factories.expr(condition) == expr
    promql_parser.parse(expr)


def test_every_type_has_a_case() -> None:
    assert {condition["type"] for condition, _ in CASES} == set(table.TYPES)


def test_the_kinds_are_those_of_the_detector() -> None:
    known = {kind.name.lower() for kind in frames.Kind if kind is not frames.Kind.NONE}
    assert set(get_args(anomaly.Kind)) == known


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({**X, "threshold": None}, "threshold", "a number is needed: only cpu_percent"),
    ({**X, "threshold": float("nan")}, "threshold", "finite"),
    ({**X, "metric_name": "memory-percent"}, "metric_name", "did you mean memory_percent?"),
    ({**X, "labels": {"a-b": "c"}}, "labels.a-b", "letters, digits and _"),
    ({**X, "labels": {"a": {"matches": "("}}}, "labels.a.matches", "regular expression"),
    ({**X, "labels": {"a": {"matches": None}}}, "labels.a", "not_matches is needed"),
    ({**X, "labels": {"a": {}}}, "labels.a", "matches, not or not_matches is needed"),
    ({**X, "labels": {"a": 3}}, "labels.a", "a text, a list of texts"),
    (
        {**X, "resolve_when": {"operator": "lt", "threshold": 2}},
        "resolve_when",
        "lt or lte and at most 1",
    ),
    (
        {**X, "resolve_when": {"operator": "gt", "threshold": 0}},
        "resolve_when",
        "lt or lte and at most 1",
    ),
    (
        {**X, "operator": "lte", "resolve_when": {"operator": "gte", "threshold": 1}},
        "resolve_when",
        "gt or gte and at least 1",
    ),
    (
        {**X, "operator": "eq", "resolve_when": {"operator": "lt", "threshold": 0}},
        "resolve_when",
        "only with gt, gte, lt, lte",
    ),
    (
        {**X, "over_time": {"function": "quantile", "range": "5m"}},
        "over_time",
        "quantile: a number",
    ),
    (
        {**X, "over_time": {"function": "avg", "range": "5m", "quantile": 0.5}},
        "over_time",
        "only for",
    ),
    (
        {**X, "aggregate": {"function": "sum", "by": [], "without": []}},
        "aggregate",
        "by or without",
    ),
    (
        {"type": "drift", "score": 2, "resolve_when": {"operator": "lt", "threshold": 3}},
        "resolve_when",
        "lt or lte and at most 2",
    ),
    (
        {"type": "anomaly", "score": 2, "resolve_when": {"operator": "lt", "threshold": 3}},
        "resolve_when",
        "lt or lte and at most 2",
    ),
    (
        {
            **X,
            "type": "rate_of_change",
            "over": "1h",
            "resolve_when": {"operator": "lt", "threshold": 2},
        },
        "resolve_when",
        "lt or lte and at most 1",
    ),
    ({**X, "for": "-5m"}, "for", "duration such as"),
    ({**X, "for": "31d"}, "for", "31d: 0s to 30d is allowed"),
    ({"type": "anomaly", "query": "a-b"}, "query", "letters, digits and _"),
    ({"type": "anomaly", "kind": "bad"}, "kind.0", "spike, dip, "),
    (
        {"type": "anomaly", "kind": "spike", "resolve_when": {"operator": "lt", "threshold": 0.5}},
        "",
        "only with a score",
    ),
    ({"type": "forecast", "within": "4h"}, "", "metric_name or query is needed"),
    ({"type": "forecast", "within": "4h", "metric_name": "x"}, "", "limit: a number is needed"),
    (
        {"type": "forecast", "within": "4h", "metric_name": "x", "limit": 1, "query": "q"},
        "",
        "metric_name or query is needed, not both",
    ),
    ({"type": "forecast", "within": "4h", "query": "q", "limit": 1}, "", "limit: a number is"),
    (
        {"type": "absent", "metric_name": "up", "for": "5m", "seen_within": "5m"},
        "seen_within",
        "more than for (5m)",
    ),
    (
        {"type": "absent", "metric_name": "up", "for": "1h", "seen_within": "5m"},
        "seen_within",
        "more than for (1h)",
    ),
    ({"type": "cost", "measure": "weekly"}, "measure", "daily, month_to_date"),
    ({"type": "cost", "threshold": 1}, "measure", "is needed"),
    (MONTH, "", "threshold or budget is needed"),
    ({**MONTH, "budget": 0}, "budget", "greater than 0"),
    ({**MONTH, "budget": -5}, "budget", "greater than 0"),
    ({**MONTH, "budget": 5, "threshold": 0}, "", "threshold: percent of the budget, more than 0"),
    ({**MONTH, "threshold": 5, "operator": "eq"}, "operator", "gt, gte, lt, lte are"),
    ({**MONTH, "threshold": 5, "above": 1}, "", "above: only with measure jump"),
    (
        {**MONTH, "budget": 5, "resolve_when": {"operator": "lt", "threshold": 101}},
        "resolve_when",
        "lt or lte and at most 100",
    ),
    ({**MONTH, "threshold": 5, "settled": True, "basis": "estimate"}, "", "settled: only with"),
    ({**MONTH, "threshold": 5, "basis": "list"}, "basis", "billed, estimate"),
    ({**MONTH, "threshold": 5, "by": ["day"]}, "by", "other than day, instance, job"),
    ({**MONTH, "threshold": 5, "by": ["a-b"]}, "by.0", "should match"),
    (
        {**MONTH, "threshold": 5, "labels": {"basis": "billed"}},
        "labels",
        "other than day, and basis",
    ),
    (JUMP, "", "above_percent or above is needed"),
    ({**JUMP, "above": 0}, "above", "greater than 0"),
    ({**JUMP, "above": 5, "budget": 100}, "", "budget: not with measure jump"),
    ({**JUMP, "above": 5, "operator": "gt"}, "", "operator: not with measure jump"),
    (
        {**JUMP, "above": 5, "resolve_when": {"operator": "lt", "threshold": 1}},
        "",
        "resolve_when: not with measure jump",
    ),
    ({"type": "expression", "expr": "up =="}, "expr", "not PromQL"),
    ({"type": "expression", "expr": f"{'(' * 9000}up{')' * 9000}"}, "expr", "too long: 500"),
    ({"type": "expression", "expr": "1"}, "expr", "this gives a scalar"),
    ({"type": "expression", "expr": "up[5m]"}, "expr", "this gives a matrix"),
    ({"type": "expression", "expr": "-(time() + 1)"}, "expr", "this gives a scalar"),
    ({"type": "all", "conditions": []}, "conditions", "one at least is needed"),
    (
        {"type": "all", "conditions": [X], "match_on": [], "ignoring": []},
        "",
        "match_on or ignoring",
    ),
    (
        {"type": "all", "conditions": [X, {**X, "threshold": None}]},
        "conditions.1.threshold",
        "a number is needed",
    ),
    ({"type": "all", "conditions": [X, {**X, "for": "5m"}]}, "conditions.1.for", "outermost"),
    (
        {"type": "not", "condition": {"type": "absent", "metric_name": "up"}},
        "condition.type",
        "absent: says which series",
    ),
    ({"type": "not", "condition": {**X, "threshold": None}}, "condition.threshold", "a number"),
    (
        {
            "type": "not",
            "condition": {"type": "any", "conditions": [X, {"type": "expression", "expr": "up"}]},
        },
        "condition.type",
        "any: says which series",
    ),
    ({"type": "metric_treshold"}, "type", "did you mean metric_threshold?"),
    ({"metric_name": "x"}, "type", "is needed: metric_threshold, anomaly"),
    ({**X, "thresold": 3}, "thresold", "unknown key; did you mean threshold?"),
    ({**X, "qwertyuiop": 3}, "qwertyuiop", "unknown key"),
]


@pytest.mark.parametrize(("condition", "path", "text"), WRONG)
def test_a_wrong_condition_is_refused_where_it_is_wrong(
    condition: dict[str, Any], path: str, text: str
) -> None:
    with pytest.raises(errors.PolicyError) as caught:
        factories.rules(condition)
    (fault,) = caught.value.faults
    assert fault.path == ".".join(filter(None, ("rules.0.condition", path)))
    assert text in str(fault)


@given(st.text(max_size=30), st.lists(st.text(max_size=10), min_size=1, max_size=3))
def test_no_label_value_leaves_its_matcher(value: str, values: list[str]) -> None:
    text = factories.expr({**X, "labels": {"a": value, "b": {"not": value}, "c": values}})
    found = selectors.plain_matchers(text.removesuffix(" > 1"))
    assert found is not None
    kept = {(each.name, each.value) for each in found if each.name in "ab"}
    assert kept == {("a", value), ("b", value)}
    (one_of,) = (each for each in found if each.name == "c")
    tree = promql_parser.parse(text)
    assert type(tree).__name__ == "BinaryExpr"
    assert len(found) == 4
    assert one_of.value.count("|") >= len(values) - 1


def test_not_begins_where_its_condition_ends_and_ends_where_it_begins() -> None:
    resolving = factories.above(resolve_when={"operator": "lt", "threshold": 70})
    expr = factories.expr({"type": "not", "condition": resolving})
    assert expr.startswith(f"({CPU} unless ({CPU} >= 70))\nor\n(({CPU} unless ({CPU} > 80)) and")


@pytest.mark.parametrize(
    ("operator", "end", "fire", "hold"),
    [
        ("gt", "lt", "x > 1", "x >= 1"),
        ("gt", "lte", "x > 1", "x > 1"),
        ("gte", "lt", "x >= 1", "x >= 1"),
        ("lt", "gt", "x < 1", "x <= 1"),
        ("lt", "gte", "x < 1", "x < 1"),
        ("lte", "gt", "x <= 1", "x <= 1"),
    ],
)
def test_what_began_goes_on_until_its_end_is_reached_and_may_end_where_it_began(
    operator: str, end: str, fire: str, hold: str
) -> None:
    found = factories.expr(
        {**X, "operator": operator, "resolve_when": {"operator": end, "threshold": 1}}
    )
    assert found == fire if fire == hold else found.startswith(f"({fire})\nor\n(({hold}) and ")


WINDOW = {"weekly": [{"start": "08:00", "end": "18:00"}]}
ENDS = {"resolve_when": {"operator": "lt", "threshold": 0}}


@pytest.mark.parametrize(
    ("condition", "hold"),
    [
        ({**X, **ENDS, "window": WINDOW}, "((x >= 0)\nand on () (vector("),
        (
            {"type": "all", "conditions": [{**X, **ENDS}, LOW_MEMORY]},
            f"((x >= 0)\nand ({MEMORY} < 20)) and ",
        ),
        (
            {"type": "anomaly", "query": "cpu", "kind": "spike", "score": 2, **ENDS},
            f'(anomaly_score{{query="cpu"}} >= 0 and ignoring (kind) {ACTIVE}"spike"}} == 1) and ',
        ),
    ],
)
def test_what_holds_is_asked_for_as_what_fires(condition: dict[str, Any], hold: str) -> None:
    assert f"\nor\n({hold}" in factories.expr(condition)


def test_a_milder_rule_is_held_by_itself_alone() -> None:
    _, mild = factories.rules(factories.above(95), {**X, **ENDS})
    own, graver = mild.expr.split("\nunless ")
    assert 'policy_rule="2",alertstate="firing"}' in own
    assert 'policy_rule="1",alertstate="firing"}' in graver
