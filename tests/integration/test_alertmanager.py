"""Alerts ended at a real Alertmanager."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from detector import errors
from detector.alertmanager import alerts, client
from tests import stack
from tests.conftest import MakeAlertmanager

RULE = {"policy": "High CPU", "policy_rule": "1", "policy_revision": "1"}


def post(url: str, **labels: str) -> None:
    now = datetime.now(UTC)
    body = [
        {
            "labels": {"alertname": "High CPU", **labels},
            "annotations": {"summary": "busy"},
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=4)).isoformat(),
        }
    ]
    requests.post(f"{url}/api/v2/alerts", json=body, timeout=10).raise_for_status()


def held(url: str) -> list[dict[str, Any]]:
    """Labels of the alerts that fire."""
    found = requests.get(f"{url}/api/v2/alerts", timeout=10).json()
    return sorted((each["labels"] for each in found), key=lambda each: each["instance"])


def test_alerts_with_these_labels_are_ended_and_no_others(alertmanager: MakeAlertmanager) -> None:
    url = alertmanager().url
    post(url, instance="a", cluster="added by Prometheus", **RULE)
    post(url, instance="b", **RULE)
    post(url, instance="a", **{**RULE, "policy_revision": "2"})
    post(url, instance="c")
    labels = tuple(sorted({"instance": "a", "alertname": "High CPU", **RULE}.items()))
    holder = alerts.Ender(client.Client(url))
    assert holder.end([labels], at=datetime.now(UTC)) == 1
    stack.wait_until(lambda: len(held(url)) == 3, 5, "the alert to end")
    assert [each["instance"] for each in held(url)] == ["a", "b", "c"]
    assert holder.end([(("instance", "z"),)], at=datetime.now(UTC)) == 0


def test_an_alertmanager_that_does_not_answer_is_told() -> None:
    url = f"http://127.0.0.1:{stack.free_port()}"
    with pytest.raises(errors.UpstreamError, match=rf"Alertmanager {url}: cannot be reached"):
        alerts.Ender(client.Client(url)).end([()], at=datetime.now(UTC))


def test_what_is_no_alertmanager_is_told(alertmanager: MakeAlertmanager) -> None:
    url = alertmanager().url
    with pytest.raises(errors.UpstreamError, match="answered 404"):
        alerts.Ender(client.Client(f"{url}/nothing")).end([()], at=datetime.now(UTC))
