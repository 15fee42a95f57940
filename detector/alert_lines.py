"""Alerts of a running detector, for a person at a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from detector import errors
from detector.stack import terminal

HEADS = ("ID", "STATUS", "SEVERITY", "SINCE (UTC)", "ALERT", "WHERE", "OWNER", "FEEDBACK")
LONGEST = 60
"""Characters of a cell."""
_MATCHER = re.compile(r"\s*(?P<name>[^\s=!~]+)\s*(?P<sign>=~|!~|!=|=)\s*(?P<value>.*)", re.DOTALL)
_NOT_WHERE = frozenset({"alertname", "severity", "team", "job", "query"})


def table_of(alerts: Sequence[Mapping[str, Any]]) -> str:
    """A row an alert, as they come."""
    rows = [
        (
            str(each["id"]),
            each["status"],
            each["labels"].get("severity", ""),
            _minute(each["starts_at"]),
            _cell(each["labels"].get("alertname", "")),
            _cell(_where(each["labels"])),
            _cell(each["owner"]),
            each["feedback"] or "",
        )
        for each in alerts
    ]
    return terminal.table_of(HEADS, rows)


def show_lines(alert: Mapping[str, Any]) -> Iterator[str]:
    """One alert: what it is, and all that became of it."""
    labels, said = alert["labels"], alert["annotations"]
    yield f"alert {alert['id']}: {_line(labels.get('alertname', ''))}: {alert['status']}"
    if said.get("summary"):
        yield _line(said["summary"])
    yield f"since {_second(alert['starts_at'])}" + (
        f", until {_second(alert['ends_at'])}" if alert["ends_at"] else ""
    )
    if alert["owner"]:
        yield f"owner: {_line(alert['owner'])}"
    if alert["feedback"]:
        yield f"feedback: {alert['feedback']}"
    for title, pairs in (("labels", labels), ("known", alert["facts"])):
        if pairs:
            yield f"{title}:"
            yield from (f"  {_line(name)}: {_line(value)}" for name, value in pairs.items())
    yield "history:"
    for each in alert["transitions"]:
        yield f"  {_second(each['received_at'])}  {_told(each)}"
    if alert.get("deliveries"):
        yield "told:"
        yield from map(_delivered, alert["deliveries"])


def done_line(alert: Mapping[str, Any], done: str) -> str:
    """What was done, and what is to be known."""
    name = _line(alert["labels"].get("alertname", ""))
    warning = f": {alert['warning']}" if alert.get("warning") else ""
    return f"alert {alert['id']}: {name}: {done}{warning}"


def muted_lines(muted: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Some alerts that a silence would mute."""
    for labels in muted:
        yield "  " + " ".join(f"{_line(name)}={_line(value)}" for name, value in labels.items())


def matcher_of(text: str) -> dict[str, object]:
    """A matcher as amtool takes it: name=value, name!=value, name=~pattern, name!~pattern.

    >>> matcher_of('job=~"web.*"')
    {'name': 'job', 'value': 'web.*', 'is_regex': True, 'is_equal': True}

    Raises ConfigError.
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise errors.ConfigError(
            f"--matcher: {text}: name=value, name!=value, name=~pattern, name!~pattern are allowed"
        )
    value = found["value"].strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return {
        "name": found["name"],
        "value": value,
        "is_regex": "~" in found["sign"],
        "is_equal": not found["sign"].startswith("!"),
    }


def pair_of(text: str, sign: str, option: str) -> tuple[str, str]:
    """Name and value of a label. Raises ConfigError."""
    name, found, value = text.partition(sign)
    if not (name and found and value):
        raise errors.ConfigError(f"{option}: {text}: name{sign}value is allowed")
    return name, value


def _told(change: Mapping[str, Any]) -> str:
    said = f"feedback: {change['feedback']}" if change["feedback"] else str(change["state"])
    by = f" by {_line(change['by'])}" if change["by"] else ""
    return said + by + (f": {_line(change['note'])}" if change["note"] else "")


def _delivered(delivery: Mapping[str, Any]) -> str:
    whom = " ".join(filter(None, (delivery["channel"], delivery["recipient"])))
    if delivery["at"] is None:
        return f"  {_line(whom)}: {_line(delivery['reason'])}"
    said = ": ".join(filter(None, (delivery["state"], delivery["reason"])))
    what = f" ({delivery['of']})" if delivery.get("of") else ""
    return f"  {_second(delivery['at'])}  {_line(whom)}: {_line(said)}{what}"


def _where(labels: Mapping[str, str]) -> str:
    where = labels.get("instance")
    if where is not None:
        return where
    others = [
        f"{name}={value}"
        for name, value in labels.items()
        if name not in _NOT_WHERE and not name.startswith("policy")
    ]
    return " ".join(others)


def _line(text: str) -> str:
    """Text of labels may hold anything; a terminal is not to act on it."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _cell(text: str) -> str:
    shown = _line(text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _minute(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"


def _second(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
