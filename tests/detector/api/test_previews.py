"""POST /api/policies/preview."""

from __future__ import annotations

import threading

import pytest

from tests import stack
from tests.detector.api.conftest import Served
from tests.detector.policy import factories

M = {"type": "metric_threshold", "metric_name": "m", "operator": "gt", "threshold": 70}
BODY = factories.tree(M)


def always(_: int) -> float:
    return 1.0


def test_a_preview_tells_when_a_policy_would_have_fired(served: Served) -> None:
    served.reader.series = {(("__mda_name__", "m"), ("instance", "a")): always}
    answer = served.ask("POST", "/api/policies/preview", BODY, days=1, step="1h")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["policy"], found["step_s"], found["evaluations"]) == ("High CPU Alert", 3600, 25)
    (rule,) = found["rules"]
    assert (rule["times"], rule["series_fired"], rule["series_looked_at"]) == (1, 1, 1)
    assert rule["series"][0]["labels"] == {"instance": "a"}
    (spell,) = rule["series"][0]["spells"]
    assert (spell["since"], spell["firing"], spell["until"]) == (found["start"],) * 2 + (None,)
    assert found["asked"] == [{"rule": 1, "action": "alert", "times": 1, "targets": 1}]
    assert [each["kind"] for each in found["warnings"]] == ["everything"]
    assert served.get("/api/policies").json()["policies"] == []


def test_a_metric_that_does_not_exist_is_warned_of(served: Served) -> None:
    body = factories.tree({**M, "metric_name": "node_load2"})
    (warned,) = served.ask("POST", "/api/policies/preview", body, days=1).json()["warnings"]
    assert (warned["rule"], warned["kind"]) == (1, "no_metric")
    assert "node_load1" in warned["text"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"days": 0}, "days: '0': "),
        ({"days": 32}, "days: '32': "),
        ({"step": "0s"}, "step: '0s': "),
        ({"step": "soon"}, "step: 'soon': "),
        ({"days": 31, "step": "1s"}, "2678401 evaluations, 1 s apart: 50000 are allowed"),
        ({"surprise": 1}, "surprise: '1': no such parameter"),
    ],
)
def test_wrong_times_are_refused(served: Served, parameters: dict[str, object], words: str) -> None:
    answer = served.ask("POST", "/api/policies/preview", BODY, **parameters)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_wrong_document_is_refused(served: Served) -> None:
    answer = served.ask("POST", "/api/policies/preview", {"name": "a"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "rules: is needed")


def test_prometheus_that_is_down_is_503(served: Served) -> None:
    served.reader.broken = True
    answer = served.ask("POST", "/api/policies/preview", BODY)
    assert (answer.status_code, answer.json()["detail"]) == (503, "Prometheus is down")


def test_one_preview_is_made_at_a_time(served: Served) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(_: int) -> float:
        entered.set()
        leave.wait(10)
        return 1.0

    served.reader.series = {(("instance", "a"),): slow}
    first = threading.Thread(
        target=lambda: served.ask("POST", "/api/policies/preview", BODY, days=0.01)
    )
    first.start()
    assert entered.wait(10)
    answer = served.ask("POST", "/api/policies/preview", BODY)
    assert (answer.status_code, answer.json()["current_revision"]) == (409, None)
    leave.set()
    first.join()
    stack.wait_until(
        lambda: served.ask("POST", "/api/policies/preview", BODY, days=0.01).ok, 5, "its turn"
    )
