"""/api/policies over a real server, with a fake store and fake rules."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import pytest
import requests

from detector import errors
from detector.policy import compiler, live, revisions
from detector.services import publishing
from tests.detector.api.conftest import API_TOKEN, Served
from tests.detector.policy import factories
from tests.factories import at, notification

NOW = "2026-03-01T12:00:00Z"


def tree(name: str = "High CPU", threshold: float = 80.0, **more: object) -> dict[str, Any]:
    return factories.tree(factories.above(threshold), name=name, **more)


def created(served: Served, *names: str, **more: object) -> list[int]:
    answers = [served.ask("POST", "/api/policies", {**tree(name), **more}) for name in names]
    assert [each.status_code for each in answers] == [201] * len(names)
    return [each.json()["id"] for each in answers]


def detail(answer: requests.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    text: str = answer.json()["detail"]
    return text


def test_a_policy_is_created_and_shown_with_its_state(served: Served) -> None:
    answer = served.ask("POST", "/api/policies", tree())
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/policies/1"
    assert answer.headers["etag"] == '"1"'
    policy = {
        "id": 1,
        "revision": 1,
        "document": tree(),
        "created_at": NOW,
        "created_by": "token file",
        "changed_at": NOW,
        "changed_by": "token file",
        "deleted": False,
        "refused": "",
    }
    assert answer.json() == policy
    assert served.get("/api/policies/1").json() == policy | {
        "published_revision": 1,
        "rules": [
            {
                "number": 1,
                "revision": 1,
                "health": "ok",
                "last_error": "",
                "evaluated_at": None,
                "alerts": [],
            }
        ],
        "firing": 0,
        "last_fired_at": None,
        "actions": [],
        "trouble": "",
    }


def test_the_last_alert_of_a_policy_is_told(served: Served) -> None:
    created(served, "High CPU")
    labels = (("alertname", "High CPU"), ("policy", "High CPU"))
    served.store.record([notification(labels=labels)], received_at=at(5))
    assert served.get("/api/policies/1").json()["last_fired_at"] == NOW


def test_an_action_that_nothing_carries_out_is_shown_so(served: Served) -> None:
    body = tree()
    body["rules"][0]["action"] = {"type": "webhook", "url": "https://example.org/x"}
    assert served.ask("POST", "/api/policies", body).status_code == 201
    (action,) = served.get("/api/policies/1").json()["actions"]
    assert (action["rule"], action["type"], action["asked"]) == (1, "webhook", False)
    assert action["state"].startswith("not executed: ")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "body: not JSON"),
        (b"{", 400, "body: not JSON"),
        (b"[" * 100_000, 400, "body: n"),
        (b'{"name": "a", "name": "b"}', 400, "the key 'name' stands twice"),
        (b'{"name": NaN}', 400, "NaN is no number"),
        (b"\xff", 400, "body: not JSON"),
        (b"7", 422, "keys with values are allowed"),
        (b"{}", 422, "name: is needed"),
        (b"1" * 5_000, 400, "body: not JSON"),
    ],
    ids=["empty", "half", "deep", "twice", "NaN", "bytes", "number", "nothing", "long"],
)
def test_what_is_no_document_is_refused(
    served: Served, body: bytes, status: int, words: str
) -> None:
    answer = served.ask("POST", "/api/policies", body)
    assert answer.status_code == status
    assert words in detail(answer)


def test_every_fault_is_named_with_its_path_and_value(served: Served) -> None:
    body = tree(threshold="many", surprise=1)  # type: ignore[arg-type]
    answer = served.ask("POST", "/api/policies", body)
    assert answer.status_code == 422
    assert {(each["field"], each["value"]) for each in answer.json()["errors"]} == {
        ("rules.0.condition.threshold", "many"),
        ("surprise", ""),
    }
    assert "(and 1 more)" in detail(answer)
    assert served.rules.checked == []


def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    answer = served.ask("POST", "/api/policies", b" " * 1_000_001)
    assert answer.status_code == 413


def test_what_promtool_refuses_is_422_and_not_stored(served: Served) -> None:
    served.rules.refuses = {"High CPU"}
    answer = served.ask("POST", "/api/policies", tree())
    assert (answer.status_code, detail(answer)) == (422, "High CPU: refused")
    assert served.get("/api/policies").json()["policies"] == []


@pytest.mark.parametrize(("retryable", "status"), [(True, 503), (False, 502)])
def test_rules_that_prometheus_does_not_take_are_told(
    served: Served, retryable: bool, status: int
) -> None:
    served.rules.failure = errors.PublishError("Prometheus is not well", retryable=retryable)
    answer = served.ask("POST", "/api/policies", tree())
    assert (answer.status_code, detail(answer)) == (status, "Prometheus is not well")
    assert ("retry-after" in answer.headers) == retryable
    assert served.get("/api/policies").json()["policies"] == []


def test_a_name_that_is_taken_is_409(served: Served) -> None:
    created(served, "High CPU")
    answer = served.ask("POST", "/api/policies", tree("HIGH CPU"))
    assert answer.status_code == 409
    assert detail(answer).startswith("name: HIGH CPU: policy 1 has this name")


def test_a_change_to_an_old_revision_is_409_with_the_current_one(served: Served) -> None:
    created(served, "High CPU")
    first = served.ask("PUT", "/api/policies/1", tree(threshold=90), revision=1)
    assert (first.status_code, first.json()["revision"]) == (200, 2)
    assert first.headers["etag"] == '"2"'
    for method, path, body in (
        ("PUT", "", tree(threshold=95)),
        ("DELETE", "", None),
        ("POST", "/enable", None),
        ("POST", "/disable", None),
        ("POST", "/restore/1", None),
    ):
        answer = served.ask(method, f"/api/policies/1{path}", body, revision=1)
        assert answer.status_code == 409
        assert answer.json()["current_revision"] == 2
    assert served.get("/api/policies/1").json()["revision"] == 2


def test_enabling_disabling_deleting_and_restoring(served: Served) -> None:
    created(served, "High CPU")
    off = served.ask("POST", "/api/policies/1/disable").json()
    assert (off["revision"], off["document"]["enabled"]) == (2, False)
    assert served.get("/api/policies/1").json()["published_revision"] is None
    on = served.ask("POST", "/api/policies/1/enable", revision=2).json()
    assert (on["revision"], on["document"]["enabled"]) == (3, True)
    gone = served.ask("DELETE", "/api/policies/1").json()
    assert (gone["revision"], gone["deleted"]) == (4, True)
    answer = served.get("/api/policies/1")
    assert (answer.status_code, detail(answer)) == (
        404,
        "policy 1: no policy has this id: it was deleted by token file",
    )
    back = served.ask("POST", "/api/policies/1/restore/1").json()
    assert (back["revision"], back["deleted"], back["document"]) == (5, False, tree())
    page = served.get("/api/policies/1/revisions").json()
    assert [(each["revision"], each["change"]) for each in page["revisions"]] == [
        (5, "restored"),
        (4, "deleted"),
        (3, "enabled"),
        (2, "disabled"),
        (1, "created"),
    ]
    assert page["next_below"] is None


def test_revisions_come_in_pages_and_differ(served: Served) -> None:
    created(served, "High CPU")
    for threshold in (81.0, 82.0):
        served.ask("PUT", "/api/policies/1", tree(threshold=threshold))
    first = served.get("/api/policies/1/revisions", limit=2).json()
    assert [each["revision"] for each in first["revisions"]] == [3, 2]
    last = served.get("/api/policies/1/revisions", limit=2, below=first["next_below"]).json()
    assert ([each["revision"] for each in last["revisions"]], last["next_below"]) == ([1], None)
    assert served.get("/api/policies/1/revisions/2").json()["document"] == tree(threshold=81.0)
    found = served.get("/api/policies/1/diff", before=1, after=3).json()
    lines = found["text"].splitlines()
    assert lines[:2] == ["--- revision 1", "+++ revision 3"]
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        "-    threshold: 80.0",
        "+    threshold: 82.0",
    ]
    assert served.get("/api/policies/1/diff", before=2, after=2).json()["text"] == ""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/policies/7"),
        ("PUT", "/api/policies/7"),
        ("DELETE", "/api/policies/7"),
        ("POST", "/api/policies/7/enable"),
        ("POST", "/api/policies/7/disable"),
        ("POST", "/api/policies/7/restore/1"),
        ("GET", "/api/policies/7/revisions"),
        ("GET", "/api/policies/7/revisions/1"),
        ("GET", "/api/policies/7/diff?before=1&after=2"),
    ],
)
def test_what_is_not_there_is_404_and_named(served: Served, method: str, path: str) -> None:
    body = tree() if method == "PUT" else None
    answer = served.ask(method, path, body)
    assert answer.status_code == 404
    assert detail(answer).startswith("policy 7: ")


def test_lists_come_in_pages_and_can_be_filtered(served: Served) -> None:
    created(served, "delta", "Alpha", "bravo")
    served.ask("POST", "/api/policies", tree("charlie", enabled=False))

    def names(**parameters: object) -> list[str]:
        page = served.get("/api/policies", **parameters).json()
        return [each["document"]["name"] for each in page["policies"]]

    first = served.get("/api/policies", limit=3).json()
    assert [each["document"]["name"] for each in first["policies"]] == ["Alpha", "bravo", "charlie"]
    assert names(cursor=first["next_cursor"], limit=3) == ["delta"]
    assert names(text="LTA") == ["delta"]
    assert names(enabled="false") == ["charlie"]
    assert served.get("/api/policies", surprise=1).status_code == 422


def test_validating_tells_what_a_policy_becomes_and_stores_nothing(served: Served) -> None:
    found = served.ask("POST", "/api/policies/validate", tree()).json()
    assert found["name"] == "High CPU"
    assert "alert: High CPU" in found["rules"]
    assert found["tests"] == 5
    assert (found["untested"], found["advice"]) == ([], [])
    assert served.rules.checked == ["High CPU"]
    assert served.get("/api/policies").json()["policies"] == []
    answer = served.ask("POST", "/api/policies/validate", {"name": "a"})
    assert (answer.status_code, detail(answer)) == (422, "rules: is needed")


def test_applying_shows_the_plan_first_and_then_does_it(served: Served) -> None:
    created(served, "stays", "goes")
    body = {"policies": [tree("stays"), tree("new")], "prune": True}
    plan = served.ask("POST", "/api/policies/apply", body | {"dry_run": True}).json()
    assert [(each["name"], each["change"], each["id"]) for each in plan["policies"]] == [
        ("stays", None, 1),
        ("new", "created", None),
        ("goes", "deleted", 2),
    ]
    assert plan["dry_run"] is True
    assert "+name: new" in plan["policies"][1]["diff"]
    assert len(served.get("/api/policies").json()["policies"]) == 2
    done = served.ask("POST", "/api/policies/apply", body).json()
    assert [(each["name"], each["id"], each["revision"]) for each in done["policies"]] == [
        ("stays", 1, 1),
        ("new", 3, 1),
        ("goes", 2, 2),
    ]
    assert {each.policy for each in served.rules.published} == {"stays", "new"}


def test_faults_of_applied_documents_are_told_with_their_position(served: Served) -> None:
    wrong = {"policies": [tree("good"), tree(threshold="x"), 7]}  # type: ignore[arg-type]
    answer = served.ask("POST", "/api/policies/apply", wrong)
    assert answer.status_code == 422
    fields = [each["field"] for each in answer.json()["errors"]]
    assert fields == ["policies.1.rules.0.condition.threshold", "policies.2"]
    for body in ({}, {"policies": 7}, {"policies": [], "prune": "yes"}, {"policies": [], "x": 1}):
        assert served.ask("POST", "/api/policies/apply", body).status_code == 422


def test_the_schema_of_documents_is_served(served: Served) -> None:
    schema = served.get("/api/policies/schema").json()
    assert set(schema["required"]) == {"name", "rules"}


def test_prometheus_that_does_not_answer_is_told_in_the_state(served: Served) -> None:
    created(served, "High CPU")

    def fail() -> tuple[()]:
        raise errors.UpstreamError("http://p: refused", kind="unreachable", retryable=True)

    served.rules.live = fail  # type: ignore[method-assign]
    state = served.get("/api/policies/1").json()
    assert (state["rules"], state["published_revision"]) == ([], None)
    assert state["trouble"] == "its rules are not known: http://p: refused"


def test_a_revision_that_is_not_evaluated_yet_is_told_in_the_state(served: Served) -> None:
    created(served, "High CPU")
    served.rules.published = ()
    trouble = served.get("/api/policies/1").json()["trouble"]
    assert trouble == "Prometheus does not evaluate this revision yet"


def test_a_firing_alert_is_counted(served: Served) -> None:
    created(served, "High CPU")
    (rule,) = served.rules.live()
    found = [
        live.ActiveAlert((("instance", "a"),), live.State.FIRING, at(0), 93.5),
        live.ActiveAlert((("instance", "b"),), live.State.PENDING, at(0), float("inf")),
    ]
    served.rules.live = lambda: (dataclasses.replace(rule, alerts=tuple(found)),)  # type: ignore[method-assign]
    state = served.get("/api/policies/1").json()
    assert state["firing"] == 1
    assert [each["value"] for each in state["rules"][0]["alerts"]] == [93.5, None]


def test_a_document_that_is_refused_is_shown_as_it_is_kept(served: Served) -> None:
    created(served, "bad", "good")
    found = {"name": "bad", "rules": [{"condition": {"type": "from_the_future"}}, 7]}
    bad = revisions.kept(found, name="bad", enabled=True)
    policy = served.policies.policy(1)
    assert policy is not None
    served.policies._kept[1] = dataclasses.replace(policy, document=bad)
    listed = served.get("/api/policies").json()["policies"]
    assert [(each["id"], each["refused"] == "") for each in listed] == [(1, False), (2, True)]
    assert listed[0]["document"] == found
    state = served.get("/api/policies/1").json()
    assert state["trouble"] == state["refused"]
    assert state["refused"].startswith("rules.0.condition.type: from_the_future: ")
    answer = served.ask("POST", "/api/policies/1/disable")
    assert answer.status_code == 409
    assert detail(answer).endswith(revisions.WAY_OUT)
    plan = {"policies": [tree("bad")], "dry_run": True}
    (told,) = served.ask("POST", "/api/policies/apply", plan).json()["policies"]
    assert told["change"] == "changed"
    assert "-    type: from_the_future" in told["diff"]
    assert served.ask("PUT", "/api/policies/1", tree("bad")).json()["refused"] == ""


def test_a_prometheus_that_hangs_leaves_the_other_routes_alive(served: Served) -> None:
    created(served, "High CPU")
    goes_on = threading.Event()
    publishing_once = served.rules.publishing

    @contextlib.contextmanager
    def publish(policies: Sequence[compiler.Compiled]) -> Iterator[tuple[live.LiveRule, ...]]:
        assert goes_on.wait(30)
        with publishing_once(policies) as gone:
            yield gone

    served.rules.publishing = publish  # type: ignore[method-assign]
    with futures.ThreadPoolExecutor(60) as pool:
        asked = [
            pool.submit(served.ask, "PUT", "/api/policies/1", tree(threshold=90 + number / 10))
            for number in range(60)
        ]
        refused = [each.result() for each in itertools.islice(futures.as_completed(asked), 40)]
        assert {each.status_code for each in refused} == {503}
        assert all("under way" in detail(each) for each in refused)
        assert served.get("/api/policies").status_code == 200
        assert served.get("/api/status").status_code == 200
        goes_on.set()
    codes = Counter(each.result().status_code for each in asked)
    assert codes == {200: publishing.MOST_AT_ONCE, 503: 60 - publishing.MOST_AT_ONCE}


def test_of_many_changes_to_one_revision_one_wins(served: Served) -> None:
    created(served, "High CPU")

    def change(revision: int, number: int) -> requests.Response:
        body = tree(threshold=revision + number / 1_000)
        return served.ask("PUT", "/api/policies/1", body, revision=revision)

    with futures.ThreadPoolExecutor(50) as pool:
        for revision in range(1, 11):
            numbers = range(100)
            answers = list(pool.map(change, itertools.repeat(revision), numbers))
            codes = Counter(each.status_code for each in answers)
            assert codes[200] == 1
            assert set(codes) <= {200, 409, 503}
            assert served.get("/api/policies/1").json()["revision"] == revision + 1


def scaling(served: Served, name: str, priority: int, target: str = "web") -> int:
    """The id of a policy that takes instances away, whose rule fires."""
    body = tree(name)
    body["rules"][0] |= {"action": {"type": "scale_down", "target": target}, "priority": priority}
    answer = served.ask("POST", "/api/policies", body)
    assert answer.status_code == 201
    served.rules.alerts = (live.ActiveAlert((), live.State.FIRING, at(0), 1.0),)
    return int(answer.json()["id"])


def action_of(served: Served, policy_id: int) -> tuple[bool, str]:
    (action,) = served.get(f"/api/policies/{policy_id}").json()["actions"]
    return action["asked"], action["state"].split(":")[0]


def test_of_actions_on_the_same_the_higher_priority_goes_first(served: Served) -> None:
    milder, graver = scaling(served, "milder", 5), scaling(served, "graver", 1)
    elsewhere = scaling(served, "elsewhere", 9, target="db")
    assert action_of(served, graver) == (True, "not executed")
    assert action_of(served, milder) == (True, "superseded")
    assert action_of(served, elsewhere) == (True, "not executed")
    state = served.get(f"/api/policies/{milder}").json()["actions"][0]["state"]
    assert state == "superseded: graver acts on the same with a higher priority"
    served.ask("POST", f"/api/policies/{graver}/disable")
    assert action_of(served, milder) == (True, "not executed")


def test_of_equal_priorities_the_older_policy_goes_first(served: Served) -> None:
    older, younger = scaling(served, "older", 3), scaling(served, "younger", 3)
    assert action_of(served, older)[1] == "not executed"
    assert action_of(served, younger)[1] == "superseded"


def test_an_action_that_is_not_asked_for_supersedes_none(served: Served) -> None:
    scaling(served, "graver", 1)
    milder = scaling(served, "milder", 5)
    served.rules.alerts = ()
    assert action_of(served, milder) == (False, "not executed")


def test_if_match_is_the_revision_that_a_change_was_made_to(served: Served) -> None:
    served.ask("POST", "/api/policies", factories.tree(factories.above()))
    url = f"{served.url}/api/policies/1/disable"

    def disable(if_match: str, **parameters: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {API_TOKEN}", "If-Match": if_match}
        return requests.post(url, headers=headers, params=parameters, timeout=10)

    for wrong in ('W/"1"', "1", '"one"'):
        assert disable(wrong).status_code == 422, wrong
    newer = disable('"2"')
    assert (newer.status_code, newer.json()["current_revision"]) == (412, 1)
    assert disable('"1"', revision="2").status_code == 422
    assert disable('"1"').json()["revision"] == 2
    assert disable("*").status_code == 200
