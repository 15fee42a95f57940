from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import pytest

from detector import anomalies, causes, errors, frames, incidents
from tests.detector.api.conftest import Served
from tests.detector.services import live, test_replaying
from tests.factories import anomaly

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
WEB_1 = (("instance", "web-1:9100"), ("job", "node"))
WEB_2 = (("instance", "web-2:9100"), ("job", "node"))


@pytest.fixture
def three(served: Served) -> Served:
    for placed in [
        (1, anomaly("cpu", (("job", "a"), ("path", "/a:b")), opens=0, ends=20)),
        (2, anomaly("cpu", (("job", "a"),), opens=10)),
        (3, anomaly("disk", (("job", "b"),), opens=30, kind="dip")),
    ]:
        served.anomalies.record([placed], {})
    return served


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"query": "cpu"}, [2, 1]),
        ({"kind": "dip"}, [3]),
        ({"state": "open"}, [3, 2]),
        ({"label": ["job:a", "path:/a:b"]}, [1]),
        ({"since": "2026-03-01T12:00:21Z"}, [3, 2]),
        ({"until": "2026-03-01T13:00:30+01:00"}, [2, 1]),
        ({"limit": 2}, [3, 2]),
    ],
)
def test_filters_reach_the_store(
    three: Served, parameters: dict[str, object], expected: list[int]
) -> None:
    told = three.get("/api/anomalies", **parameters).json()["anomalies"]
    groups = three.get("/api/incidents", **parameters).json()["incidents"]

    assert [each["incident_id"] for each in told] == expected
    assert [each["id"] for each in groups] == expected


@pytest.mark.parametrize("part", ["anomalies", "incidents"])
def test_cursors_lead_through_all_pages(three: Served, part: str) -> None:
    found, cursor = [], None
    for _ in range(3):
        page = three.get(f"/api/{part}", limit=1, cursor=cursor).json()
        found += [each["id"] for each in page[part]]
        cursor = page["next_cursor"]

    assert (found, cursor) == ([3, 2, 1], None)


@pytest.mark.parametrize("part", ["anomalies", "incidents"])
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"state": "firing"}, "state"),
        ({"stat": "open"}, "stat"),
        ({"label": "job"}, "label.0"),
        ({"query": ""}, "query"),
        ({"kind": ""}, "kind"),
        ({"since": "5"}, "since"),
        ({"limit": 0}, "limit"),
        ({"cursor": "5"}, "cursor"),
    ],
)
def test_wrong_parameter_is_named_with_what_is_allowed(
    served: Served, part: str, parameters: dict[str, object], field: str
) -> None:
    answer = served.get(f"/api/{part}", **parameters)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (problem,) = answer.json()["errors"]
    assert problem["field"] == field
    assert problem["allowed"]


@pytest.mark.parametrize(
    ("incident_id", "status"), [("0", 422), ("x", 422), (str(2**63), 422), ("17", 404)]
)
def test_id_that_is_not_there_is_a_problem(served: Served, incident_id: str, status: int) -> None:
    answer = served.get(f"/api/incidents/{incident_id}")

    assert answer.status_code == status
    assert incident_id in answer.json()["detail"]


def test_store_that_is_down_is_said(served: Served) -> None:
    served.anomalies.failure = errors.StoreError("PostgreSQL: gone", retryable=True)
    for path in ("/api/anomalies", "/api/incidents", "/api/incidents/1"):
        assert served.get(path).status_code == 503


def test_one_anomaly_is_shown_and_replayed(served: Served) -> None:
    told = test_replaying.spike()
    served.anomalies.record([(7, told)], {})

    shown = served.get("/api/anomalies/1").json()
    found = served.get("/api/anomalies/1/replay").json()

    assert (shown["id"], shown["peak_score"]) == (1, told.peak_score)
    assert found["anomaly"] == shown
    assert (found["same"], found["score"], found["samples"]) == (True, told.peak_score, 650)
    assert found["engine"] == found["engine_now"]
    assert set(found["rises"]) == {"residual", "near", "wide", "gaussian"}
    assert found["kind"] == "spike"
    assert found["reason"].endswith("1 is the limit")


def test_an_anomaly_without_a_sample_is_shown_and_replayed_without_numbers(
    served: Served,
) -> None:
    _, told = live.opened(frames.Kind.MISSING, served.anomalies)

    shown = served.get("/api/anomalies/1").json()
    found = served.get("/api/anomalies/1/replay").json()

    assert shown["kind"] == found["kind"] == "missing"
    assert shown["peak_score"] == found["score"] == told.anomaly.peak_score == 0.0
    for name in ("expected", "lower", "upper"):
        assert shown[name] is None
        assert found[name] is None
    assert shown["value"] is None
    assert (found["same"], found["rises"]) == (True, {})
    assert found["reason"] == "no sample for 13 steps; 12 are the limit"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/anomalies/17", 404, "17: no anomaly has this id"),
        ("/api/anomalies/17/replay", 404, "17: no anomaly has this id"),
        ("/api/anomalies/1/replay", 404, "its decision was not recorded"),
        ("/api/anomalies/0", 422, "anomaly_id"),
        ("/api/anomalies/x/replay", 422, "anomaly_id"),
    ],
)
def test_what_cannot_be_shown_or_replayed_is_a_problem(
    three: Served, path: str, status: int, text: str
) -> None:
    answer = three.get(path)
    assert answer.status_code == status
    assert text in answer.json()["detail"]


def test_unexplained_anomaly_has_no_text(three: Served) -> None:
    (told, *_) = three.get("/api/anomalies").json()["anomalies"]

    assert told["explanation"] == {"text": "", "residuals": [], "rises": {}}


@pytest.fixture
def documented(served: Served) -> Served:
    """A spike on one of two hosts, as docs/api.md shows it."""
    explanation = anomalies.Explanation(
        (
            anomalies.Residual("average of the last 20 points", 38.2, 21.5),
            anomalies.Residual("usual value at this time", 17.9, 24.0),
        ),
        {"residual": 1.6, "near": 2.1, "wide": 1.4, "gaussian": 1.9},
    )
    spike = anomaly("host_cpu", WEB_1, opens=0, ends=120, peak_score=2.5, explanation=explanation)
    later = anomaly("host_load", WEB_1, opens=30, ends=150, peak_score=1.5)
    members = (spike, dataclasses.replace(later, value=7.5, expected=1.0, lower=0.5, upper=2.0))
    grouping = incidents.Grouping()
    placed = [(grouping.place(each), each) for each in members]
    series = {"host_cpu": [WEB_1, WEB_2], "host_load": [WEB_1, WEB_2]}
    ranking = causes.rank(causes.deviations(members, series))
    served.anomalies.record(placed, {placed[0][0]: ranking})
    assert len({incident for incident, _ in placed}) == 1
    return served


def test_examples_on_the_page_are_what_is_answered(documented: Served) -> None:
    examples = re.findall(r"`GET (/api/\S+)` answers\n\n```json\n(.*?)```", PAGE, re.DOTALL)

    assert len(examples) == 2
    for path, text in examples:
        assert documented.get(path).json() == json.loads(text), path
