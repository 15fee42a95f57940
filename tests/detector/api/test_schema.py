"""What /openapi.json promises, held against the running server by schemathesis.

It is used as a library: its plugin for pytest, which would have a say in how all other tests are
collected, is turned off in pyproject.toml.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import hypothesis
import pytest
import schemathesis
from schemathesis import checks
from schemathesis.core import failures, result

from detector import access
from detector.api import paging
from detector.services import reloading
from tests.detector.api.conftest import API_TOKEN, WEBHOOK_TOKEN, Served
from tests.detector.policy import factories
from tests.factories import anomaly, notification

CASES, CASES_WITH_DOCUMENTS = 10, 2
"""Of each route; to draw a policy takes as long as thirty other cases."""
WITH_DOCUMENTS = {
    "POST /api/policies",
    "POST /api/policies/validate",
    "POST /api/policies/preview",
    "POST /api/policies/apply",
    "PUT /api/policies/{policy_id}",
}
MORE_THAN_A_SCHEMA_SAYS = {
    *WITH_DOCUMENTS,  # PromQL, templates, regular expressions, how long durations may be
    "POST /api/tokens",  # how long durations may be
    "POST /api/alerts",
    "PUT /api/alerts/{alert_id}",
    "POST /api/silences",
    "POST /api/webhooks/sms",
    "POST /api/webhooks/heartbeat",
    "POST /api/webhooks/sms/{team}",
    "POST /api/webhooks/notify/{name}",
    "GET /api/alerts/export",  # since is before until
    "GET /api/alerts/statistics",
    "POST /api/webhooks/alertmanager",  # a resolved alert has an end, and not before its start
}
"""Routes that refuse bodies which their schema allows, for what JSON Schema has no words."""
WITHOUT_INPUT = {"GET /-/healthy", "GET /-/ready", "GET /-/watchdog", "GET /metrics"}
"""Nothing that is sent to them could be wrong."""

Operation: TypeAlias = schemathesis.APIOperation[Any, Any, Any, Any]
Case: TypeAlias = schemathesis.Case[Any]


@pytest.fixture
def filled(served: Served) -> Served:
    """One of everything, so that there is more to answer than 404; reloads go well."""
    served.store.record([notification()], received_at=served.clock())
    served.anomalies.record([(1, anomaly())], {})
    served.token(access.Role.VIEWER)
    for threshold in (80.0, 90.0, 95.0):
        body = {"policies": [factories.tree(factories.above(threshold))]}
        assert served.ask("POST", "/api/policies/apply", body).status_code == 200
    served.beats.hear([notification()])
    served.reloads += [reloading.Changes(("cpu",), (), (), ())] * 1_000
    return served


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_every_route_does_what_openapi_says(
    filled: Served, mode: schemathesis.GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{filled.url}/openapi.json")
    broken = {}
    for found in schema.get_all_operations():
        assert isinstance(found, result.Ok)
        operation = found.ok()
        if mode.is_negative and operation.label in WITHOUT_INPUT:
            continue
        said = _broken_by(operation, mode)
        if said:
            broken[operation.label] = said
    assert broken == {}


def _broken_by(operation: Operation, mode: schemathesis.GenerationMode) -> str:
    """What the checks say against a route; empty if they have nothing against it."""
    token = WEBHOOK_TOKEN if "webhooks" in operation.path else API_TOKEN
    headers = {"Authorization": f"Bearer {token}"}
    excluded: list[schemathesis.CheckFunction] = []
    failed: list[str] = []
    if operation.label in MORE_THAN_A_SCHEMA_SAYS:
        excluded.append(checks.positive_data_acceptance)

    @hypothesis.settings(
        max_examples=CASES_WITH_DOCUMENTS if operation.label in WITH_DOCUMENTS else CASES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def hold(case: Case) -> None:
        if mode.is_positive:
            _name_what_is_there(case)
        answer = case.call(headers=headers, timeout=10)
        if answer.status_code >= 500:
            failed.append(f"{case.body!r}: {answer.status_code} {answer.text[:500]}")
        case.validate_response(answer, excluded_checks=excluded, headers=headers)

    try:
        hold()
    except failures.FailureGroup as group:
        return "\n".join([*map(str, group.exceptions), *failed])
    return ""


def _name_what_is_there(case: Case) -> None:
    """Ids of one digit, of which some are there, and a cursor that an answer could have given."""
    for name, value in case.path_parameters.items():
        if isinstance(value, int):
            case.path_parameters[name] = int(str(value)[-1]) or 1
    if case.query.get("cursor") is not None:
        case.query["cursor"] = paging.cursor_after(1)
