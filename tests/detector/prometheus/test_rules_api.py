"""What is read of GET /api/v1/rules, of canned answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from detector import errors
from detector.policy import live
from detector.prometheus import connection, rules_api

LABELS = {"policy": 'a {{"{{"}} b', "policy_revision": "7", "policy_rule": "2"}
ALERT = {
    "labels": {"instance": "a"},
    "state": "firing",
    "activeAt": "2026-11-30T13:00:00.123456789+01:00",
    "value": "1e+00",
}


class Canned(connection.Client):
    """Tells these groups."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__("http://prometheus", timeout=timedelta(seconds=10))
        self.body = json.dumps({"status": "success", "data": {"groups": groups}}).encode()

    def call(self, *_: object, **__: object) -> connection.Answer:
        return connection.Answer(200, {}, self.body)


def read(*rules: dict[str, Any], file: str = "/etc/policies.yml") -> tuple[live.LiveRule, ...]:
    return rules_api.read(Canned([{"file": file, "rules": list(rules)}]), "policies.yml")


def test_a_rule_is_told_with_its_alerts_and_times_in_utc() -> None:
    (rule,) = read(
        {
            "name": "a {{ b",
            "labels": LABELS,
            "health": "err",
            "lastError": "many-to-many",
            "lastEvaluation": "2026-11-30T13:00:01+01:00",
            "alerts": [ALERT, {**ALERT, "state": "pending", "value": "+Inf"}],
        }
    )
    at = datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC)
    since = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
    labels = (("instance", "a"),)
    assert rule == live.LiveRule(
        policy="a {{ b",
        revision=7,
        number=2,
        health=live.Health.ERR,
        last_error="many-to-many",
        evaluated_at=at,
        alerts=(
            live.ActiveAlert(labels, live.State.FIRING, since, 1.0),
            live.ActiveAlert(labels, live.State.PENDING, since, float("inf")),
        ),
    )
    assert str(rule.evaluated_at) == "2026-11-30 12:00:01+00:00"


@pytest.mark.parametrize("more", [{}, {"alerts": None}, {"lastEvaluation": "0001-01-01T00:00:00Z"}])
def test_a_rule_that_was_never_evaluated_has_no_time_and_no_alerts(more: dict[str, Any]) -> None:
    (rule,) = read({"name": "a", "labels": LABELS, **more})
    assert (rule.health, rule.evaluated_at, rule.alerts) == (live.Health.UNKNOWN, None, ())


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {**LABELS, "policy_revision": "x"},
        {**LABELS, "policy_rule": "-1"},
        {"policy_revision": "7", "policy_rule": "2"},
    ],
)
def test_rules_that_are_no_policys_are_left_out(labels: dict[str, str]) -> None:
    assert read({"name": "a", "labels": labels}) == ()


def test_rules_of_other_files_are_left_out() -> None:
    assert read({"name": "a", "labels": LABELS}, file="/etc/other.yml") == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"alerts": [{**ALERT, "activeAt": "0001-01-01T00:00:00Z"}]},
        {"alerts": [{**ALERT, "value": "high"}]},
        {"alerts": [{**ALERT, "state": "odd"}]},
        {"health": 7},
        {"lastEvaluation": "yesterday"},
    ],
)
def test_what_cannot_be_read_is_an_upstream_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.UpstreamError):
        read({"name": "a", "labels": LABELS, **wrong})
