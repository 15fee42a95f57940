"""GET /api/metrics and POST /api/metrics/collect."""

from __future__ import annotations

from detector import errors
from detector.policy import catalogue
from detector.services import collecting
from tests.detector.api.conftest import Served


def test_the_catalogue_has_units_help_and_values(served: Served) -> None:
    served.reader.series = {
        (("instance", "a"),): lambda _: 12.5,
        (("__name__", "x"), ("instance", "b")): lambda _: 93.0,
        (("instance", "c"),): lambda _: float("inf"),
    }
    found = {each["name"]: each for each in served.get("/api/metrics").json()["metrics"]}
    assert set(found) == set(catalogue.CATALOGUE)
    assert found["cpu_percent"] == {
        "name": "cpu_percent",
        "metric": "instance:node_cpu_utilisation:rate5m",
        "unit": "%",
        "help": catalogue.CATALOGUE["cpu_percent"].help,
        "threshold": 80.0,
        "series": 2,
        "values": [
            {"labels": {"instance": "b"}, "value": 93.0},
            {"labels": {"instance": "a"}, "value": 12.5},
        ],
    }
    assert found["load_per_cpu"]["threshold"] is None


def test_any_metric_of_prometheus_can_be_asked_for(served: Served) -> None:
    served.reader.series = {(("instance", "a"),): lambda _: 1.0}
    (metric,) = served.get("/api/metrics", name="up").json()["metrics"]
    assert (metric["name"], metric["metric"], metric["unit"]) == ("up", "up", "")
    assert metric["values"] == [{"labels": {"instance": "a"}, "value": 1.0}]


def test_an_unknown_metric_is_404_with_the_nearest_names(served: Served) -> None:
    answer = served.get("/api/metrics", name="node_load2")
    assert answer.status_code == 404
    told = "metric node_load2: neither in the catalogue nor in Prometheus: did you mean node_load1?"
    assert answer.json()["detail"] == told
    assert served.get("/api/metrics", name="zzz").json()["detail"].endswith("nor in Prometheus")


def test_prometheus_that_is_down_is_503(served: Served) -> None:
    served.reader.broken = True
    assert served.get("/api/metrics").status_code == 503


def test_a_collection_tells_what_came_in_and_out(served: Served) -> None:
    served.collected += [
        (
            collecting.Collected("cpu", 10, 8, 4, 0.25, ""),
            collecting.Collected("disk", 0, 0, 0, 0.5, "Prometheus is down"),
        ),
        errors.ConflictError("a collection is under way: its answer will do"),
    ]
    found = served.ask("POST", "/api/metrics/collect").json()
    assert (found["samples"], found["scores"]) == (10, 8)
    assert [(each["query"], each["error"]) for each in found["queries"]] == [
        ("cpu", ""),
        ("disk", "Prometheus is down"),
    ]
    assert served.ask("POST", "/api/metrics/collect").status_code == 409
