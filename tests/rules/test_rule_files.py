"""Hand-written rules: each is explained, tested both ways, and fit for the oldest Prometheus."""

from __future__ import annotations

import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from detector import last_watchdog, telemetry
from detector.services import heartbeats
from tests import conftest, stack
from tests.grafana import dashboards

RULES = conftest.ROOT / "rules"
OPERATIONS = conftest.ROOT / "docs" / "operations.md"
SEVERITIES = {"info", "warning", "critical"}
# What Prometheus 2.42 knows; query_offset, labels of a group and others came later.
GROUP_KEYS = {"name", "interval", "limit", "rules"}
RULE_KEYS = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
every_alert = pytest.mark.parametrize("name", sorted(ALERTS))


def cases() -> Iterator[dict[str, Any]]:
    """Every test of promtool's test files."""
    for path in sorted((RULES / "tests").glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["tests"]


@every_alert
def test_each_alert_has_a_firing_and_a_quiet_case(name: str) -> None:
    outcomes = {
        bool(case.get("exp_alerts"))
        for test in cases()
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == name
    }
    assert outcomes == ({True} if name == last_watchdog.ALERT else {True, False})


def test_no_case_names_an_alert_that_is_not_there() -> None:
    named = {case["alertname"] for test in cases() for case in test.get("alert_rule_test", [])}
    assert named <= set(ALERTS)


def test_each_recorded_series_is_checked_or_alerted_on() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {
        name
        for expr in (
            *(case["expr"] for test in cases() for case in test.get("promql_expr_test", [])),
            *(rule["expr"] for rule in ALERTS.values()),
        )
        for name in dashboards.selectors(expr)
    }
    assert recorded - used == set()


@every_alert
def test_each_alert_says_how_grave_it_is_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    is_watchdog = name == last_watchdog.ALERT
    assert alert["labels"]["severity"] in ({"none"} if is_watchdog else SEVERITIES)
    more = {heartbeats.EVALUATED_AT} if is_watchdog else set()
    assert set(alert["annotations"]) == {"summary", "description", "runbook"} | more
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    headings = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert name in headings


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml")), ids=lambda path: path.stem)
def test_nothing_is_newer_than_the_oldest_prometheus(path: pathlib.Path) -> None:
    groups = yaml.safe_load(path.read_text())["groups"]
    assert {key for group in groups for key in group} <= GROUP_KEYS
    assert {key for group in groups for rule in group["rules"] for key in rule} <= RULE_KEYS


def test_names_of_rules_and_groups_differ() -> None:
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    groups = [
        group["name"]
        for path in RULES.glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert len(names) == len(set(names))
    assert len(groups) == len(set(groups))


def test_every_expression_parses_and_asks_for_metrics_the_detector_has() -> None:
    ours = set()
    for family in telemetry.Telemetry().registry.collect():
        ours.add(family.name + ("_total" if family.type == "counter" else ""))
    unknown = set()
    for rule in rules():
        promql_parser.parse(rule["expr"])
        names = set(dashboards.selectors(rule["expr"]))
        unknown |= {name for name in names if name.startswith("detector_")} - ours
    assert unknown == set()


def test_promtool_finds_no_fault(stack_binaries: stack.Binaries) -> None:
    ran = run(stack_binaries.find("promtool"), "check", "config", "prometheus.yml")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    linted = run(
        stack_binaries.find("promtool"),
        "check",
        "rules",
        "--lint-fatal",
        *(str(path) for path in sorted(RULES.glob("*.yml"))),
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_promtools_unit_tests_pass(stack_binaries: stack.Binaries) -> None:
    files = [str(path) for path in sorted((RULES / "tests").glob("*.yml"))]
    ran = run(stack_binaries.find("promtool"), "test", "rules", *files)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("SUCCESS") == len(files) > 0


def run(program: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=conftest.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
