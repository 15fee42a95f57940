"""Policies for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from detector import config
from detector.policy import compiler, documents
from detector.policy.conditions import base

NOW = datetime(2026, 11, 27, tzinfo=UTC)
GIVEN = base.Given(config.Thresholds(), NOW)
ALERT = {"type": "alert", "severity": "high", "message": "CPU usage is above threshold"}


def above(threshold: float = 80.0, **more: Any) -> dict[str, Any]:
    """A condition on the CPU."""
    return {
        "type": "metric_threshold",
        "metric_name": "cpu_percent",
        "operator": "gt",
        "threshold": threshold,
        **more,
    }


def tree(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A policy of these conditions, the first with the lowest priority number."""
    return {
        "name": "High CPU Alert",
        "rules": [
            {"condition": each, "action": dict(ALERT), "priority": number}
            for number, each in enumerate(conditions, 1)
        ],
        **more,
    }


def rules(*conditions: dict[str, Any], **more: Any) -> list[compiler.AlertingRule]:
    """Its rules, of revision 3."""
    document = documents.parse(tree(*conditions, **more), "policy")
    return compiler.rules(document, 3, GIVEN)


def expr(condition: dict[str, Any]) -> str:
    """The PromQL of a condition that stands alone."""
    return rules(condition)[0].expr
