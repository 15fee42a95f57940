from __future__ import annotations

import csv
import io
import json

import pytest

from detector import alerts, errors, messages
from tests.detector.api.conftest import Served
from tests.factories import at, notification


@pytest.fixture
def three(served: Served) -> Served:
    served.store.record(
        [
            notification("1", labels=(("job", "a"), ("path", "/a:b")), ends_at=at(20)),
            notification("2", labels=(("job", "a"), ("severity", "high")), starts_at=at(10)),
            notification("3", labels=(("job", "b"), ("policy", "CPU")), starts_at=at(30)),
        ],
        received_at=at(40),
    )
    second = (alerts.Fingerprint("2"), at(10))
    served.store.mark([second], alerts.Status.ACKNOWLEDGED, at=at(41), by="ann")
    return served


def ids(served: Served, **parameters: object) -> list[int]:
    answer = served.get("/api/alerts", **parameters)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["alerts"]]


def test_alert_is_shown_whole(served: Served) -> None:
    served.store.record([notification(ends_at=at(60))], received_at=at(65))
    assert served.get("/api/alerts/1").json() == {
        "id": 1,
        "fingerprint": "a1b2c3d4e5f60718",
        "state": "resolved",
        "starts_at": "2026-03-01T12:00:00Z",
        "ends_at": "2026-03-01T12:01:00Z",
        "labels": {"alertname": "HighCpu", "instance": "web-1"},
        "annotations": {"summary": "CPU is at 93 %"},
        "generator_url": "http://prometheus.example/graph",
        "received_at": "2026-03-01T12:01:05Z",
        "updated_at": "2026-03-01T12:01:05Z",
        "status": "resolved",
        "owner": "",
        "feedback": None,
        "facts": {},
        "transitions": [
            {
                "state": "resolved",
                "received_at": "2026-03-01T12:01:05Z",
                "by": "",
                "note": "",
                "feedback": None,
            }
        ],
        "deliveries": [],
    }


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"state": "firing"}, [3, 2]),
        ({"label": "job:a"}, [2, 1]),
        ({"label": ["job:a", "path:/a:b"]}, [1]),
        ({"since": "2026-03-01T12:00:21Z"}, [3, 2]),
        ({"until": "2026-03-01T13:00:30+01:00"}, [2, 1]),
        ({"limit": 2}, [3, 2]),
        ({"label": "job:\x00"}, []),
        ({"severity": "high"}, [2]),
        ({"policy": "CPU"}, [3]),
        ({"policy": "CPU", "severity": "high"}, []),
        ({"owner": "ann"}, [2]),
        ({"feedback": "planned"}, []),
        ({"q": "Hi jo"}, [2]),
    ],
)
def test_filters_reach_the_store(
    three: Served, parameters: dict[str, object], expected: list[int]
) -> None:
    assert ids(three, **parameters) == expected


def test_deliveries_are_told_as_far_as_they_are_known(served: Served) -> None:
    told = notification()
    served.store.record([told], received_at=at(5))
    key = (told.fingerprint, told.starts_at)
    served.store.learn({key: ((alerts.RECEIVERS, "email, memory, sms"),)})
    draft = messages.Draft("High CPU", 1, "high", "vonage", 0.5, at(5))
    served.messages.tell(["+491701234567"], [told], lambda _: draft, at=at(6))
    assert served.get("/api/alerts/1").json()["deliveries"] == [
        {
            "channel": "sms",
            "recipient": "...4567",
            "provider": "vonage",
            "state": "queued",
            "at": "2026-03-01T12:00:06Z",
            "reason": "",
            "of": None,
        },
        {
            "channel": "email",
            "recipient": "",
            "provider": "",
            "state": "unknown_per_alert",
            "at": None,
            "reason": "not known per alert: see alertmanager_notifications_total and _failed_total",
            "of": None,
        },
    ]


def test_export_has_what_the_pages_have(three: Served) -> None:
    pages = three.get("/api/alerts", label="job:a").json()["alerts"]
    exported = three.get("/api/alerts/export", label="job:a")
    assert exported.json() == pages
    assert exported.headers["content-type"] == "application/json"
    assert exported.headers["content-disposition"] == 'attachment; filename="alerts.json"'
    answer = three.get("/api/alerts/export", label="job:a", format="csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == ["2", "1"]
    assert json.loads(rows[0]["labels"]) == pages[0]["labels"]
    assert list(rows[0]) == list(pages[0])


def test_export_holds_many_pages(served: Served) -> None:
    many = [notification(str(number), starts_at=at(number)) for number in range(2_001)]
    served.store.record(many, received_at=at(1))
    ids = [each["id"] for each in served.get("/api/alerts/export").json()]
    assert ids == list(range(2_001, 0, -1))


def test_export_of_nothing_is_empty(served: Served) -> None:
    assert served.get("/api/alerts/export").json() == []
    header = served.get("/api/alerts/export", format="csv").text
    assert header.startswith("id,fingerprint,state,starts_at,")
    assert header.count("\n") == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\tx", "\rx"])
def test_what_a_spreadsheet_would_run_is_inert(served: Served, text: str) -> None:
    served.store.record([notification(generator_url=text)], received_at=at(1))
    answer = served.get("/api/alerts/export", format="csv")
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["generator_url"] == f"'{text}"


def test_export_takes_no_pages(served: Served) -> None:
    for parameter in ("limit", "cursor"):
        assert served.get("/api/alerts/export", **{parameter: "1"}).status_code == 422
    assert served.get("/api/alerts/export", format="xml").status_code == 422


def test_statistics_are_told(three: Served) -> None:
    told = three.get(
        "/api/alerts/statistics", since=at(0).isoformat(), until=at(20).isoformat()
    ).json()
    assert told["total"] == {
        "name": "",
        "count": 2,
        "flapping": 0.0,
        "without_action": 0.5,
        "acknowledge_s": {"mean": 31.0, "median": 31.0},
        "resolve_s": {"mean": 20.0, "median": 20.0},
    }
    assert [(each["name"], each["count"]) for each in told["severities"]] == [("", 1), ("high", 1)]
    assert (told["sampled"], told["until"]) == (1.0, "2026-03-01T12:00:20Z")
    of_30_days = three.get("/api/alerts/statistics").json()
    assert of_30_days["since"] == "2026-01-30T12:00:00Z"
    assert of_30_days["total"]["count"] == 0
    wrong = three.get("/api/alerts/statistics", since=at(0).isoformat(), until=at(0).isoformat())
    assert wrong.json()["detail"] == "since: 2026-03-01T12:00:00+00:00: must be before until"


def test_cursors_lead_through_all_pages(three: Served) -> None:
    found, cursor = [], None
    for _ in range(3):
        page = three.get("/api/alerts", limit=1, cursor=cursor).json()
        found += [each["id"] for each in page["alerts"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == ([3, 2, 1], None)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"state": "pending"}, "state"),
        ({"stat": "firing"}, "stat"),
        ({"label": "job"}, "label.0"),
        ({"label": ":a"}, "label.0"),
        ({"label": "job:"}, "label.0"),
        ({"label": ["a:b"] * 51}, "label"),
        ({"since": "5"}, "since"),
        ({"since": "2026-03-01T12:00:00"}, "since"),
        ({"until": "tomorrow"}, "until"),
        ({"q": "%"}, "q"),
        ({"q": "a " * 11}, "q"),
        ({"q": "a" * 501}, "q"),
        ({"feedback": "maybe"}, "feedback"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "5"}, "cursor"),
        ({"cursor": "YWZ0ZXI6MA=="}, "cursor"),
        ({"cursor": "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk="}, "cursor"),
        ({"cursor": "\N{FIRE}"}, "cursor"),
    ],
)
def test_wrong_parameter_is_named_with_what_is_allowed(
    served: Served, parameters: dict[str, object], field: str
) -> None:
    answer = served.get("/api/alerts", **parameters)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["field"] == field
    assert problem["allowed"]
    assert answer.json()["detail"] == f"{field}: {problem['value']}: {problem['allowed']}"


@pytest.mark.parametrize("alert_id", ["0", "-1", "x", str(2**63)])
def test_impossible_id_is_refused(served: Served, alert_id: str) -> None:
    assert served.get(f"/api/alerts/{alert_id}").status_code == 422


def test_unknown_id_is_not_found(served: Served) -> None:
    answer = served.get("/api/alerts/17")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "alert_id: 17: no alert has this id"


def test_store_that_is_down_is_said(served: Served) -> None:
    served.store.failure = errors.StoreError("PostgreSQL: gone", retryable=True)
    for path in ("", "/1", "/export", "/statistics"):
        assert served.get(f"/api/alerts{path}").status_code == 503
