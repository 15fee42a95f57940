"""Watchdog over the webhook, and whether it has come lately."""

from __future__ import annotations

from datetime import timedelta

import requests

from detector import errors
from tests.detector.api.conftest import LATE_AFTER, WEBHOOK_TOKEN, Served
from tests.detector.api.test_webhook import message


def deliver(served: Served, evaluated_at: str, *more: dict[str, object]) -> requests.Response:
    body = message(
        {
            "labels": {"alertname": "Watchdog", "severity": "none"},
            "annotations": {"evaluated_at": evaluated_at},
        },
        *more,
    )
    return requests.post(
        f"{served.url}/api/webhooks/heartbeat",
        json=body,
        headers={"Authorization": f"Bearer {WEBHOOK_TOKEN}"},
        timeout=10,
    )


def test_it_is_passed_on_and_503_where_that_fails(served: Served) -> None:
    assert deliver(served, "10").json() == {"news": True}
    assert deliver(served, "10").json() == {"news": False}
    served.outside.failure = errors.UpstreamError("heartbeat away", kind="status", retryable=True)
    answer = deliver(served, "85")
    assert (answer.status_code, answer.json()["detail"]) == (503, "heartbeat away")
    served.outside.failure = None
    assert deliver(served, "85").json() == {"news": True}
    assert len(served.outside.told) == 2


def test_what_cannot_be_understood_is_refused_and_the_good_one_is_heard(served: Served) -> None:
    answer = deliver(served, "10", {"status": "odd"})
    assert (answer.status_code, len(served.outside.told)) == (422, 1)
    assert answer.json()["detail"].startswith("alerts.1.status: ")


def test_it_is_not_remembered_by_whatever_road_it_comes(served: Served) -> None:
    deliver(served, "10")
    watchdog = {"labels": {"alertname": "Watchdog"}}
    answer = served.post(message(watchdog, {}))
    assert answer.json() == {"stored": 1, "duplicate": 0}
    (found,) = served.get("/api/alerts").json()["alerts"]
    assert found["labels"]["alertname"] == "HighCpu"


def test_the_probe_says_whether_it_has_come_lately(served: Served) -> None:
    url = f"{served.url}/-/watchdog"
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 503
    assert answer.json()["came_at"] is None
    assert answer.json()["detail"].startswith("no Watchdog yet: ")
    deliver(served, "10")
    served.clock.pass_(LATE_AFTER)
    answer = requests.get(url, timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"came_at": "2026-03-01T12:00:00Z"})
    assert requests.head(url, timeout=5).status_code == 200
    served.clock.pass_(timedelta(seconds=1))
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("no Watchdog for 181 s: ")
