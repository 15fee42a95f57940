from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from detector import alerts, errors
from tests.detector.api.conftest import Served

ALERT = {
    "status": "firing",
    "labels": {"alertname": "HighCpu", "instance": "web-1"},
    "annotations": {"summary": "CPU is at 93 %"},
    "startsAt": "2026-03-01T12:00:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph",
    "fingerprint": "a1b2c3d4e5f60718",
}
MESSAGE = {
    "version": "4",
    "groupKey": '{}:{alertname="HighCpu"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "memory",
    "groupLabels": {"alertname": "HighCpu"},
    "commonLabels": {"alertname": "HighCpu", "instance": "web-1"},
    "commonAnnotations": {"summary": "CPU is at 93 %"},
    "externalURL": "http://alertmanager.example",
    "alerts": [ALERT],
}


def message(*changed: dict[str, Any], **top: Any) -> dict[str, Any]:
    """A message with these changes to its alert (one alert for each), then to itself."""
    given = [ALERT | change for change in changed] or [ALERT]
    return copy.deepcopy(MESSAGE) | {"alerts": given} | top


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def stored(served: Served) -> tuple[alerts.Episode, ...]:
    return served.store.list_episodes(alerts.EpisodeFilter()).episodes


def test_message_is_stored_and_counted(served: Served) -> None:
    answer = served.post(MESSAGE)
    assert (answer.status_code, answer.json()) == (200, {"stored": 1, "duplicate": 0})
    (episode,) = stored(served)
    assert episode.labels == (("alertname", "HighCpu"), ("instance", "web-1"))
    assert episode.starts_at.isoformat() == "2026-03-01T12:00:00.123000+00:00"
    assert episode.ends_at is None
    assert served.counted == {"stored": 1, "duplicate": 0}


def test_repeated_message_is_a_duplicate(served: Served) -> None:
    served.post(MESSAGE)
    before = stored(served)
    assert served.post(MESSAGE).json() == {"stored": 0, "duplicate": 1}
    assert stored(served) == before
    assert served.counted == {"stored": 1, "duplicate": 1}


@pytest.mark.parametrize(
    "body",
    [
        message(notification_reason="new alerts", futureKey={"a": [1]}),
        message({"newAlertKey": 5}),
        message({"annotations": None}),
        without(message(), "truncatedAlerts"),
        without(message(), "receiver"),
        message({"endsAt": None}),
        message({"startsAt": "2026-03-01T13:00:00.1+01:00"}),
        message({"labels": {"a": "x" * 200_000}}),
        message({"labels": {"nul": "a\x00b", "emoji": "\N{FIRE}"}}),
        message(truncatedAlerts=7),
    ],
)
def test_messages_of_other_versions_and_odd_text_are_stored(
    served: Served, body: dict[str, Any]
) -> None:
    answer = served.post(body)
    assert (answer.status_code, answer.text) == (200, '{"stored":1,"duplicate":0}')


def test_message_without_alerts_is_fine(served: Served) -> None:
    assert served.post(message(alerts=[])).json() == {"stored": 0, "duplicate": 0}


def test_alert_that_fires_is_told_to_end_never_before_it_does(served: Served) -> None:
    served.post(message({"endsAt": "2026-03-01T12:05:00Z"}))
    assert stored(served)[0].ends_at is None


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"\xff\xfe", 400, ""),
        (b'{"version": "4", "alerts": [{"labels": {"a": "\xff"}}]}', 400, ""),
        (b'{"version": "4", "alerts": [{"labels": {"a": "\\ud800"}}]}', 400, ""),
        (b"[" * 100_000, 400, ""),
        (b'{"alerts":' * 50_000, 400, ""),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b"5", 422, "body"),
        (message(version="5"), 422, "version"),
        (message(version=4), 422, "version"),
        (without(message(), "version"), 422, "version"),
        (without(message(), "alerts"), 422, "alerts"),
        (message(alerts={}), 422, "alerts"),
        (message(alerts=None), 422, "alerts"),
        (message(truncatedAlerts="many"), 422, "truncatedAlerts"),
        (message(alerts=[5]), 422, "alerts.0"),
        (message(alerts=[without(ALERT, "labels")]), 422, "alerts.0.labels"),
        (message(alerts=[without(ALERT, "status")]), 422, "alerts.0.status"),
        (message(alerts=[without(ALERT, "startsAt")]), 422, "alerts.0.startsAt"),
        (message(alerts=[without(ALERT, "fingerprint")]), 422, "alerts.0.fingerprint"),
        (message({"status": "pending"}), 422, "alerts.0.status"),
        (message({"labels": {"a": 5}}), 422, "alerts.0.labels.a"),
        (message({"labels": None}), 422, "alerts.0.labels"),
        (message({"fingerprint": ""}), 422, "alerts.0.fingerprint"),
        (message({"fingerprint": "x" * 10_000}), 422, "alerts.0.fingerprint"),
        (message({"startsAt": "yesterday"}), 422, "alerts.0.startsAt"),
        (message({"startsAt": "2026-02-30T12:00:00Z"}), 422, "alerts.0.startsAt"),
        (message({"startsAt": "2026-03-01T12:00:00"}), 422, "alerts.0.startsAt"),
        (message({"startsAt": "1767225600"}), 422, "alerts.0.startsAt"),
        (message({"startsAt": 1767225600}), 422, "alerts.0.startsAt"),
        (message({"startsAt": "0001-01-01T00:00:00+14:00"}), 422, "alerts.0.startsAt"),
        (message({"startsAt": "9999-12-31T23:59:59-14:00"}), 422, "alerts.0.startsAt"),
        (message({"status": "resolved"}), 422, "alerts.0"),
        (message({"status": "resolved", "endsAt": None}), 422, "alerts.0"),
        (message({"status": "resolved", "endsAt": "2026-03-01T11:59:59Z"}), 422, "alerts.0"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(
    served: Served, body: object, status: int, field: str
) -> None:
    answer = served.post(body, **{"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"].startswith(field or "body: ")
    assert [each["field"] for each in problem["errors"]][:1] == ([field] if field else [])
    assert stored(served) == ()
    assert served.counted.get("refused") == 1
    assert served.post(MESSAGE).status_code == 200


def test_good_alerts_of_a_refused_message_are_stored(served: Served) -> None:
    body = message({"fingerprint": "good"}, {"status": "odd"}, {"startsAt": 5, "labels": 6})
    answer = served.post(body)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [
        "alerts.1.status",
        "alerts.2.labels",
        "alerts.2.startsAt",
    ]
    assert [each.fingerprint for each in stored(served)] == ["good"]
    assert served.counted == {"stored": 1, "duplicate": 0, "refused": 2}


def test_thousand_mistakes_make_a_short_answer(served: Served) -> None:
    answer = served.post(message(*({"status": f"odd {n}"} for n in range(1000))))
    assert answer.status_code == 422
    assert len(answer.content) < 5000
    assert served.counted["refused"] == 1000


def test_store_that_is_down_asks_to_send_again(served: Served) -> None:
    served.store.failure = errors.StoreError("PostgreSQL: connection refused", retryable=True)
    answer = served.post(MESSAGE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "PostgreSQL: connection refused"
    served.store.failure = None
    assert served.post(MESSAGE).json() == {"stored": 1, "duplicate": 0}
    assert served.counted == {"failed": 1, "stored": 1, "duplicate": 0}


def test_store_that_refuses_is_a_server_error_too(served: Served) -> None:
    served.store.failure = errors.StoreError("PostgreSQL: no such column", retryable=False)
    answer = served.post(MESSAGE)
    assert answer.status_code == 500
    assert "no such column" not in answer.text


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_only_json_is_taken(served: Served, content_type: str, status: int) -> None:
    body = json.dumps(MESSAGE).encode()
    assert served.post(body, **{"Content-Type": content_type}).status_code == status
