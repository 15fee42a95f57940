from __future__ import annotations

from datetime import timedelta

import pytest

from detector import access, alerts, errors
from tests.detector.api.conftest import Served
from tests.factories import at

WEB = {"name": "instance", "value": "web-1"}
BODY = {"matchers": [WEB], "for": "2h", "reason": "a move"}


def test_silence_is_made_listed_and_ended(served: Served) -> None:
    token = served.token(access.Role.OPERATOR, "ann")
    made = served.send("POST", "/api/silences", token, BODY)
    assert made.status_code == 201, made.text
    listed = served.get("/api/silences").json()["silences"]
    assert listed == [
        {
            "id": made.json()["id"],
            "state": "active",
            "matchers": [WEB | {"is_regex": False, "is_equal": True}],
            "starts_at": "2026-03-01T12:00:00Z",
            "ends_at": "2026-03-01T14:00:00Z",
            "created_by": "ann",
            "comment": "mda: a move",
        }
    ]
    served.clock.pass_(timedelta(minutes=1))
    path = f"/api/silences/{made.json()['id']}"
    assert served.send("DELETE", path, token).status_code == 204
    assert served.get("/api/silences").json()["silences"] == []
    assert len(served.get("/api/silences", state="expired").json()["silences"]) == 1
    again = served.send("DELETE", path, token)
    assert (again.status_code, "over since 2026-03-01 12:01" in again.text) == (409, True)


def test_silences_that_end_first_stand_first(served: Served) -> None:
    for hours in (3, 1, 2):
        served.ask("POST", "/api/silences", BODY | {"for": f"{hours}h"})
    found = served.get("/api/silences").json()["silences"]
    assert [each["ends_at"][11:13] for each in found] == ["13", "14", "15"]


def test_broad_silence_is_shown_and_confirmed(served: Served) -> None:
    posted = [
        alerts.Posted((("instance", f"web-{n}"), ("job", "web")), (), at(0), at(600))
        for n in range(12)
    ]
    served.alertmanager.post(posted)
    body = BODY | {"matchers": [{"name": "job", "value": "web"}]}
    shown = served.ask("POST", "/api/silences", body)
    assert shown.status_code == 409
    told = shown.json()
    assert told["detail"] == (
        "it mutes 12 alerts that fire now (silences.confirm_above): it would mute 12 of 12 alerts "
        "that fire, and would have muted 0 in 30 days: send the same again with confirm to make it"
    )
    assert (told["confirm_until"], len(told["some"])) == ("2026-03-01T12:10:00Z", 10)
    assert served.ask("POST", "/api/silences", body | {"confirm": "x"}).status_code == 409
    confirmed = served.ask("POST", "/api/silences", body | {"confirm": told["confirm"]})
    assert confirmed.status_code == 201


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"matchers": []}, "matchers"),
        ({"matchers": [WEB | {"name": ""}]}, "matchers.0.name"),
        ({"matchers": [WEB | {"isRegex": True}]}, "matchers.0.isRegex"),
        ({"for": "30s"}, "for"),
        ({"for": "367d"}, "for"),
        ({"reason": ""}, "reason"),
        ({"until": "x"}, "until"),
    ],
)
def test_body_that_is_wrong_is_named(served: Served, wrong: dict[str, object], field: str) -> None:
    answer = served.ask("POST", "/api/silences", BODY | wrong)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_what_alertmanager_does_not_take_is_the_sender_s_fault(served: Served) -> None:
    served.alertmanager.failure = errors.UpstreamError(
        "Alertmanager http://a: answered 400: bad matcher format", kind="refused", retryable=False
    )
    answer = served.ask("POST", "/api/silences", BODY)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("matchers: Alertmanager http://a: answered 400")


def test_alertmanager_that_is_away_is_said(served: Served) -> None:
    served.alertmanager.failure = errors.UpstreamError("away", kind="timeout", retryable=True)
    for method, path in (
        ("GET", "/api/silences"),
        ("POST", "/api/silences"),
        ("DELETE", "/api/silences/x"),
    ):
        assert served.ask(method, path, BODY).status_code == 503


def test_unknown_silence_is_not_found(served: Served) -> None:
    assert served.ask("DELETE", "/api/silences/x").status_code == 404
