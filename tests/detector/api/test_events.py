"""Events as Alertmanager 0.33.1 posted them."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import requests

from detector import alerts, errors
from tests.detector.api.conftest import API_TOKEN, WEBHOOK_TOKEN, Served
from tests.factories import at, delivery, notification

ALERTS = """
[
  {"hash": "2373907612723889506",
   "details": {"fingerprint": "11383439417193926807", "name": "X",
     "labels": {"labels": [{"key": "alertname", "value": "X"}]},
     "annotations": {}, "startsAt": "2026-03-01T12:00:00.123456Z",
     "endsAt": "2026-03-01T12:01:00Z", "resolved": true}},
  {"hash": "15252010266866020584",
   "details": {"fingerprint": "11183278905640258858", "name": "X",
     "labels": {"labels": [{"key": "alertname", "value": "X"}, {"key": "i", "value": "2"}]},
     "annotations": {"labels": [{"key": "summary", "value": "s"}]},
     "startsAt": "2026-03-01T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}}
]
"""
ENDED, FIRING = "9dfa19d680061097", "9b32fce9c2ce8d2a"
CREATED = """
{"@timestamp": "2026-03-01T12:00:05.035048711Z", "instance": "vm",
 "data": {"alertCreated": {"alert": {"fingerprint": "11183278905640258858", "name": "X",
   "labels": {"labels": [{"key": "alertname", "value": "X"}]}, "annotations": {},
   "startsAt": "2026-03-01T12:00:00Z", "endsAt": "2026-03-01T12:17:01.034965625Z"}}}}
"""


def told(**changed: Any) -> dict[str, Any]:
    return {
        "@timestamp": "2026-03-01T12:01:07.041847877Z",
        "instance": "vm",
        "data": {
            "notification": {
                "alerts": json.loads(ALERTS),
                "firingAlerts": [{"hash": "15252010266866020584"}],
                "resolvedAlerts": [{"hash": "2373907612723889506"}],
                "groupInfo": {
                    "groupKey": '{}:{alertname="X"}',
                    "groupLabels": {"labels": [{"key": "alertname", "value": "X"}]},
                    "groupId": "25fb0bff77cf7f88",
                    "receiverName": "email",
                    "groupUuid": "46cceb1d-ebee-4e7e-8960-855d1b428436",
                },
                "repeatInterval": "5s",
                "reason": "NOTIFY_REASON_NEW_RESOLVED_ALERTS",
                "flushId": "4",
                "integration": {"name": "email"},
            }
            | changed
        },
    }


def post(served: Served, body: object) -> requests.Response:
    return served.send("POST", "/api/webhooks/events", WEBHOOK_TOKEN, body)


def test_a_message_is_kept_for_each_alert_by_the_name_that_the_api_has(served: Served) -> None:
    answer = post(served, told())
    assert (answer.status_code, answer.json()) == (200, {"stored": 2})
    when = at(67.041847)
    ended = delivery(ENDED, starts_at=at(0.123), state=alerts.State.RESOLVED, at=when)
    assert served.deliveries.about(ended.key) == (ended,)
    fires = delivery(FIRING, at=when)
    assert served.deliveries.about(fires.key) == (fires,)
    assert post(served, told()).json() == {"stored": 0}
    assert served.events == {"kept": 2}


@pytest.mark.parametrize("index", [1, "1"])
def test_one_of_several_integrations_has_its_place(served: Served, index: object) -> None:
    assert post(served, told(integration={"name": "slack", "index": index})).json()["stored"] == 2
    (kept,) = served.deliveries.about(delivery(FIRING).key)
    assert kept.integration == "slack[1]"


@pytest.mark.parametrize(
    "body",
    [
        CREATED.encode(),
        {"@timestamp": "2026-03-01T12:01:07Z", "data": {"alertmanagerShutdownEvent": {}}},
        {"@timestamp": "2026-03-01T12:01:07Z", "data": {}},
        *(
            told(groupInfo={"receiverName": name})
            for name in ("memory", "heartbeat", "sms", "sms-payments", "notify-signal")
        ),
        told(alerts=[]),
    ],
)
def test_what_tells_of_no_person_is_passed_over(served: Served, body: object) -> None:
    answer = post(served, body)
    assert (answer.status_code, answer.json()) == (200, {"stored": 0})
    assert served.events == {"passed_over": 1}


GROUPED = CREATED.replace('"alertCreated": {"alert"', '"alertGrouped":{"alert"')


@pytest.mark.parametrize("event", [CREATED, GROUPED, GROUPED.replace(" ", "")])
@pytest.mark.parametrize("token", [None, API_TOKEN, f"{WEBHOOK_TOKEN}x"])
def test_nothing_is_passed_over_for_who_bears_no_token(
    served: Served, event: str, token: str | None
) -> None:
    assert served.send("POST", "/api/webhooks/events", token, event.encode()).status_code == 401
    assert served.events == {}
    assert post(served, event.encode()).json() == {"stored": 0}
    assert served.events == {"passed_over": 1}


def test_a_name_that_says_it_is_another_event_is_none(served: Served) -> None:
    event = {"instance": '"data":{"alertGrouped"'} | told()
    assert post(served, event).json() == {"stored": 2}
    assert served.events == {"kept": 1}


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_others(served: Served) -> None:
    head = (
        "POST /api/webhooks/events HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
        f"Authorization: Bearer {WEBHOOK_TOKEN}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")


def changed(**details: object) -> dict[str, Any]:
    alert = json.loads(ALERTS)[1]
    return told(alerts=[{"details": {**alert["details"], **details}}])


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"{", 400, "body: "),
        (b"[]", 422, ""),
        ({"data": {}}, 422, "@timestamp"),
        (told(groupInfo={}), 422, "data.notification.groupInfo.receiverName"),
        (told(integration="email"), 422, "data.notification.integration"),
        (changed(fingerprint="9b32fce9c2ce8d2a"), 422, "details.fingerprint"),
        (changed(fingerprint=str(2**64)), 422, "at most 18446744073709551615"),
        (changed(fingerprint="\u0661"), 422, "details.fingerprint"),
        (changed(startsAt="yesterday"), 422, "details.startsAt"),
    ],
)
def test_what_is_no_event_is_refused_and_counted(
    served: Served, body: object, status: int, detail: str
) -> None:
    answer = post(served, body)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert served.events == {"refused": 1}


def test_a_store_that_is_away_is_told_so_that_alertmanager_tries_again(served: Served) -> None:
    served.deliveries.failure = errors.StoreError("PostgreSQL: refused", retryable=True)
    assert post(served, told()).status_code == 503
    assert served.events == {"failed": 1}


def test_an_alert_tells_whom_its_receivers_have_told(served: Served) -> None:
    heard = notification(FIRING)
    served.store.record([heard], received_at=at(5))
    key = (heard.fingerprint, heard.starts_at)
    served.store.learn({key: ((alerts.RECEIVERS, "email, memory, slack"),)})
    post(served, told())
    plain = {"recipient": "", "provider": "", "reason": "", "of": None}
    assert served.get("/api/alerts/1").json()["deliveries"] == [
        plain
        | {
            "channel": "email",
            "provider": "email",
            "state": "sent",
            "at": "2026-03-01T12:01:07.041847Z",
            "of": "firing",
        },
        plain
        | {
            "channel": "slack",
            "state": "unknown_per_alert",
            "at": None,
            "reason": "not known per alert: see alertmanager_notifications_total and _failed_total",
        },
    ]
