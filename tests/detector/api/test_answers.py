from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from detector import access, alerts, errors
from tests.detector.api.conftest import Served
from tests.factories import at, notification

LABELS = (("alertname", "HighCpu"), ("instance", "web-1"))
NEW = {"name": "Door open", "severity": "high", "summary": "the back door"}


@pytest.fixture
def fires(served: Served) -> Served:
    """Alert 1, and two others like it."""
    for number in (1, 2, 3):
        labels = (("alertname", "HighCpu"), ("instance", f"web-{number}"))
        served.alertmanager.post([alerts.Posted(labels, (), at(0), at(86_400))])
        one = notification(alerts.fingerprint_of(labels), labels=labels)
        served.store.record([one], received_at=at(0))
    return served


def put(served: Served, body: object) -> requests.Response:
    return served.ask("PUT", "/api/alerts/1", body)


def test_alert_is_acknowledged_by_who_asks(fires: Served) -> None:
    token = fires.token(access.Role.OPERATOR, "ann")
    body = {"action": "acknowledge", "note": "looking", "for": "30m"}
    answer = fires.send("PUT", "/api/alerts/1", token, body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (silence,) = fires.alertmanager.silences()
    assert (told["status"], told["owner"], told["warning"]) == ("acknowledged", "ann", "")
    assert told["silence_id"] == silence.id
    assert silence.ends_at == at(1800)
    assert told["transitions"][-1] == {
        "state": "acknowledged",
        "received_at": "2026-03-01T12:00:00Z",
        "by": "ann",
        "note": "looking",
        "feedback": None,
    }
    again = fires.send("PUT", "/api/alerts/1", token, body)
    assert again.status_code == 409
    assert again.json()["detail"].startswith("alert 1: ann has acknowledged it already")
    back = fires.send("PUT", "/api/alerts/1", token, {"action": "unacknowledge"})
    assert back.json()["status"] == "firing"


def test_alert_is_silenced_for_a_reason(fires: Served) -> None:
    answer = put(fires, {"action": "silence", "reason": "a move", "for": "2h"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "silenced"
    assert fires.alertmanager.silences()[0].comment == "mda: a move"


def test_alert_is_silenced_for_planned_work(fires: Served) -> None:
    answer = put(fires, {"action": "silence", "reason": "a move", "for": "2h", "planned": True})
    assert answer.status_code == 200, answer.text
    assert fires.alertmanager.silences()[0].comment == "mda planned: a move"


def test_broad_silence_of_an_alert_is_shown_and_confirmed(fires: Served) -> None:
    matchers = [{"name": "instance", "value": "web-.*", "is_regex": True}]
    body = {"action": "silence", "reason": "a move", "for": "2h", "matchers": matchers}
    shown = fires.ask("PUT", "/api/alerts/1", body)
    assert shown.status_code == 409
    told = shown.json()
    assert (told["muted"], told["firing"], told["muted_in_30_days"]) == (3, 3, 3)
    assert told["reasons"] == [
        "no matcher says exactly what a label is",
        "it mutes 3 of the 3 alerts that fire now (silences.confirm_above_ratio)",
    ]
    assert {"alertname": "HighCpu", "instance": "web-2"} in told["some"]
    made = fires.ask("PUT", "/api/alerts/1", body | {"confirm": told["confirm"]})
    assert made.status_code == 200, made.text


def test_matchers_that_alertmanager_does_not_take_are_the_sender_s_fault(fires: Served) -> None:
    fires.alertmanager.failure = errors.UpstreamError(
        "Alertmanager http://a: answered 400: bad matcher format", kind="refused", retryable=False
    )
    matchers = [{"name": "instance", "value": "(", "is_regex": True}]
    body = {"action": "silence", "reason": "a move", "for": "2h", "matchers": matchers}
    answer = fires.ask("PUT", "/api/alerts/1", body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("matchers: Alertmanager http://a: answered 400")


def test_alert_of_a_rule_is_ended_only_if_that_is_meant(fires: Served) -> None:
    assert put(fires, {"action": "resolve"}).status_code == 409
    answer = put(fires, {"action": "resolve", "even_if_it_comes_back": True})
    assert answer.status_code == 200
    assert "raises it again" in answer.json()["warning"]


def test_alert_is_judged(fires: Served) -> None:
    body = {"action": "feedback", "feedback": "false_alarm", "note": "a backup"}
    answer = put(fires, body)
    assert answer.json()["feedback"] == "false_alarm"
    assert fires.get("/api/alerts/1").json()["transitions"][-1]["feedback"] == "false_alarm"
    assert put(fires, body).status_code == 409


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({}, "body", "action must be given"),
        ({"action": "ack"}, "body", "acknowledge, unacknowledge, silence, resolve, feedback"),
        ({"action": "acknowledge", "notes": ""}, "notes", "no such"),
        ({"action": "acknowledge", "for": "2d"}, "for", "from 1m to 24h is allowed"),
        ({"action": "acknowledge", "for": "0s"}, "for", "from 1m to 24h is allowed"),
        ({"action": "acknowledge", "owner": "a\nb"}, "owner", "one line"),
        ({"action": "silence", "for": "1h"}, "reason", "it must be given"),
        ({"action": "silence", "reason": " ", "for": "1h"}, "reason", "a reason is needed"),
        ({"action": "silence", "reason": "x"}, "for", "it must be given"),
        (
            {"action": "silence", "reason": "x", "for": "1h", "matchers": []},
            "matchers",
            "at least 1",
        ),
        ({"action": "feedback"}, "feedback", "it must be given"),
        ({"action": "feedback", "feedback": "false"}, "feedback", "false_alarm"),
        ({"action": "feedback", "feedback": "true", "note": "x" * 2001}, "note", "2000"),
    ],
)
def test_body_that_is_wrong_is_named_with_what_is_allowed(
    fires: Served, body: dict[str, object], field: str, allowed: str
) -> None:
    answer = fires.ask("PUT", "/api/alerts/1", body)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert (fault["field"], allowed in fault["allowed"]) == (field, True), fault


def test_who_may_read_may_not_change(fires: Served) -> None:
    token = fires.token(access.Role.VIEWER)
    body = {"action": "acknowledge"}
    assert fires.send("PUT", "/api/alerts/1", token, body).status_code == 403
    assert fires.send("POST", "/api/alerts", token, NEW).status_code == 403
    assert fires.alertmanager.silences() == ()


def test_unknown_alert_and_servers_that_are_away_are_said(fires: Served) -> None:
    body = {"action": "acknowledge"}
    assert fires.ask("PUT", "/api/alerts/17", body).status_code == 404
    fires.alertmanager.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    assert fires.ask("PUT", "/api/alerts/1", body).status_code == 503
    fires.alertmanager.failure = None
    fires.store.failure = errors.StoreError("gone", retryable=True)
    assert fires.ask("PUT", "/api/alerts/1", body).status_code == 503


def test_alert_is_raised_and_ended(served: Served) -> None:
    token = served.token(access.Role.OPERATOR, "ann")
    body = NEW | {"team": "house", "labels": {"door": "back"}, "for": "2h", "runbook": "http://r/1"}
    answer = served.send("POST", "/api/alerts", token, body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    labels = {"alertname": "Door open", "door": "back", "severity": "high", "team": "house"}
    assert told["alert"]["labels"] == labels
    assert told["alert"]["annotations"] == {
        "raised_by": "ann",
        "runbook": "http://r/1",
        "summary": "the back door",
    }
    assert told["until"] == "2026-03-01T14:00:00Z"
    assert told["fingerprint"] == alerts.fingerprint_of(tuple(labels.items()))
    (held,) = served.alertmanager.held()
    assert dict(held.labels) == labels
    assert served.send("POST", "/api/alerts", token, body).status_code == 409
    served.clock.pass_(timedelta(minutes=1))
    number = told["alert"]["id"]
    ended = served.send("PUT", f"/api/alerts/{number}", token, {"action": "resolve"})
    assert (ended.status_code, ended.json()["status"]) == (200, "resolved")
    assert ended.json()["transitions"][-1]["by"] == "ann"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "Watchdog"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"severity": "loud"}, "severity"),
        ({"summary": ""}, "summary"),
        ({"labels": {"a b": "c"}}, "labels.a b.[key]"),
        ({"labels": {"alertname": "c"}}, "labels.alertname.[key]"),
        ({"labels": {"__name__": "c"}}, "labels.__name__.[key]"),
        ({"labels": {"policy_rule": "1"}}, "labels.policy_rule.[key]"),
        ({"labels": {"a": ""}}, "labels.a"),
        ({"labels": {"a": "x" * 1001}}, "labels.a"),
        ({"labels": {f"a{n}": "x" for n in range(31)}}, "labels"),
        ({"for": "59s"}, "for"),
        ({"for": "31d"}, "for"),
        ({"fo": "1h"}, "fo"),
    ],
)
def test_alert_that_cannot_be_raised_is_refused_in_words(
    served: Served, wrong: dict[str, object], field: str
) -> None:
    answer = served.ask("POST", "/api/alerts", NEW | wrong)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert served.alertmanager.held() == ()


def test_hostile_values_are_text_and_no_more(served: Served) -> None:
    value = "<script>alert(1)</script>{{ .Labels }}\n'; DROP TABLE episodes --"
    body = NEW | {"labels": {"x": value}, "description": value}
    told = served.ask("POST", "/api/alerts", body).json()
    assert told["alert"]["labels"]["x"] == value
    assert told["alert"]["annotations"]["description"] == value
