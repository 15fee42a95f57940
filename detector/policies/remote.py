"""Policies of a running detector, for a person at a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from detector import client, errors
from detector.files import policies as files
from detector.policy import documents

_ID = re.compile("[1-9][0-9]{0,17}")
SIGNS = {"created": "+", "changed": "~", "deleted": "-", None: " "}


def read(paths: Sequence[Path]) -> list[client.Document]:
    """The documents of files and folders, checked as far as that goes without a server.

    Raises ConfigError, PolicyError.
    """
    return [documents.tree_of(each.document) for each in files.load(paths)]


def plan_lines(planned: Sequence[client.Planned], *, is_done: bool) -> Iterator[str]:
    """What would be done, with its diff, or what was; and the sum of it."""
    for each in planned:
        if each.change is not None:
            yield f"{SIGNS[each.change]} {each.name}: {_told(each, is_done=is_done)}"
            if not is_done:
                yield from (f"    {line}" for line in each.diff.splitlines()[2:])
    yield f"{'done' if is_done else 'plan'}: {_sum(planned)}"


def is_change(planned: Sequence[client.Planned]) -> bool:
    """Whether anything would be done."""
    return any(each.change for each in planned)


def summary(planned: Sequence[client.Planned], *, applied: bool) -> dict[str, Any]:
    """For a script."""
    return {
        "applied": applied,
        "policies": [
            {
                "name": each.name,
                "change": each.change,
                "id": each.id,
                "revision": each.revision,
                "diff": each.diff,
            }
            for each in planned
        ],
    }


def _told(planned: client.Planned, *, is_done: bool) -> str:
    if not is_done:
        which = "" if planned.id is None else f" (policy {planned.id}, revision {planned.revision})"
        return f"to be {planned.change}{which}"
    if planned.change == "created":
        return f"created as policy {planned.id}"
    return f"{planned.change} (policy {planned.id}, revision {planned.revision})"


def _sum(planned: Sequence[client.Planned]) -> str:
    counts = Counter(each.change or "unchanged" for each in planned)
    told = [
        f"{counts[change]} {change}"
        for change in ("created", "changed", "deleted", "unchanged")
        if counts[change]
    ]
    return ", ".join(told) or "no policies"


def list_rows(policies: Sequence[client.Policy]) -> list[tuple[str, ...]]:
    """A row a policy: id, name, state, revision, rules, severities, who changed it and when."""
    return [
        (
            str(each.id),
            each.name,
            _state(each),
            str(each.revision),
            str(len(each.rules)),
            ", ".join(_severities(each)),
            each.changed_by,
            f"{each.changed_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        )
        for each in policies
    ]


def _state(policy: client.Policy) -> str:
    if policy.deleted:
        return "deleted"
    if policy.refused:
        return "refused"
    return "enabled" if policy.enabled else "disabled"


HEADS = ("ID", "NAME", "STATE", "REVISION", "RULES", "SEVERITY", "CHANGED BY", "CHANGED (UTC)")


HISTORY_HEADS = ("REVISION", "CHANGE", "BY", "AT (UTC)", "RULES")


def history_rows(revisions: Sequence[client.Revision]) -> list[tuple[str, ...]]:
    """A row a revision: its number, what was done, by whom, when, and how many rules it has."""
    return [
        (
            str(each.revision),
            each.change,
            each.made_by,
            f"{each.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            str(len(each.document.get("rules") or ())),
        )
        for each in revisions
    ]


def _severities(policy: client.Policy) -> list[str]:
    actions = (each.get("action") for each in policy.rules)
    found = (str(each.get("severity", "warning")) for each in actions if isinstance(each, dict))
    return list(dict.fromkeys(found))


def find(manager: client.PolicyManager, given: str, *, deleted_too: bool = False) -> int:
    """The id of the policy with this id or name, or of the one that had it when it was deleted
    last. #7 is an id; 7 too, but where a policy is called so. Raises ConfigError."""
    if given.startswith("#") and _ID.fullmatch(given[1:]):
        return int(given[1:])
    found = _named(manager.list_policies(text=given), given)
    if _ID.fullmatch(given):
        if not found or found[0].id == int(given):
            return int(given)
        raise errors.ConfigError(
            f"policy: {given}: policy {found[0].id} has this name: write #{found[0].id} for it, "
            f"#{given} for the policy with this id"
        )
    deleted = [] if found else _named(manager.list_policies(text=given, deleted=True), given)
    if not found and deleted and not deleted_too:
        raise errors.ConfigError(
            f"policy: {given}: it was deleted by {deleted[0].changed_by} (mda policy restore)"
        )
    if not found and not deleted:
        raise errors.ConfigError(f"policy: {given}: no policy has this name (mda policy list)")
    return max(found or deleted, key=lambda each: (each.changed_at, each.id)).id


def _named(policies: Sequence[client.Policy], name: str) -> list[client.Policy]:
    return [each for each in policies if each.name.casefold() == name.casefold()]


def show_lines(state: dict[str, Any]) -> Iterator[str]:
    """One policy for a person: its document, then how it fares."""
    text: str = yaml.safe_dump(state["document"], sort_keys=False, allow_unicode=True, width=100)
    yield from text.splitlines()
    yield ""
    published = state["published_revision"]
    yield (
        f"policy {state['id']}, revision {state['revision']} by {state['changed_by']} at "
        f"{_instant(state['changed_at'])}, "
        + ("evaluated by Prometheus" if published == state["revision"] else "not evaluated")
    )
    if state["trouble"]:
        yield f"trouble: {state['trouble']}"
    for rule in state["rules"]:
        told = f"rule {rule['number']}: {rule['health']}"
        yield told + (f": {rule['last_error']}" if rule["last_error"] else "")
        for alert in rule["alerts"]:
            labels = " ".join(
                f"{name}={value}"
                for name, value in alert["labels"].items()
                if not name.startswith("policy") and name not in ("alertname", "severity")
            )
            yield f"  {alert['state']} since {_instant(alert['since'])}: {labels}"
    for action in state["actions"]:
        yield f"rule {action['rule']}: {action['type']}: {action['state']}"
    last = state["last_fired_at"]
    yield f"fired last: {'never' if last is None else _instant(last)}"


def _instant(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
