"""Documents in PostgreSQL that this release does not take: one bad row takes no other away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from detector import config, errors, telemetry
from detector.policy import documents, revisions
from detector.services import publishing
from detector.store import database, migrate, policies
from tests.detector.policy import factories
from tests.factories import at
from tests.fakes.alerts import FakeAlertEnder
from tests.fakes.rules import FakeRulePublisher


@dataclass
class Rig:
    """Policies 1 "bad" and 2 "good", published."""

    connections: database.Database
    store: policies.PostgresPolicyStore
    rules: FakeRulePublisher
    made: publishing.Publishing

    def write(self, policy_id: int, text: str) -> None:
        """Put another document in place of a policy's, by hand."""
        statement = sa.text("UPDATE policy_revisions SET document = :text WHERE policy_id = :id")
        with self.connections.begin() as connection:
            connection.execute(statement, {"text": text, "id": policy_id})

    def live(self) -> set[tuple[str, int]]:
        return {(each.policy, each.revision) for each in self.rules.live()}


@pytest.fixture
def rig(database_url: str) -> Iterator[Rig]:
    migrate.migrate(database_url)
    connections = database.Database(database_url)
    store, rules = policies.PostgresPolicyStore(connections), FakeRulePublisher()
    made = publishing.Publishing(
        store,
        rules,
        alerts=FakeAlertEnder(),
        thresholds=config.Thresholds,
        clock=lambda: at(0).timestamp(),
        meters=telemetry.Telemetry(),
    )
    made.apply([document("bad"), document("good")], prune=False, by="ann")
    yield Rig(connections, store, rules, made)
    connections.close()


def document(name: str, threshold: float = 80) -> documents.Document:
    return documents.parse(factories.tree(factories.above(threshold), name=name), "policy")


NEWER = json.dumps(factories.tree({"type": "from_the_future"}, name="bad"))
BAD = {
    "newer": NEWER,
    "no mapping": "7",
    "of another name": json.dumps(factories.tree(factories.above(), name="good")),
    "no character": '{"name": "bad", "\\ud800": 1}',
    "null": "null",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_the_others_are_listed_and_published(
    rig: Rig, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig.write(1, text)
    bad, good = rig.store.list_policies(revisions.Filter()).policies
    assert isinstance(bad.document, revisions.Refused)
    assert (bad.id, bad.document.name) == (1, "bad")
    assert (good.id, good.document) == (2, document("good"))
    json.dumps(revisions.tree_of(bad.document), ensure_ascii=False).encode()
    assert revisions.yaml_of(bad.document)
    turn = rig.made.turn()
    assert (turn.came_in, turn.went_out) == (2, 1)
    assert rig.live() == {("good", 1)}
    assert rig.made.refused == {1: bad.document.reason}
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "policy left out"
    ]
    rig.made.replace(2, document("good", 90), expected=1, by="bob")
    assert rig.live() == {("good", 2)}


def test_another_document_takes_its_place(rig: Rig) -> None:
    changes: list[Callable[[], object]] = [
        lambda: rig.made.replace(1, document("bad"), expected=None, by="bob"),
        lambda: rig.made.apply([document("bad")], prune=False, by="bob"),
    ]
    for change in changes:
        rig.write(1, NEWER)
        rig.made.turn()
        assert rig.live() == {("good", 1)}
        change()
        assert {name for name, _ in rig.live()} == {"bad", "good"}
        assert rig.made.refused == {}


def test_it_is_deleted_as_it_is(rig: Rig) -> None:
    rig.write(1, NEWER)
    assert rig.made.delete(1, expected=1, by="bob").is_deleted
    assert [each.id for each in rig.store.all_policies()] == [2]
    newest, first = rig.store.revisions(1)
    assert revisions.tree_of(newest.document) == revisions.tree_of(first.document)
    assert revisions.tree_of(newest.document) == json.loads(NEWER)


def test_it_is_neither_enabled_nor_restored(rig: Rig) -> None:
    rig.made.replace(1, document("bad", 90), expected=None, by="bob")
    rig.write(1, NEWER)
    changes: list[Callable[[], object]] = [
        lambda: rig.made.switch(1, is_enabled=False, expected=None, by="bob"),
        lambda: rig.made.switch(1, is_enabled=True, expected=None, by="bob"),
        lambda: rig.made.restore(1, 1, expected=None, by="bob"),
    ]
    for change in changes:
        with pytest.raises(errors.ConflictError, match=r"refused: rules\.0\.condition\.type: from"):
            change()
    assert rig.store.all_policies()[0].revision == 2


def test_a_change_may_take_longer_than_other_transactions(rig: Rig) -> None:
    with rig.store.changing() as changes:
        found = {
            each: changes._connection.scalar(sa.text(f"SHOW {each}"))
            for each in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        }
    assert list(found.values()) == ["30s", "1min", "5min"]


def test_the_turn_of_another_detector_is_waited_for_no_longer_than_said(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "TURN_TIMEOUT", timedelta(milliseconds=50))
    with (
        rig.store.changing(),
        pytest.raises(errors.StoreError) as told,
        rig.store.changing(),
    ):
        pass
    assert told.value.retryable
