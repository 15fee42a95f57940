"""What every ports.PolicyStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from detector import errors, ports
from detector.policy import documents, revisions
from detector.policy.revisions import Change
from detector.store import database, migrate, policies
from tests.detector.policy import factories
from tests.factories import at
from tests.fakes.policies import FakePolicyStore

ANN, BOB = revisions.Made("ann", at(0)), revisions.Made("bob", at(60))


@pytest.fixture(params=["fake", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[ports.PolicyStore]:
    if request.param == "fake":
        yield FakePolicyStore()
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield policies.PostgresPolicyStore(connections)
    connections.close()


def document(name: str = "High CPU", **more: object) -> documents.Document:
    return documents.parse(factories.tree(factories.above(), name=name, **more), "policy")


def added(store: ports.PolicyStore, *names: str) -> list[revisions.Policy]:
    with store.changing() as changes:
        return [changes.add(document(name), ANN) for name in names]


def names(page: revisions.Page) -> list[str]:
    return [each.document.name for each in page.policies]


def test_a_new_policy_is_at_revision_one(store: ports.PolicyStore) -> None:
    (policy,) = added(store, "High CPU")
    assert policy == revisions.Policy(policy.id, 1, document(), ANN, ANN)
    assert store.policy(policy.id) == policy
    assert store.revisions(policy.id) == (revisions.Revision(1, document(), Change.CREATED, ANN),)


def test_a_document_comes_back_as_it_was_written(store: ports.PolicyStore) -> None:
    labels = {"instance": {"matches": "a.*"}, "mode": ["idle", "x\ny"], "path": "nul \0 nul"}
    condition = {
        "type": "all",
        "for": "90s",
        "conditions": [
            factories.above(1e300, labels=labels),
            {"type": "anomaly", "kind": ["spike", "dip"]},
            {
                "type": "drift",
                "window": {
                    "timezone": "Europe/Berlin",
                    "weekly": [{"start": "22:30", "end": "24:00"}],
                    "once": [{"start": "2026-12-24 18:00", "end": "2026-12-27 00:00"}],
                    "but": {"holidays": ["DE"]},
                },
            },
        ],
    }
    action = {"type": "webhook", "url": "https://example.org/x", "message": "{{ $value }} %"}
    tree = {"name": '☃ \\ " snow', "rules": [{"condition": condition, "action": action}]}
    written = documents.parse(tree, "policy")
    with store.changing() as changes:
        policy = changes.add(written, ANN)
    kept = store.policy(policy.id)
    assert kept is not None
    assert kept.document == written
    assert documents.tree_of(kept.document) == documents.tree_of(written)


def test_a_change_makes_the_next_revision_and_keeps_those_before(store: ports.PolicyStore) -> None:
    (policy,) = added(store, "High CPU")
    with store.changing() as changes:
        revised = changes.revise(policy, document("Busy"), Change.CHANGED, BOB)
    assert revised == revisions.Policy(policy.id, 2, document("Busy"), ANN, BOB)
    assert store.policy(policy.id) == revised
    newest, first = store.revisions(policy.id)
    assert newest == revisions.Revision(2, document("Busy"), Change.CHANGED, BOB)
    assert first.number == 1
    assert store.revisions(policy.id, below=2) == (first,)
    assert store.revision(policy.id, 1) == first
    assert store.revision(policy.id, 2) == newest
    assert store.revisions(policy.id, limit=1) == (newest,)


def test_a_change_to_what_is_not_newest_is_refused_and_says_what_is(
    store: ports.PolicyStore,
) -> None:
    (policy,) = added(store, "High CPU")
    with store.changing() as changes:
        changes.revise(policy, document("Busy"), Change.CHANGED, BOB)
    with (
        pytest.raises(errors.ConflictError, match=r"revision 1 is not its newest, which is 2") as e,
        store.changing() as changes,
    ):
        changes.revise(policy, document("Lazy"), Change.CHANGED, BOB)
    assert e.value.current == 2
    assert len(store.revisions(policy.id)) == 2


def test_a_policy_that_never_was_cannot_be_revised(store: ports.PolicyStore) -> None:
    unknown = revisions.Policy(7, 1, document(), ANN, ANN)
    with pytest.raises(errors.ConflictError), store.changing() as changes:
        changes.revise(unknown, document(), Change.CHANGED, BOB)
    assert store.policy(7) is None
    assert store.revisions(7) == ()
    with pytest.raises(errors.NotFoundError, match="policy 7: it has no revision 1"):
        store.revision(7, 1)


def test_a_name_is_taken_in_letters_of_any_case(store: ports.PolicyStore) -> None:
    first, second = added(store, "Straße", "other")
    with (
        pytest.raises(errors.ConflictError, match=rf"STRASSE: policy {first.id} has this name"),
        store.changing() as changes,
    ):
        changes.add(document("STRASSE"), BOB)
    with pytest.raises(errors.ConflictError), store.changing() as changes:
        changes.revise(second, document("STRASSE"), Change.CHANGED, BOB)
    with store.changing() as changes:
        assert changes.revise(first, document("STRASSE"), Change.CHANGED, BOB).revision == 2


def test_a_deleted_policy_is_gone_from_lists_and_frees_its_name(store: ports.PolicyStore) -> None:
    (policy,) = added(store, "High CPU")
    with store.changing() as changes:
        deleted = changes.revise(policy, policy.document, Change.DELETED, BOB)
        assert changes.all_policies() == ()
        assert not changes.is_first()
    assert (deleted.is_deleted, deleted.revision) == (True, 2)
    assert store.policy(policy.id) == deleted
    assert names(store.list_policies(revisions.Filter())) == []
    assert names(store.list_policies(revisions.Filter(is_deleted=True))) == ["High CPU"]
    (other,) = added(store, "High CPU")
    with pytest.raises(errors.ConflictError), store.changing() as changes:
        changes.revise(deleted, deleted.document, Change.RESTORED, BOB)
    with store.changing() as changes:
        back = changes.revise(deleted, document("Back"), Change.RESTORED, BOB)
    assert (back.is_deleted, back.revision) == (False, 3)
    assert {each.id for each in store.list_policies(revisions.Filter()).policies} == {
        policy.id,
        other.id,
    }


def test_nothing_of_a_block_that_raises_is_kept(store: ports.PolicyStore) -> None:
    (policy,) = added(store, "High CPU")
    with pytest.raises(ZeroDivisionError), store.changing() as changes:  # noqa: PT012 - a block
        changes.add(document("new"), BOB)
        changes.revise(policy, document("Busy"), Change.CHANGED, BOB)
        assert [each.document.name for each in changes.all_policies()] == ["Busy", "new"]
        raise ZeroDivisionError
    assert names(store.list_policies(revisions.Filter())) == ["High CPU"]
    assert len(store.revisions(policy.id)) == 1


def test_the_first_policy_is_told(store: ports.PolicyStore) -> None:
    with store.changing() as changes:
        assert changes.is_first()
    added(store, "High CPU")
    with store.changing() as changes:
        assert not changes.is_first()


def test_pages_follow_the_name_and_leave_nothing_out(store: ports.PolicyStore) -> None:
    added(store, "delta", "Alpha", "echo", "Bravo", "charlie", "\u00e9t\u00e9")
    found: list[str] = []
    after: int | None = None
    for _ in range(3):
        page = store.list_policies(revisions.Filter(after_id=after, limit=2))
        found += names(page)
        after = page.next_id
    assert found == ["Alpha", "Bravo", "charlie", "delta", "echo", "\u00e9t\u00e9"]
    assert after is None
    assert names(store.list_policies(revisions.Filter(after_id=4711))) == []


def test_policies_are_found_by_part_of_the_name_and_by_state(store: ports.PolicyStore) -> None:
    added(store, "High CPU", "50 % disk", "cpu_steal")
    with store.changing() as changes:
        changes.add(document("CPU off", enabled=False), ANN)

    def found(**wanted: object) -> list[str]:
        return names(store.list_policies(revisions.Filter(**wanted)))  # type: ignore[arg-type]

    assert found(text="cpu") == ["CPU off", "cpu_steal", "High CPU"]
    assert found(text="%") == ["50 % disk"]
    assert found(text="u_s") == ["cpu_steal"]
    assert found(text="cpu\0") == []
    assert found(text="cpu", is_enabled=True) == ["cpu_steal", "High CPU"]
    assert found(is_enabled=False) == ["CPU off"]


def test_all_are_read_while_somebody_changes_them(store: ports.PolicyStore) -> None:
    (policy,) = added(store, "High CPU")
    with store.changing():
        assert store.all_policies() == (policy,)


def test_changes_take_turns(store: ports.PolicyStore) -> None:
    inside, most = [0], [0]

    def change(number: int) -> None:
        with store.changing() as changes:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            changes.add(document(f"policy {number}"), ANN)
            inside[0] -= 1

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert len(names(store.list_policies(revisions.Filter()))) == 6
