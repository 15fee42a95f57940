"""What Prometheus says of its alerting rules (GET /api/v1/rules), as far as they are policies'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePath

import msgspec

from detector import frames
from detector.policy import compiler, live
from detector.prometheus import connection, query

_NEVER = "0001-01-01"
"""How Go writes the time of what has not happened."""


class _Alert(msgspec.Struct):
    labels: dict[str, str]
    state: str
    since: str = msgspec.field(name="activeAt", default=_NEVER)
    value: str = "NaN"


class _Rule(msgspec.Struct):
    name: str = ""
    labels: dict[str, str] = {}
    health: str = "unknown"
    last_error: str = msgspec.field(name="lastError", default="")
    evaluated: str = msgspec.field(name="lastEvaluation", default=_NEVER)
    alerts: list[_Alert] | None = None


class _Group(msgspec.Struct):
    file: str = ""
    rules: list[_Rule] = []


class _Groups(msgspec.Struct):
    groups: list[_Group] = []


_GROUPS = msgspec.json.Decoder(_Groups)


def read(
    client: connection.Client, file_name: str, *, headers: Mapping[str, str] | None = None
) -> tuple[live.LiveRule, ...]:
    """The rules of files, or namespaces, of this name that bear a policy's labels.

    Raises UpstreamError.
    """
    answer = client.call("GET", "/api/v1/rules?type=alert", headers=headers)
    envelope = query.envelope_from_answer(answer.status, answer.body)
    try:
        groups = _GROUPS.decode(envelope.data)
        return tuple(_rules(groups, file_name))
    except (msgspec.MsgspecError, ValueError) as exc:
        raise connection.unreadable(str(exc)) from exc


def _rules(groups: _Groups, file_name: str) -> Iterator[live.LiveRule]:
    for group in groups.groups:
        if PurePath(group.file).name != file_name:
            continue
        for rule in group.rules:
            revision, number = (
                rule.labels.get(label, "") for label in (compiler.REVISION, compiler.RULE)
            )
            if compiler.POLICY in rule.labels and revision.isdecimal() and number.isdecimal():
                yield live.LiveRule(
                    policy=rule.name,  # the label is told as the template that it is made from
                    revision=int(revision),
                    number=int(number),
                    health=live.Health(rule.health),
                    last_error=rule.last_error,
                    evaluated_at=_instant(rule.evaluated),
                    alerts=tuple(_alert(each) for each in rule.alerts or ()),
                )


def _alert(alert: _Alert) -> live.ActiveAlert:
    since = _instant(alert.since)
    if since is None:
        raise ValueError("an alert without activeAt")
    return live.ActiveAlert(
        frames.labels_from_pairs(alert.labels.items()),
        live.State(alert.state),
        since,
        float(alert.value),
    )


def _instant(text: str) -> datetime | None:
    """The instant of an RFC 3339 text, which may have nanoseconds; None for Go's zero time."""
    if text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(text).astimezone(UTC)
