"""What holds for every route: tokens, problems, the document that describes them."""

from __future__ import annotations

import json
import logging
import re
from typing import NoReturn

import pytest
import requests

from detector import errors
from detector.services import reloading, status
from tests import stack
from tests.detector.api.conftest import API_TOKEN, WEBHOOK_TOKEN, Served
from tests.detector.api.test_webhook import MESSAGE
from tests.factories import at

PROBES = {"/-/healthy", "/-/ready", "/-/watchdog", "/metrics"}
OPEN = PROBES | {"/docs", "/openapi.json", "/docs/oauth2-redirect"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def routes(served: Served) -> list[tuple[str, str]]:
    """(method, path) of every route in the OpenAPI document, path parameters filled in."""
    return [
        (method.upper(), re.sub(r"{\w+}", "1", path))
        for path, methods in served.app.openapi()["paths"].items()
        for method in methods
    ]


def is_a_bearer_token(header: str | None) -> bool:
    """Whether the header gives a token at all; where none is given there is no error to name."""
    return re.match(r"Bearer .", header or "") is not None


def test_every_route_is_described_or_known_to_be_open(served: Served) -> None:
    described = set(served.app.openapi()["paths"])
    assert described >= {"/api/alerts", "/api/alerts/{alert_id}", "/api/status"}
    assert all(path in OPEN or path.startswith("/api/") for path in described)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong-token-0123456789",
        f"Basic {API_TOKEN}",
        API_TOKEN,
        f"Bearer {API_TOKEN}x",
        f"Bearer {API_TOKEN[:-1]}",
        f"Bearer {API_TOKEN.upper()}",
        "Bearer \xff\xfe",
    ],
)
def test_every_route_under_api_asks_for_its_token(served: Served, header: str | None) -> None:
    tried = 0
    for method, path in routes(served):
        if path.startswith("/api/"):
            headers = {} if header is None else {"Authorization": header.encode("latin-1")}
            answer = requests.request(method, served.url + path, headers=headers, timeout=5)
            if path.startswith(("/api/receipts/", "/api/charts/")):  # signed: no other is there
                assert answer.status_code == 404
                continue
            assert answer.status_code == 401, (method, path)
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer realm="mda"')
            assert ('error="invalid_token"' in challenge) == is_a_bearer_token(header), header
            assert answer.headers["content-type"] == "application/problem+json"
            tried += 1
    assert tried == 45


def test_the_two_tokens_open_different_doors(served: Served) -> None:
    webhook = {"Authorization": f"Bearer {WEBHOOK_TOKEN}"}
    assert requests.get(f"{served.url}/api/alerts", headers=webhook, timeout=5).status_code == 401
    assert served.post(MESSAGE, Authorization=f"Bearer {API_TOKEN}").status_code == 401
    assert served.get("/api/alerts").status_code == 200
    assert served.post(MESSAGE).status_code == 200


def test_reload_tells_what_has_changed(served: Served) -> None:
    served.reloads.append(reloading.Changes(("cpu",), ("disk",), (), ("old", "older")))
    answer = served.reload()
    assert answer.status_code == 200
    assert answer.json() == {
        "kept": ["cpu"],
        "added": ["disk"],
        "changed": [],
        "removed": ["old", "older"],
    }


def test_reload_says_what_is_wrong_with_the_configuration(served: Served) -> None:
    served.reloads.append(errors.ConfigError("mda.yml: presets.0: 'hots': 'host' is allowed"))
    answer = served.reload()
    assert answer.status_code == 422
    assert answer.json()["detail"] == "mda.yml: presets.0: 'hots': 'host' is allowed"


def test_probes_need_no_token(served: Served) -> None:
    for path in ("/-/healthy", "/-/ready", "/metrics"):
        assert requests.get(served.url + path, timeout=5).status_code == 200
    for path in ("/-/healthy", "/-/ready"):
        assert requests.head(served.url + path, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status_code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/alerts/1/more", 404),
        ("DELETE", "/api/alerts", 405),
        ("GET", "/api/webhooks/alertmanager", 405),
        ("DELETE", "/-/ready", 405),
        ("GET", "/..%2f..%2fetc/passwd", 404),
    ],
)
def test_what_is_not_there_is_a_problem_that_names_it(
    served: Served, method: str, path: str, status_code: int
) -> None:
    answer = requests.request(method, served.url + path, timeout=5)
    assert answer.status_code == status_code
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(f"{method} /")
    assert answer.json()["title"]
    if status_code == 405:
        assert answer.headers["allow"]


def test_bug_is_a_problem_and_one_log_record(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> NoReturn:
        raise ZeroDivisionError("canary-bug")

    served.source.answer = bug
    with caplog.at_level(logging.INFO):
        answer = served.get("/api/status")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary-bug" not in answer.text
    stack.wait_until(lambda: "canary-bug" in caplog.text, 5, "the traceback in the log")
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1


def test_not_ready_is_503_with_the_reasons(served: Served) -> None:
    served.source.now = status.Status(ready=False, reasons=("loop score has stalled", "no store"))
    answer = requests.get(f"{served.url}/-/ready", timeout=5)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["ready"], body["reasons"]) == (False, ["loop score has stalled", "no store"])
    assert requests.get(f"{served.url}/-/healthy", timeout=5).status_code == 200


def test_status_is_told_and_what_is_not_finite_is_null(served: Served) -> None:
    top = status.TopScore({"instance": "web-1"}, 7.5, float("nan"), float("inf"))
    query = status.QueryStatus("host_cpu", "1 - x", 3, 10, 30, "warming_up", at(0), (top,))
    loop = status.LoopStatus("score", 5.0, is_stalled=False)
    served.source.now = status.Status(ready=True, reasons=(), queries=(query,), loops=(loop,))
    body = served.get("/api/status").json()
    assert body["queries"] == [
        {
            "name": "host_cpu",
            "expr": "1 - x",
            "series": 3,
            "samples_seen": 10,
            "samples_needed": 30,
            "state": "warming_up",
            "last_success": "2026-03-01T12:00:00Z",
            "top": [
                {"labels": {"instance": "web-1"}, "score": 7.5, "expected": None, "value": None}
            ],
            "daily": 0,
            "weekly": 0,
            "monthly": 0,
        }
    ]
    assert body["loops"] == [{"name": "score", "interval_s": 5.0, "is_stalled": False}]


@pytest.mark.parametrize(
    ("accept", "content_type", "ends"),
    [
        ("", "text/plain", ""),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", "# EOF\n"),
    ],
)
def test_metrics_come_in_the_format_asked_for(
    served: Served, accept: str, content_type: str, ends: str
) -> None:
    answer = requests.get(f"{served.url}/metrics", headers={"Accept": accept}, timeout=5)
    assert answer.headers["content-type"].startswith(content_type)
    assert answer.text.endswith(ends)


def test_openapi_refers_only_to_what_it_holds(served: Served) -> None:
    document = requests.get(f"{served.url}/openapi.json", timeout=5).json()
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert "components/schemas/ProblemDetails" in references
    for reference in references:
        node = document
        for part in reference.split("/"):
            node = node[part]
    webhook = document["paths"]["/api/webhooks/alertmanager"]["post"]
    schema = webhook["requestBody"]["content"]["application/json"]["schema"]
    assert "fingerprint" in schema["properties"]["alerts"]["items"]["required"]
    assert "422" not in webhook["responses"]


def test_secrets_appear_in_no_answer_and_no_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [
            served.get("/api/alerts"),
            served.get("/api/alerts", token=1),
            served.get("/api/alerts/x"),
            served.get("/nothing"),
            served.get("/openapi.json"),
            served.get("/metrics"),
            served.get("/-/ready"),
            served.post(MESSAGE),
            served.post(b"{"),
            served.post(MESSAGE, Authorization=f"Bearer {WEBHOOK_TOKEN} "),
            served.post(MESSAGE, Authorization=f"Basic {WEBHOOK_TOKEN}"),
        ]
        served.store.failure = errors.StoreError("PostgreSQL: gone", retryable=False)
        answers.append(served.get("/api/alerts"))
        served.source.answer = lambda: 1 / 0  # type: ignore[assignment, return-value]
        answers.append(served.get("/api/status"))
        stack.wait_until(lambda: "ZeroDivisionError" in caplog.text, 5, "a traceback in the log")
    written = "".join(
        [caplog.text, *(each.text + str(each.headers) for each in answers), repr(vars(served.app))]
    )
    for secret in (API_TOKEN, WEBHOOK_TOKEN):
        assert secret not in written


def test_a_parameter_that_a_route_does_not_have_is_refused(served: Served) -> None:
    for method, path in (
        ("PUT", "/api/policies/1?revison=1"),  # else it would be a change to whatever is there
        ("DELETE", "/api/policies/1?revison=1"),
        ("POST", "/api/policies?revision=1"),
        ("POST", "/api/policies/apply?dry_run=true"),
        ("GET", "/api/policies?revison=1"),
        ("GET", "/api/policies/1/revisions?revison=1"),
        ("GET", "/api/metrics?nam=up"),
        ("POST", "/api/reload?x=1"),
    ):
        answer = served.ask(method, path)
        assert (answer.status_code, path) == (422, path)
        assert answer.json()["errors"][0]["allowed"] == "no such parameter: see /docs"
    assert served.ask("DELETE", "/api/policies/1?revision=1").status_code == 404
    assert served.send("GET", "/api/policies/1?x=1").status_code == 401


def test_a_parameter_that_stands_twice_is_refused_but_for_lists(served: Served) -> None:
    answer = served.get("/api/policies?text=a&text=b")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "text: given 2 times: once is allowed"
    assert served.ask("DELETE", "/api/policies/1?revision=1&revision=2").status_code == 422
    assert served.send("GET", "/api/policies?text=a&text=b").status_code == 401
    assert served.get("/api/alerts?label=a:b&label=c:d").status_code == 200
    assert served.send("GET", "/metrics?name=a&name=b").status_code == 200
