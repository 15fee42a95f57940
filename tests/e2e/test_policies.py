"""A policy made over the API fires through the real Alertmanager, and is remembered."""

from __future__ import annotations

from typing import Any

from detector import client
from tests import stack
from tests.e2e import live
from tests.e2e.conftest import Injected

NAME = "Injected value is high"


def rules(threshold: float) -> list[dict[str, Any]]:
    condition = {
        "type": "metric_threshold",
        "metric_name": "injected_value",
        "operator": "gt",
        "threshold": threshold,
        "for": "10s",  # after a reload, Prometheus 2.42 has no Alertmanager for five seconds
    }
    action = {"type": "alert", "severity": "high", "message": "{{ $value }} is too much"}
    return [{"condition": condition, "action": action}]


def episodes(running: live.LiveStack, state: str) -> list[dict[str, Any]]:
    found = running.api("/api/alerts", label=f"policy:{NAME}", state=state)["alerts"]
    return list(found)


def test_a_policy_made_over_the_api_fires_is_delivered_remembered_and_resolves(
    live_stack: tuple[live.LiveStack, Injected],
) -> None:
    running, _ = live_stack
    policies = running.policies
    made = policies.create_policy(name=NAME, rules=rules(5))
    try:
        (episode,) = stack.wait_until(
            lambda: episodes(running, "firing"), 30, "the alert in PostgreSQL"
        )
        assert episode["labels"]["severity"] == "high"
        assert episode["labels"]["policy_revision"] == "1"
        assert episode["annotations"]["summary"].endswith(" is too much")
        state = policies.state(made.id)
        assert (state["published_revision"], state["firing"], state["trouble"]) == (1, 1, "")
        assert state["last_fired_at"] is not None
        changed = policies.update_policy(made.id, name=NAME, rules=rules(5000), revision=1)
        assert changed.revision == 2
        stack.wait_until(lambda: not episodes(running, "firing"), 30, "the alert to be resolved")
        assert policies.state(made.id)["rules"][0]["alerts"] == []
    finally:
        policies.delete_policy(made.id)
    assert not running.query(f'ALERTS{{policy="{NAME}"}}')


def test_the_shipped_policies_are_there_from_the_first_start(
    live_stack: tuple[live.LiveStack, Injected],
) -> None:
    running, _ = live_stack

    def shipped() -> dict[str, client.Policy]:
        found = running.policies.list_policies(text="host")
        return {each.name: each for each in found}

    stack.wait_until(shipped, 60, "the first turn to create policies")
    found = shipped()
    assert set(found) == {"HostHighCpu", "HostHighMemory", "HostDiskFull"}
    assert {each.created_by for each in found.values()} == {"first start"}

    def healths() -> list[str]:
        state = running.policies.state(found["HostDiskFull"].id)
        assert state["trouble"] == ""
        return [each["health"] for each in state["rules"]]

    stack.wait_until(lambda: healths() == ["ok"], 30, "the rule to be evaluated")
