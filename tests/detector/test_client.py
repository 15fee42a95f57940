"""The Python client against a real server, with a fake store and fake rules."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from detector import client
from detector.policy import revisions
from tests import conftest, faults, stack
from tests.detector.api.conftest import API_TOKEN, Served, served
from tests.detector.policy import factories
from tests.factories import at, notification

__all__ = ["served"]  # the fixture
RULES = factories.tree(factories.above())["rules"]


@pytest.fixture
def policies(served: Served) -> client.PolicyManager:
    return client.PolicyManager(served.url, token=f"{API_TOKEN}\n", timeout=timedelta(seconds=10))


def test_a_policy_is_made_changed_and_listed(policies: client.PolicyManager) -> None:
    made = policies.create_policy(name="High CPU", description="Busy.", rules=RULES)
    document = {"name": "High CPU", "description": "Busy.", "rules": RULES}
    token = "token file"
    assert made == client.Policy(1, 1, document, at(0), token, at(0), token, False)
    changed = policies.update_policy(made.id, name="Busy", rules=RULES, revision=1)
    assert (changed.name, changed.revision, changed.enabled) == ("Busy", 2, True)
    assert policies.policy(made.id) == changed
    assert policies.list_policies(text="bus") == [changed]
    assert policies.list_policies(enabled=False) == []


def test_a_policy_is_disabled_enabled_deleted_and_restored(policies: client.PolicyManager) -> None:
    made = policies.create_policy(name="High CPU", rules=RULES)
    assert not policies.disable_policy(made.id).enabled
    assert policies.enable_policy(made.id, revision=2).enabled
    assert policies.delete_policy(made.id).deleted
    assert policies.restore_policy(made.id, 1).revision == 5
    changes = [each.change for each in policies.revisions(made.id)]
    assert changes == ["restored", "deleted", "enabled", "disabled", "created"]
    assert "+enabled: false" in policies.diff(made.id, 1, 2).splitlines()
    assert policies.state(made.id)["published_revision"] == 5


def test_what_is_wrong_is_told(policies: client.PolicyManager) -> None:
    with pytest.raises(client.ApiError, match=r"^rules: is needed$") as refusal:
        policies.validate({"name": "High CPU"})
    assert (refusal.value.status, refusal.value.faults) == (422, (("rules", "", "is needed"),))
    made = policies.create_policy(name="High CPU", rules=RULES)
    policies.disable_policy(made.id)
    with pytest.raises(client.ApiError) as refusal:
        policies.delete_policy(made.id, revision=1)
    assert (refusal.value.status, refusal.value.current_revision) == (409, 2)
    with pytest.raises(client.ApiError, match="no JSON"):
        policies.create_policy(name="x", rules=[{"condition": object()}])


def test_a_wrong_token_is_told_without_it(served: Served) -> None:
    policies = client.PolicyManager(served.url, token="canary-wrong-token-0123")
    with pytest.raises(client.ApiError, match="a valid token is needed") as refusal:
        policies.list_policies()
    assert "canary" not in repr(refusal.value)


def test_a_server_that_is_not_there_is_told() -> None:
    url = f"http://127.0.0.1:{stack.free_port()}"
    with pytest.raises(client.ApiError, match=rf"^{url}: cannot be reached"):
        client.PolicyManager(url, token="x").list_policies()


@pytest.mark.parametrize("url", ["127.0.0.1:8490", "ftp://127.0.0.1:1", "http://[x"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(client.ApiError, match=r"no address of a detector: one as http://") as told:
        client.PolicyManager(url, token="x").list_policies()
    assert str(told.value).startswith(url)


def test_an_answer_that_breaks_off_is_told() -> None:
    broken = faults.Planned(200, {"Content-Length": "100"}, b"{", resets=True)
    with faults.Receiver(lambda _: broken) as server, pytest.raises(client.ApiError) as told:
        client.Alerts(server.url, token="x").list_silences()
    assert str(told.value).startswith(f"{server.url}: ")
    assert "Error" not in str(told.value)


@pytest.mark.parametrize("limit", [0, -3])
def test_a_list_of_no_alerts_is_refused(limit: int) -> None:
    with pytest.raises(client.ApiError, match=rf"^limit: {limit}: 1 or more is allowed$"):
        client.Alerts(token="x").list_alerts(limit=limit)


def test_alerts_are_listed_over_pages_as_many_as_asked_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    told = [
        notification(str(number), starts_at=at(number), ends_at=at(number + 0.5))
        for number in range(5)
    ]
    served.store.record(told, received_at=at(9))
    desk = client.Alerts(served.url, token=API_TOKEN)
    for limit, expected in ((1, "4"), (3, "432"), (5, "43210"), (9, "43210")):
        found = desk.list_alerts(limit=limit)
        assert "".join(each["fingerprint"] for each in found) == expected
    found = desk.list_alerts(since=at(2), until=at(4))
    assert [each["fingerprint"] for each in found] == ["3", "2"]


def test_documents_are_applied_and_told_first(policies: client.PolicyManager) -> None:
    policies.create_policy(name="goes", rules=RULES)
    wanted = [{"name": "new", "rules": RULES}]
    plan = policies.apply(wanted, prune=True, dry_run=True)
    assert [(each.name, each.change) for each in plan] == [("new", "created"), ("goes", "deleted")]
    assert [each.id for each in policies.apply(wanted, prune=True)] == [2, 1]
    assert [each.name for each in policies.list_policies()] == ["new"]


def test_policies_come_as_a_pandas_frame(policies: client.PolicyManager) -> None:
    assert list(policies.frame().columns)[:3] == ["id", "name", "enabled"]
    for name in ("b", "a"):
        policies.create_policy(name=name, rules=RULES)
    frame = policies.frame()
    assert frame["name"].to_list() == ["a", "b"]
    assert frame["revision"].to_list() == [1, 1]


def test_lists_of_many_pages_are_whole(
    policies: client.PolicyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    for number in range(5):
        policies.create_policy(name=f"policy {number}", rules=RULES)
    assert len(policies.list_policies()) == 5
    for _ in range(60):
        policies.disable_policy(1)
        policies.enable_policy(1)
    assert [each.revision for each in policies.revisions(1)] == list(range(121, 0, -1))


def test_the_example_of_the_page_runs(served: Served) -> None:
    page = (conftest.ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("http://127.0.0.1:8490", served.url)
    code = code.replace('Path(".mda/token").read_text()', repr(API_TOKEN))
    exec(compile(code, "docs/policies.md", "exec"), {})  # noqa: S102 - what the page shows
    (policy,) = served.policies.list_policies(revisions.Filter()).policies
    assert policy.document.name == "High CPU Alert"
