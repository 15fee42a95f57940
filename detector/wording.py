"""The text of an SMS about alerts: short, and useful for groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from detector import alerts, quantities

SEVERITIES = ("critical", "high", "warning", "medium", "low", "info")
"""The gravest first."""
PLACES = ("instance", "host", "node", "service", "region", "account", "mountpoint", "device")
"""Labels that say where, those that people think in first."""
NOT_PLACES = frozenset(
    {"alertname", "severity", "job", "policy", "policy_id", "policy_rule"}
    | {"policy_revision", "policy_action", "kind", "monitor", "team"}
)
QUERY = "query"
"""Tells anomalies of one place apart, where nothing else does."""
_PLURALS = {name: f"{name}s" for name in PLACES} | {QUERY: "queries"}
MOST_PLACES = 5
"""That are named; how many more there are is told."""


def severity_of(told: Sequence[alerts.Notification]) -> str:
    """The gravest severity of those that fire, else of all; empty if none has one."""
    firing = [each for each in told if each.state is alerts.State.FIRING]
    given = [dict(each.labels).get("severity", "") for each in firing or told]
    ranked = [each for each in SEVERITIES if each in given]
    return (ranked or given or [""])[0]


def sms(told: Sequence[alerts.Notification], zone: tzinfo) -> str:
    """One line: what, where, since when, and what its summary says of the value.

    Those that have ended come last. Raises ValueError without any.
    """
    if not told:
        raise ValueError("told: nothing to tell")
    firing = [each for each in told if each.state is alerts.State.FIRING]
    ended = [each for each in told if each.state is alerts.State.RESOLVED]
    if not ended:
        return f"{_head(severity_of(firing))} {_groups(firing, zone)}"
    if not firing:
        return f"RESOLVED {_groups(ended, zone)}"
    head = _head(severity_of(firing))
    return f"{head} {_groups(firing, zone)}; RESOLVED {_groups(ended, zone)}"


def place_of(labels: Mapping[str, str]) -> str:
    """Where an alert with these labels is; empty if they do not say."""
    return next((_one_line(labels[name]) for name in PLACES if labels.get(name)), "")


def _head(severity: str) -> str:
    return f"FIRING {severity}" if severity else "FIRING"


def _groups(told: Sequence[alerts.Notification], zone: tzinfo) -> str:
    """Those of one name together, in the order in which the names come."""
    named: dict[str, list[alerts.Notification]] = {}
    for each in told:
        named.setdefault(dict(each.labels).get("alertname", "alert"), []).append(each)
    return "; ".join(_group(name, each, zone) for name, each in named.items())


def _group(name: str, told: list[alerts.Notification], zone: tzinfo) -> str:
    first = min(told, key=lambda each: each.starts_at)
    when = _when(first, told, zone)
    summary = _one_line(dict(first.annotations).get("summary", ""))
    if len(told) == 1:
        where = place_of(dict(first.labels))
        what = summary or where
        missing = where if where and what and where not in what else ""
        named = f"{_one_line(name)}: {what}" if what else _one_line(name)
        return ", ".join(part for part in (named, missing, when) if part)
    counted, shared = _counted(told), _shared_place(told)
    counted += f" on {shared}" if shared else ""
    ending = f". {summary}" if summary else ""
    return f"{_one_line(name)}, {counted}, {when}{ending}"


def _counted(told: Sequence[alerts.Notification]) -> str:
    """How many, and what they differ in: places before other labels."""
    labels = [dict(each.labels) for each in told]
    names = {name for each in labels for name in each} - NOT_PLACES
    ordered = [name for name in PLACES if name in names]
    ordered += sorted(names - set(PLACES), key=lambda name: (name == QUERY, name))
    for name in ordered:
        values = list(dict.fromkeys(_one_line(each.get(name, "")) for each in labels))
        if len(values) > 1 and all(values):
            listed, more = ", ".join(values[:MOST_PLACES]), len(values) - MOST_PLACES
            ending = f" and {more} more" if more > 0 else ""
            return f"{len(values)} {_PLURALS.get(name, f'{name} values')}: {listed}{ending}"
    return f"{len(told)} alerts"


def _shared_place(told: Sequence[alerts.Notification]) -> str:
    """Where all of them are, as far as they say; empty if they differ in that."""
    places = {place_of(dict(each.labels)) for each in told}
    return places.pop() if len(places) == 1 else ""


def _when(first: alerts.Notification, told: Sequence[alerts.Notification], zone: tzinfo) -> str:
    if first.state is alerts.State.FIRING:
        return f"since {_instant(first.starts_at, zone)}"
    ends = [each.ends_at for each in told if each.ends_at is not None]
    return f"after {quantities.span(max(ends) - first.starts_at)}" if ends else ""


def _instant(at: datetime, zone: tzinfo) -> str:
    shown = at.astimezone(zone)
    return f"{shown:%H:%M} {shown.tzname()}"


def _one_line(text: str) -> str:
    """Without what is not seen and may turn the order of what is, as U+202E does.

    >>> _one_line("a\\n b\\u202ec")
    'a b c'
    """
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
