"""What every ports.RulePublisher holds: the one of rule files and the fake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from detector import errors, ports
from detector.policy import compiler, documents, drafts
from detector.prometheus import connection, promtool, rule_files, ruler
from tests import stack
from tests.conftest import MakePrometheus
from tests.detector.policy import factories
from tests.fakes.ruler import FakeRuler
from tests.fakes.rules import FakeRulePublisher

CONFIG = "global: {evaluation_interval: 1s}\nrule_files: ['{folder}/*.yml']\n"


@pytest.fixture(params=["fake", "prometheus", "ruler"])
def rules(request: pytest.FixtureRequest, tmp_path: Path) -> ports.RulePublisher:
    if request.param == "fake":
        return FakeRulePublisher()
    if request.param == "ruler":
        fake: FakeRuler = request.getfixturevalue("fake_ruler")
        client = connection.Client(fake.url, timeout=timedelta(seconds=10))
        return ruler.Ruler(client, None, headers={"X-Scope-OrgID": "team"})
    make: MakePrometheus = request.getfixturevalue("prometheus")
    binaries: stack.Binaries = request.getfixturevalue("stack_binaries")
    folder = tmp_path / "generated"
    folder.mkdir()
    server = make(CONFIG.replace("{folder}", str(folder)))
    client = connection.Client(server.url, timeout=timedelta(seconds=10))
    return rule_files.RuleFiles(folder, client, promtool.Promtool(binaries.find("promtool")))


@pytest.fixture
def fake_ruler() -> Iterator[FakeRuler]:
    fake = FakeRuler()
    yield fake
    fake.stop()


def document(name: str = "High CPU", **more: object) -> documents.Document:
    return documents.parse(factories.tree(factories.above(), name=name, **more), "policy")


def compiled(name: str = "High CPU", revision: int = 1, **more: object) -> compiler.Compiled:
    return compiler.compiled(document(name, **more), revision, factories.GIVEN)


def alive(rules: ports.RulePublisher) -> set[tuple[str, int, int]]:
    return {(each.policy, each.revision, each.number) for each in rules.live()}


def test_a_good_policy_passes_the_judge(rules: ports.RulePublisher) -> None:
    rules.check([drafts.draft_of(document(), factories.GIVEN)])


def test_what_is_published_is_live_within_the_block_and_after(rules: ports.RulePublisher) -> None:
    with rules.publishing([compiled(), compiled('a "b" \u2603 \\', 7)]):
        assert alive(rules) == {("High CPU", 1, 1), ('a "b" \u2603 \\', 7, 1)}
    assert len(alive(rules)) == 2


def test_another_set_replaces_the_one_of_before(rules: ports.RulePublisher) -> None:
    with rules.publishing([compiled(), compiled("other")]):
        pass
    with rules.publishing([compiled(revision=2), compiled("off", enabled=False)]):
        pass
    assert alive(rules) == {("High CPU", 2, 1)}
    with rules.publishing([]):
        pass
    assert alive(rules) == set()


def test_rules_that_are_no_more_are_given_to_the_block_where_they_are_gone_by_then(
    rules: ports.RulePublisher,
) -> None:
    with rules.publishing([compiled(), compiled("other")]) as gone:
        assert gone == ()
    with rules.publishing([compiled(revision=2), compiled("other")]) as gone:
        told = {each.key for each in gone}
    is_told_at_once = not isinstance(rules, ruler.Ruler)  # a ruler looks every minute or so
    assert told == ({("High CPU", 1, 1)} if is_told_at_once else set())
    with rules.publishing([compiled(revision=2), compiled("other")]) as gone:
        assert gone == ()


def test_a_block_that_raises_puts_back_what_was_before(rules: ports.RulePublisher) -> None:
    for before in ([], [compiled()]):
        with rules.publishing(before):
            pass
        with pytest.raises(errors.StoreError), rules.publishing([compiled("new")]):
            raise errors.StoreError("not committed", retryable=True)
        assert alive(rules) == {(each.policy, each.revision, 1) for each in before}


def test_the_same_again_changes_nothing(rules: ports.RulePublisher) -> None:
    for _ in range(2):
        with rules.publishing([compiled()]):
            pass
    assert alive(rules) == {("High CPU", 1, 1)}
