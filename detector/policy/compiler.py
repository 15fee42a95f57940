"""Prometheus' alerting rules of a policy.

A rule of a policy becomes one alerting rule with its condition as expression. Two things are added
where the policy asks for them, both by looking at ALERTS, the series in which Prometheus itself
keeps what fires:

resolve_when   what fires goes on while it has not come back so far:
               (fire) or (hold and ALERTS{of this rule, firing})
priority       what a rule of a lower number fires for is left to that one:
               (…) unless ALERTS{of the rules of lower numbers, firing}

Rules of a group are evaluated in their order, each seeing what those before it have just written,
so a policy is one group and its rules stand by priority.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import yaml

from detector import errors
from detector.policy import documents, messages, promql
from detector.policy.conditions import base

POLICY, REVISION, RULE, SEVERITY = "policy", "policy_revision", "policy_rule", "severity"
OWN_LABELS = ("alertname", "alertstate", POLICY, REVISION, RULE, SEVERITY)
"""Labels that an alert has and its series has not."""
LINE = 1_000_000
"""No line is broken but where the text has a break."""


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """One alerting rule.

    number  of the policy's rule, from 1, in the order of the document
    outranked_by  numbers of the rules that quieten it
    """

    alert: str
    expr: str
    for_: timedelta
    keep_firing_for: timedelta
    labels: dict[str, str]
    annotations: dict[str, str]
    number: int
    outranked_by: tuple[int, ...]

    def tree(self) -> dict[str, Any]:
        """As it stands in a rule file, with the keys that Prometheus 2.42 knows."""
        found: dict[str, Any] = {"alert": self.alert, "expr": self.expr}
        if self.for_:
            found["for"] = promql.duration(self.for_)
        if self.keep_firing_for:
            found["keep_firing_for"] = promql.duration(self.keep_firing_for)
        return {**found, "labels": self.labels, "annotations": self.annotations}


def rules(
    document: documents.Document, revision: int, given: base.Given, *, source: str = "policy"
) -> list[AlertingRule]:
    """The alerting rules of a policy, the lowest priority number first.

    Raises PolicyError where a condition makes no rule.
    """
    faults, found = [], []
    numbered = sorted(enumerate(document.rules, 1), key=lambda each: each[1].priority)
    for number, rule in numbered:
        outranked_by = tuple(other for other, each in numbered if each.priority < rule.priority)
        try:
            expr = rule.condition.compiled(given)
        except base.NotCompiledError as exc:
            path = ("rules", number - 1, "condition", *exc.path)
            faults.append(documents.fault_at(path, None, exc.text, exc.value))
            continue
        found.append(_rule(document, revision, number, outranked_by, expr))
    if faults:
        raise errors.PolicyError(source, faults)
    return found


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy at a revision, as Prometheus is given it.

    rules  the lowest priority number first; none where the policy is disabled
    text   its group, as an item of a rule file's list; empty without rules
    """

    policy: str
    revision: int
    rules: tuple[AlertingRule, ...]
    text: str


def compiled(
    document: documents.Document, revision: int, given: base.Given, *, source: str = "policy"
) -> Compiled:
    """The group of a policy. Raises PolicyError, for one that is disabled too."""
    found = rules(document, revision, given, source=source)
    return grouped(document.name, revision, found if document.enabled else ())


def group_name(policy: str) -> str:
    """What the group of a policy is called."""
    return f"policy {policy}"


def grouped(policy: str, revision: int, found: Iterable[AlertingRule]) -> Compiled:
    """These rules as the group of a policy."""
    live = tuple(found)
    tree = {"name": group_name(policy), "rules": [rule.tree() for rule in live]}
    return Compiled(policy, revision, live, _dumped([tree]) if live else "")


def file_text(policies: Iterable[Compiled]) -> str:
    """A rule file of these policies' groups."""
    groups = "".join(each.text for each in policies)
    head = "# Written from policies: change a policy, not this file.\n"
    return f"{head}groups:\n{groups}" if groups else f"{head}groups: []\n"


def _dumped(tree: object) -> str:
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE)
    return text


def file_name(policy: str) -> str:
    """The name of a policy's rule file: one a person finds, and no two policies share.

    >>> file_name("High CPU Alert")
    'high-cpu-alert-4592df69.yml'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", policy.lower()).strip("-")[:60] or "policy"
    return f"{slug}-{hashlib.sha256(policy.encode()).hexdigest()[:8]}.yml"


def firing(policy: str, numbers: Iterable[int]) -> str:
    """The selector of what these rules of a policy fire for."""
    each = [str(number) for number in numbers]
    of_rule = (
        promql.Matcher(RULE, promql.MatchType.EQUAL, each[0])
        if len(each) == 1
        else promql.Matcher(RULE, promql.MatchType.REGEX, "|".join(each))
    )
    found = [
        promql.Matcher(POLICY, promql.MatchType.EQUAL, policy),
        of_rule,
        promql.Matcher("alertstate", promql.MatchType.EQUAL, "firing"),
    ]
    return f"ALERTS{promql.matchers(found)}"


def _rule(
    document: documents.Document,
    revision: int,
    number: int,
    outranked_by: tuple[int, ...],
    expr: base.Expr,
) -> AlertingRule:
    rule = document.rules[number - 1]
    text = expr.fire
    same = f"ignoring ({', '.join(OWN_LABELS)})"
    if expr.hold != expr.fire:
        text = f"({expr.fire})\nor\n(({expr.hold}) and {same} {firing(document.name, [number])})"
    if outranked_by:
        per = same if document.per is None else f"on ({', '.join(document.per)})"
        text = f"({text})\nunless {per} {firing(document.name, outranked_by)}"
    return AlertingRule(
        document.name,
        text,
        rule.condition.for_,
        rule.condition.keep_firing_for,
        {
            POLICY: messages.literal(document.name),
            REVISION: str(revision),
            RULE: str(number),
            SEVERITY: str(rule.action.severity),
        },
        _annotations(document, rule),
        number,
        outranked_by,
    )


def _annotations(document: documents.Document, rule: documents.Rule) -> dict[str, str]:
    summary = rule.action.message or messages.literal(document.description or document.name)
    found = {"summary": summary}
    if document.description:
        found["description"] = messages.literal(document.description)
    if rule.action.runbook:
        found["runbook"] = messages.literal(rule.action.runbook)
    return found


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, and text of several lines as it is."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Ends of lines for PyYAML, which writes them as such; Prometheus reads them otherwise."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text.strip() else None
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if _OTHER_BREAKS.search(text) else style
    )


_Dumper.add_representer(str, _text)
