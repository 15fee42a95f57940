from __future__ import annotations

import logging
import pathlib
import re
from typing import Any

import pytest
import requests

from detector import access, errors
from tests.detector.api.conftest import API_TOKEN, Served

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
VIEWER, OPERATOR, ADMIN = access.Role


def make(served: Served, body: object, token: str = API_TOKEN) -> requests.Response:
    return served.send("POST", "/api/tokens", token, body)


def listed(served: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.get("/api/tokens").json()["tokens"]
    return found


def test_token_is_made_and_told_once(served: Served) -> None:
    answer = make(served, {"name": "ci", "role": "operator", "expires_in": "90d"})

    body = answer.json()
    text = body.pop("token")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert body == {
        "id": 1,
        "name": "ci",
        "role": "operator",
        "created_at": "2026-03-01T12:00:00Z",
        "created_by": "token file",
        "expires_at": "2026-05-30T12:00:00Z",
        "last_used_at": None,
    }
    assert listed(served) == [body]
    assert served.send("GET", "/api/whoami", text).json() == {"name": "ci", "role": "operator"}


def test_the_example_on_the_page_makes_a_token(served: Served) -> None:
    (body,) = re.findall(r"/api/tokens \\\n  -d '(.+?)'", PAGE)
    answer = make(served, body.encode())
    assert (answer.status_code, answer.json()["name"]) == (201, "grafana")


def test_it_is_recorded_who_made_a_token_and_when_it_was_used(served: Served) -> None:
    anna = served.token(ADMIN, "anna")
    text = make(served, {"name": "ci", "role": "viewer"}, anna).json()["token"]
    served.send("GET", "/api/whoami", text)

    by_name = {each["name"]: each for each in listed(served)}
    assert by_name["ci"]["created_by"] == "anna"
    assert by_name["ci"]["expires_at"] is None
    assert by_name["ci"]["last_used_at"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("expires_in", "expires_at"),
    [
        (None, None),
        (90, "2026-03-01T12:01:30Z"),
        ("90", "2026-03-01T12:01:30Z"),
        ("1h30m", "2026-03-01T13:30:00Z"),
        ("3650d", "2036-02-27T12:00:00Z"),
    ],
)
def test_life_is_told_as_durations_are(
    served: Served, expires_in: object, expires_at: str | None
) -> None:
    answer = make(served, {"name": "ci", "role": "viewer", "expires_in": expires_in})
    assert answer.json()["expires_at"] == expires_at


def test_name_that_is_taken_is_a_conflict(served: Served) -> None:
    make(served, {"name": "ci", "role": "viewer"})
    answer = make(served, {"name": "ci", "role": "admin"})

    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "name: 'ci': another token has this name: choose another one, or revoke that token first"
    )
    assert "token" not in answer.json()
    assert [each["role"] for each in listed(served)] == ["viewer"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"name": "two words"}, "name", "letters, digits"),
        ({"name": "token file"}, "name", "letters, digits"),
        ({"name": ""}, "name", "letters, digits"),
        ({"name": "x" * 65}, "name", "1 to 64"),
        ({"name": 5}, "name", "string"),
        ({"name": None}, "name", "string"),
        ({"role": "root"}, "role", "'viewer', 'operator' or 'admin'"),
        ({"role": None}, "role", "'viewer', 'operator' or 'admin'"),
        ({"expires_in": "soon"}, "expires_in", "a number of seconds or a duration"),
        ({"expires_in": 0}, "expires_in", "from 1s to 3650d"),
        ({"expires_in": -1}, "expires_in", "from 1s to 3650d"),
        ({"expires_in": "3651d"}, "expires_in", "from 1s to 3650d"),
        ({"expires_in": "9" * 400 + "d"}, "expires_in", "a number of seconds or a duration"),
        ({"expires_in": "inf"}, "expires_in", "a number of seconds or a duration"),
        ({"expires_in": True}, "expires_in", "a number of seconds or a duration"),
        ({"scope": "all"}, "scope", "no such parameter"),
    ],
)
def test_wrong_wish_is_refused_with_what_is_allowed(
    served: Served, change: dict[str, object], field: str, said: str
) -> None:
    answer = make(served, {"name": "ci", "role": "viewer"} | change)

    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["field"], said in problem["allowed"]) == (field, True), problem
    assert listed(served) == []


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"{", 400, "body: Invalid JSON"),
        (b"", 400, "body: Invalid JSON"),
        (b"[]", 422, "body: "),
        (b"{}", 422, "name: it must be given; role: it must be given"),
    ],
)
def test_what_is_no_wish_is_refused(served: Served, body: bytes, status: int, detail: str) -> None:
    answer = make(served, body)
    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (status, True)


def test_revoked_token_is_gone(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.token(ADMIN, "anna")
    make(served, {"name": "ci", "role": "viewer"})

    with caplog.at_level(logging.INFO):
        answer = served.send("DELETE", "/api/tokens/2", API_TOKEN)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert [each["name"] for each in listed(served)] == ["anna"]
    (record,) = [each for each in caplog.records if each.message == "token revoked"]
    told = {key: vars(record)[key] for key in ("id", "token", "role", "by")}
    assert told == {"id": 2, "token": "ci", "role": "viewer", "by": "token file"}


@pytest.mark.parametrize(
    ("token_id", "status", "said"),
    [("7", 404, "token_id: 7: no token has this id"), ("0", 422, "token_id"), ("x", 422, "x")],
)
def test_token_that_is_not_there_cannot_be_revoked(
    served: Served, token_id: str, status: int, said: str
) -> None:
    answer = served.send("DELETE", f"/api/tokens/{token_id}", API_TOKEN)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True)


def test_store_that_is_down_is_said(served: Served) -> None:
    served.tokens.failure = errors.StoreError("PostgreSQL: gone", retryable=True)
    assert served.get("/api/tokens").status_code == 503
    assert make(served, {"name": "ci", "role": "viewer"}).status_code == 503
    assert served.send("DELETE", "/api/tokens/1", API_TOKEN).status_code == 503


def test_the_body_of_a_new_token_is_described(served: Served) -> None:
    post = served.app.openapi()["paths"]["/api/tokens"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name", "role"]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"name", "role", "expires_in"}
