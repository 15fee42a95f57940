"""Who may ask what: every route of the application against every kind of token."""

from __future__ import annotations

import logging
import pathlib
import re
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from fastapi import routing

from detector import access, errors
from detector.api import receipts
from detector.services import callers, issuing
from tests import stack
from tests.detector.api.conftest import API_TOKEN, SIGNER, WEBHOOK_TOKEN, Served
from tests.detector.api.test_webhook import MESSAGE
from tests.factories import notification

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
VIEWER, OPERATOR, ADMIN = access.Role
OPEN, WEBHOOK, SIGNED = "open", "webhook", "signed"

WANTED: dict[tuple[str, str], str] = {
    ("GET", "/-/healthy"): OPEN,
    ("HEAD", "/-/healthy"): OPEN,
    ("GET", "/-/ready"): OPEN,
    ("HEAD", "/-/ready"): OPEN,
    ("GET", "/-/watchdog"): OPEN,
    ("HEAD", "/-/watchdog"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("GET", "/docs"): OPEN,
    ("HEAD", "/docs"): OPEN,
    ("GET", "/docs/oauth2-redirect"): OPEN,
    ("HEAD", "/docs/oauth2-redirect"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("HEAD", "/openapi.json"): OPEN,
    ("POST", "/api/webhooks/alertmanager"): WEBHOOK,
    ("POST", "/api/webhooks/sms"): WEBHOOK,
    ("POST", "/api/webhooks/heartbeat"): WEBHOOK,
    ("POST", "/api/webhooks/events"): WEBHOOK,
    ("POST", "/api/webhooks/sms/{team}"): WEBHOOK,
    ("POST", "/api/webhooks/notify/{name}"): WEBHOOK,
    ("GET", "/api/receipts/{provider}/{reference}/{signature}"): SIGNED,
    ("POST", "/api/receipts/{provider}/{reference}/{signature}"): SIGNED,
    ("GET", "/api/charts/{fingerprint}/{starts_at_ms}/{expires}/{signature}.png"): SIGNED,
    ("GET", "/api/messages"): OPERATOR,
    ("GET", "/api/messages/{message_id}/events"): OPERATOR,
    ("GET", "/alerts/{action}/{fingerprint}/{starts_at_ms}/{expires}/{signature}"): SIGNED,
    ("HEAD", "/alerts/{action}/{fingerprint}/{starts_at_ms}/{expires}/{signature}"): SIGNED,
    ("POST", "/alerts/{action}/{fingerprint}/{starts_at_ms}/{expires}/{signature}"): SIGNED,
    ("GET", "/api/alerts"): VIEWER,
    ("GET", "/api/alerts/export"): VIEWER,
    ("GET", "/api/alerts/statistics"): VIEWER,
    ("GET", "/api/alerts/{alert_id}"): VIEWER,
    ("POST", "/api/alerts"): OPERATOR,
    ("PUT", "/api/alerts/{alert_id}"): OPERATOR,
    ("GET", "/api/silences"): VIEWER,
    ("POST", "/api/silences"): OPERATOR,
    ("DELETE", "/api/silences/{silence_id}"): OPERATOR,
    ("GET", "/api/anomalies"): VIEWER,
    ("GET", "/api/anomalies/{anomaly_id}"): VIEWER,
    ("GET", "/api/anomalies/{anomaly_id}/replay"): VIEWER,
    ("GET", "/api/incidents"): VIEWER,
    ("GET", "/api/incidents/{incident_id}"): VIEWER,
    ("GET", "/api/status"): VIEWER,
    ("GET", "/api/whoami"): VIEWER,
    ("GET", "/api/metrics"): VIEWER,
    ("POST", "/api/metrics/collect"): OPERATOR,
    ("POST", "/api/policies/preview"): VIEWER,
    ("GET", "/api/policies"): VIEWER,
    ("GET", "/api/policies/schema"): VIEWER,
    ("POST", "/api/policies/validate"): VIEWER,
    ("GET", "/api/policies/{policy_id}"): VIEWER,
    ("GET", "/api/policies/{policy_id}/revisions"): VIEWER,
    ("GET", "/api/policies/{policy_id}/revisions/{number}"): VIEWER,
    ("GET", "/api/policies/{policy_id}/diff"): VIEWER,
    ("POST", "/api/policies"): OPERATOR,
    ("POST", "/api/policies/apply"): OPERATOR,
    ("PUT", "/api/policies/{policy_id}"): OPERATOR,
    ("DELETE", "/api/policies/{policy_id}"): OPERATOR,
    ("POST", "/api/policies/{policy_id}/enable"): OPERATOR,
    ("POST", "/api/policies/{policy_id}/disable"): OPERATOR,
    ("POST", "/api/policies/{policy_id}/restore/{number}"): OPERATOR,
    ("POST", "/api/reload"): OPERATOR,
    ("GET", "/api/tokens"): ADMIN,
    ("POST", "/api/tokens"): ADMIN,
    ("DELETE", "/api/tokens/{token_id}"): ADMIN,
}
"""What each route wants. A new route stands here too, or the first test below fails."""

GUARDED = sorted(each for each, wanted in WANTED.items() if wanted not in (OPEN, SIGNED))
ABSENT_ID = "999999"
REASON = "PostgreSQL: canary-host refused the connection"


def test_every_route_of_the_application_stands_in_the_table(served: Served) -> None:
    found = {
        (method, route.path)
        for route in routing.iter_route_contexts(served.app.routes)
        for method in route.methods or {"any"}
    }
    assert found == set(WANTED)


def test_the_page_says_what_each_route_wants() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (/[^\s?`]+)\S*` \| (\w+)", PAGE, re.MULTILINE)
    said = {(method, re.sub(r"{\w+}", "{}", path)): role for method, path, role in rows}
    assert said == {
        (method, re.sub(r"{\w+}", "{}", path)): "none" if wanted == OPEN else wanted
        for (method, path), wanted in WANTED.items()
        if method != "HEAD" and not path.startswith(("/docs", "/openapi"))
    }


def ask(served: Served, method: str, path: str, token: str | None) -> requests.Response:
    """The answer of a route to this token; what it changes, if it lets pass, is not there."""
    served.reloads[:] = [errors.ConfigError("presets: none")]
    return served.send(method, re.sub(r"{\w+}", ABSENT_ID, path), token)


@pytest.mark.parametrize(
    ("method", "path"), sorted(each for each, wanted in WANTED.items() if wanted == OPEN)
)
def test_open_routes_ask_for_no_token(served: Served, method: str, path: str) -> None:
    served.beats.hear([notification()])  # /-/watchdog is red without any
    assert ask(served, method, path, None).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_signed_routes_are_not_there_for_any_other_path(served: Served, method: str) -> None:
    right = receipts.path(SIGNER, "vonage", "a" * 32)
    assert ask(served, method, right, None).status_code == 200
    for wrong in (
        right.replace("vonage", "twilio"),
        right.replace("aaaa", "aaab", 1),
        right[:-1] + ("0" if right[-1] != "0" else "1"),
        right[:-1],
    ):
        assert ask(served, method, wrong, API_TOKEN).status_code == 404, wrong


@pytest.fixture
def tokens(served: Served) -> dict[str, str]:
    """A token of each kind."""
    return {role: served.token(role) for role in access.Role} | {
        "file": API_TOKEN,
        WEBHOOK: WEBHOOK_TOKEN,
        "expired": served.token(ADMIN, "old", expires=0.001),
        "unknown": issuing.draw(),
        "of another form": "wrong-token-0123456789",
    }


def expected(kind: str, wanted: str) -> int | None:
    """The status for a token of this kind; None where it is let pass."""
    if wanted == WEBHOOK or kind == WEBHOOK:
        return None if kind == wanted else 401
    if kind == "file":
        return None
    if kind in set(access.Role):
        return None if access.Role(kind).includes(access.Role(wanted)) else 403
    return 401


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_each_token_opens_what_its_role_may_and_nothing_else(
    served: Served, tokens: dict[str, str], method: str, path: str
) -> None:
    served.clock.pass_(timedelta(seconds=1))
    wanted = WANTED[method, path]
    for kind, token in tokens.items():
        answer = ask(served, method, path, token)
        refused = answer.status_code if answer.status_code in (401, 403, 503) else None
        assert refused == expected(kind, wanted), kind
        challenge = answer.headers.get("www-authenticate", "")
        assert ('error="invalid_token"' in challenge) == (refused == 401)
        assert ('error="insufficient_scope"' in challenge) == (refused == 403)
    assert ask(served, method, path, None).status_code == 401


def test_the_table_refuses_somebody_on_every_guarded_route() -> None:
    """The rule that the test above goes by, said once more in numbers."""
    allowed = {
        each: [kind for kind in access.Role if expected(kind, WANTED[each]) is None]
        for each in GUARDED
    }
    assert allowed["POST", "/api/webhooks/alertmanager"] == []
    assert allowed["GET", "/api/alerts"] == [VIEWER, OPERATOR, ADMIN]
    assert allowed["POST", "/api/reload"] == [OPERATOR, ADMIN]
    assert allowed["POST", "/api/tokens"] == [ADMIN]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_the_token_is_asked_for_before_anything_else(
    served: Served, method: str, path: str
) -> None:
    """Neither a body that is wrong nor an id that cannot be is looked at before."""
    wrong = re.sub(r"{\w+}", "x", path)
    for token in (None, issuing.draw()):
        assert served.send(method, wrong, token, b"{").status_code == 401


def test_refusal_says_which_role_is_needed_and_which_the_token_has(served: Served) -> None:
    answer = served.send("POST", "/api/reload", served.token(VIEWER, "dashboard"))

    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="mda", error="insufficient_scope", scope="operator"'
    )
    assert answer.json()["detail"] == (
        "role: viewer: this needs operator: take a token with that role "
        "(this one is 'dashboard'; an admin makes others)"
    )


@pytest.mark.parametrize("kind", [VIEWER, OPERATOR, ADMIN, "file"])
def test_whoami_tells_name_and_role(served: Served, kind: str) -> None:
    token = API_TOKEN if kind == "file" else served.token(access.Role(kind), "anna")
    told = served.send("GET", "/api/whoami", token).json()
    assert told == (
        {"name": "token file", "role": "admin"}
        if kind == "file"
        else {"name": "anna", "role": kind}
    )


def test_tokens_end_when_they_expire(served: Served) -> None:
    token = served.token(VIEWER, expires=60)
    assert served.send("GET", "/api/whoami", token).status_code == 200
    served.clock.pass_(timedelta(seconds=60))
    assert served.send("GET", "/api/whoami", token).status_code == 401


def test_requests_at_once_are_told_apart_and_cost_few_queries(served: Served) -> None:
    made = {name: served.token(role, name) for name, role in zip("abc", access.Role, strict=True)}
    wrong: list[object] = []

    def work(name: str) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {made[name]}"
            for _ in range(30):
                told = session.get(f"{served.url}/api/whoami", timeout=10).json()
                listed = session.get(f"{served.url}/api/tokens", timeout=10).status_code
                if (told["name"], listed) != (name, 200 if name == "c" else 403):
                    wrong.append((name, told, listed))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc" * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert served.tokens.lookups <= len(threads)


def revocations(served: Served, token: str) -> Iterator[int]:
    """What the token is answered while it is revoked and the clock goes on."""
    yield served.send("GET", "/api/whoami", token).status_code
    (known,) = served.tokens.list_tokens()
    assert served.send("DELETE", f"/api/tokens/{known.id}", API_TOKEN).status_code == 204
    served.clock.pass_(callers.REMEMBERED_FOR)
    yield served.send("GET", "/api/whoami", token).status_code


def test_revocation_takes_effect_within_five_seconds(served: Served) -> None:
    assert timedelta(seconds=5) == callers.REMEMBERED_FOR
    assert list(revocations(served, served.token(ADMIN))) == [200, 401]


class Down:
    """The application while PostgreSQL is away."""

    def __init__(self, served: Served, *, retryable: bool = True) -> None:
        self.known = served.token(ADMIN)
        served.tokens.failure = errors.StoreError(REASON, retryable=retryable)


def test_while_the_store_is_down_the_token_of_the_file_works(served: Served) -> None:
    Down(served)
    assert served.send("GET", "/api/whoami", API_TOKEN).json()["name"] == "token file"
    assert served.send("GET", "/api/status", API_TOKEN).status_code == 200
    assert served.post(MESSAGE).status_code == 200


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_while_the_store_is_down_no_other_token_passes_and_none_is_called_wrong(
    served: Served, method: str, path: str
) -> None:
    known = Down(served).known
    answers = [ask(served, method, path, token) for token in (known, issuing.draw())]
    for answer in answers:
        assert answer.status_code == (401 if WANTED[method, path] == WEBHOOK else 503)
        assert "canary-host" not in answer.text
    assert ask(served, method, path, "wrong-token-0123456789").status_code == 401


def test_answer_while_the_store_is_down_names_the_way_out(served: Served) -> None:
    answer = served.send("GET", "/api/alerts", Down(served).known)

    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == (
        "Authorization: PostgreSQL, which knows the tokens, does not answer: try again, or take "
        "the token of the file"
    )


def test_store_that_refuses_is_said_in_the_log_alone(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    answer = served.send("GET", "/api/alerts", Down(served, retryable=False).known)

    assert answer.status_code == 500
    assert "canary-host" not in answer.text
    stack.wait_until(lambda: "store refused" in caplog.text, 5, "the log to say so")


def test_texts_of_tokens_appear_in_no_answer_and_no_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        wanted = {"name": "made", "role": "viewer", "expires_in": 60}
        made = served.send("POST", "/api/tokens", API_TOKEN, wanted)
        text: str = made.json()["token"]
        secrets = [text, served.token(ADMIN), issuing.draw()]
        answers = [ask(served, method, path, token) for method, path in WANTED for token in secrets]
        answers += [
            served.send("POST", "/api/tokens", secrets[1], body)
            for body in (b"{", {}, {"name": "made", "role": "viewer"}, {"name": "n", "role": "x"})
        ]
        answers.append(served.send("GET", "/api/tokens", secrets[1]))
        answers.append(served.send("GET", "/metrics"))
        answers.append(served.send("GET", "/nothing", text))
        served.clock.pass_(timedelta(minutes=5))
        served.tokens.failure = errors.StoreError(REASON, retryable=False)
        answers += [served.send("GET", "/api/alerts", token) for token in secrets]
        served.tokens.failure = None
        served.source.answer = lambda: 1 / 0  # type: ignore[assignment, return-value]
        answers.append(served.send("GET", "/api/status", secrets[1]))
        stack.wait_until(lambda: "ZeroDivisionError" in caplog.text, 5, "a traceback in the log")

    stack.wait_until(lambda: "token made" in caplog.text, 5, "the log of the new token")
    told = [each.text + str(each.headers) + each.url for each in answers]
    records = [str(vars(record)) for record in caplog.records]
    written = "".join([*told, caplog.text, *records, repr(vars(served.app)), repr(made.headers)])
    for secret in secrets:
        assert secret not in written
        assert secret.removeprefix("mda_") not in written
