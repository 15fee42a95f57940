"""Policies changed and published, with a fake store and fake rules."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from detector import config, errors, loops, telemetry
from detector.policy import documents, drafts, live, revisions
from detector.policy.revisions import Change
from detector.services import publishing
from tests.detector.policy import factories
from tests.factories import at
from tests.fakes.alerts import FakeAlertEnder
from tests.fakes.policies import FakePolicyStore
from tests.fakes.rules import FakeRulePublisher

NOW_S = at(0).timestamp()


class Rig:
    """A Publishing with what it stands on."""

    def __init__(self) -> None:
        self.store = FakePolicyStore()
        self.rules = FakeRulePublisher()
        self.alerts = FakeAlertEnder()
        self.now_s = NOW_S
        self.thresholds: dict[str, float] = {}
        self.meters = telemetry.Telemetry()
        self.made = self.anew()

    def anew(self, *initial: documents.Document, **thresholds: float) -> publishing.Publishing:
        """Another one on the same store and rules, as after a restart."""
        return publishing.Publishing(
            self.store,
            self.rules,
            alerts=self.alerts,
            thresholds=lambda: config.Thresholds(**(thresholds or self.thresholds)),
            clock=lambda: self.now_s,
            meters=self.meters,
            initial=initial,
        )

    def meanwhile(self, change: Callable[[], object]) -> None:
        """Have somebody else change policies once, between the check of a change and its turn."""
        check = self.rules.check

        def checked(each: Sequence[drafts.Draft]) -> None:
            self.rules.check = check  # type: ignore[method-assign]
            check(each)
            change()

        self.rules.check = checked  # type: ignore[method-assign]

    def counted(self, name: str, **labels: str) -> float | None:
        return self.meters.registry.get_sample_value(name, labels)

    def live(self) -> set[tuple[str, int]]:
        return {(each.policy, each.revision) for each in self.rules.live()}

    def kept(self) -> set[tuple[str, int]]:
        page = self.store.list_policies(revisions.Filter())
        return {(each.document.name, each.revision) for each in page.policies}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def document(name: str = "High CPU", threshold: float = 80, **more: object) -> documents.Document:
    tree = factories.tree(factories.above(threshold), name=name, **more)
    return documents.parse(tree, "policy")


def test_a_new_policy_is_checked_published_and_kept(rig: Rig) -> None:
    policy = rig.made.create(document(), by="ann")
    made = revisions.Made("ann", at(0))
    assert policy == revisions.Policy(1, 1, document(), made, made)
    assert rig.store.policy(1) == policy
    assert rig.rules.checked == ["High CPU"]
    assert rig.live() == {("High CPU", 1)}


def test_a_changed_policy_is_published_at_its_next_revision(rig: Rig) -> None:
    policy = rig.made.create(document(), by="ann")
    changed = rig.made.replace(policy.id, document(threshold=90), expected=1, by="bob")
    assert (changed.revision, changed.changed.by, changed.created.by) == (2, "bob", "ann")
    assert rig.live() == {("High CPU", 2)}
    assert "> 90" in rig.rules.published[0].text


def test_the_same_document_again_makes_no_revision(rig: Rig) -> None:
    policy = rig.made.create(document(), by="ann")
    assert rig.made.replace(policy.id, document(), expected=None, by="bob") == policy
    assert rig.made.switch(policy.id, is_enabled=True, expected=1, by="bob") == policy
    assert rig.made.restore(policy.id, 1, expected=1, by="bob") == policy
    assert rig.rules.publications == 1


def test_a_disabled_policy_is_kept_and_not_evaluated(rig: Rig) -> None:
    policy = rig.made.create(document(), by="ann")
    off = rig.made.switch(policy.id, is_enabled=False, expected=None, by="bob")
    assert (off.revision, off.document.enabled) == (2, False)
    assert rig.live() == set()
    on = rig.made.switch(policy.id, is_enabled=True, expected=2, by="bob")
    assert (on.revision, on.document) == (3, document(enabled=True))
    assert rig.live() == {("High CPU", 3)}
    changes = [each.change for each in rig.store.revisions(policy.id)]
    assert changes == [Change.ENABLED, Change.DISABLED, Change.CREATED]


def test_a_deleted_policy_can_be_restored(rig: Rig) -> None:
    policy = rig.made.create(document(), by="ann")
    assert rig.made.delete(policy.id, expected=1, by="bob").is_deleted
    assert (rig.live(), rig.kept()) == (set(), set())
    with pytest.raises(errors.NotFoundError, match="policy 1: no policy has this id"):
        rig.made.replace(policy.id, document(), expected=None, by="bob")
    back = rig.made.restore(policy.id, 1, expected=2, by="ann")
    assert (back.revision, back.is_deleted) == (3, False)
    assert rig.live() == {("High CPU", 3)}


def test_a_revision_that_is_restored_is_checked_as_a_new_policy_is(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    rig.made.replace(1, document(threshold=90), expected=1, by="ann")
    rig.rules.refuses = {"High CPU"}
    with pytest.raises(errors.PolicyError, match="High CPU: refused"):
        rig.made.restore(1, 1, expected=None, by="ann")
    assert rig.kept() == {("High CPU", 2)}


def test_a_revision_that_never_was_cannot_be_restored(rig: Rig) -> None:
    policy = rig.made.create(document(), by="ann")
    for policy_id, number in ((policy.id, 2), (9, 1)):
        with pytest.raises(errors.NotFoundError, match=rf"policy {policy_id}: .* {number}"):
            rig.made.restore(policy_id, number, expected=None, by="ann")


@pytest.mark.parametrize(
    "change",
    [
        lambda made, rev: made.replace(1, document(threshold=1), expected=rev, by="bob"),
        lambda made, rev: made.switch(1, is_enabled=False, expected=rev, by="bob"),
        lambda made, rev: made.restore(1, 1, expected=rev, by="bob"),
        lambda made, rev: made.delete(1, expected=rev, by="bob"),
    ],
)
def test_a_change_to_an_old_revision_is_refused_with_the_current_one(
    rig: Rig, change: Callable[[publishing.Publishing, int], object]
) -> None:
    rig.made.create(document(), by="ann")
    rig.made.replace(1, document(threshold=90), expected=1, by="ann")
    with pytest.raises(errors.ConflictError) as refusal:
        change(rig.made, 1)
    assert refusal.value.current == 2
    assert rig.live() == rig.kept() == {("High CPU", 2)}
    change(rig.made, 2)


def test_what_the_compiler_or_the_judge_refuses_changes_nothing(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    wrong = {"type": "metric_threshold", "metric_name": "load_per_cpu", "operator": "gt"}
    unusable = documents.parse(factories.tree(wrong, name="High CPU"), "policy")
    with pytest.raises(errors.PolicyError, match=r"rules\.0\.condition"):
        rig.made.replace(1, unusable, expected=None, by="bob")
    rig.rules.refuses = {"High CPU"}
    with pytest.raises(errors.PolicyError, match="High CPU: refused"):
        rig.made.replace(1, document(threshold=90), expected=None, by="bob")
    assert rig.live() == rig.kept() == {("High CPU", 1)}


def test_rules_that_cannot_be_published_leave_the_policy_as_it_was(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    rig.rules.failure = errors.PublishError("Prometheus is down", retryable=True)
    with pytest.raises(errors.PublishError):
        rig.made.replace(1, document(threshold=90), expected=None, by="bob")
    assert rig.kept() == {("High CPU", 1)}
    rig.rules.failure = None
    assert rig.live() == {("High CPU", 1)}


def test_a_change_that_cannot_be_committed_leaves_the_rules_as_they_were(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    rig.store.at_commit = errors.StoreError("PostgreSQL is gone", retryable=True)
    with pytest.raises(errors.StoreError):
        rig.made.replace(1, document(threshold=90), expected=None, by="bob")
    rig.store.at_commit = None
    assert rig.live() == rig.kept() == {("High CPU", 1)}
    # The number of the revision that was not committed is given again, to another document.
    rig.made.replace(1, document(threshold=70), expected=None, by="bob")
    assert "> 70" in rig.rules.published[0].text


def test_a_turn_makes_rules_what_they_should_be(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    rig.made.create(document("off", enabled=False), by="ann")
    rig.rules.published = ()
    assert rig.made.turn() == loops.Turn(came_in=2, went_out=2)
    assert rig.live() == {("High CPU", 1)}
    publications = rig.rules.publications
    rig.made.turn()
    assert rig.rules.publications == publications


def test_what_another_detector_changed_and_changed_back_is_taken_up(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    other = rig.anew()
    other.replace(1, document(threshold=90), expected=1, by="bob")
    other.replace(1, document(), expected=2, by="bob")
    rig.made.turn()
    assert rig.live() == rig.kept() == {("High CPU", 3)}


def test_new_thresholds_are_taken_up(rig: Rig) -> None:
    condition = {"type": "metric_threshold", "metric_name": "cpu_percent", "operator": "gt"}
    rig.made.create(documents.parse(factories.tree(condition), "policy"), by="ann")
    assert "> 80" in rig.rules.published[0].text
    rig.anew(cpu=95).turn()
    assert "> 95" in rig.rules.published[0].text
    rig.thresholds = {"cpu": 85}  # as a reload of the configuration does
    rig.made.turn()
    assert "> 85" in rig.rules.published[0].text


def test_another_year_writes_other_turns_of_the_clocks(rig: Rig) -> None:
    window = {"timezone": "Europe/Berlin", "weekly": [{"start": "08:00", "end": "18:00"}]}
    tree = factories.tree(factories.above(window=window))
    rig.made.create(documents.parse(tree, "policy"), by="ann")
    before = rig.rules.published[0].text
    rig.now_s += 366 * 86_400
    rig.made.turn()
    assert rig.rules.published[0].text != before


def test_a_policy_that_this_release_refuses_does_not_keep_others_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"type": "metric_threshold", "metric_name": "load_per_cpu", "operator": "gt"}
    with rig.store.changing() as changes:
        made = revisions.Made("ann", at(0))
        changes.add(documents.parse(factories.tree(wrong, name="old"), "policy"), made)
    rig.made.create(document(), by="ann")
    assert rig.live() == {("High CPU", 1)}
    assert rig.made.turn() == loops.Turn(came_in=2, went_out=1)
    assert list(rig.made.refused) == [1]
    states = {"enabled": 1, "disabled": 0, "refused": 1}
    assert {each: rig.counted("detector_policies", state=each) for each in states} == states
    assert [each.message for each in caplog.records] == ["policy left out"]


def test_applying_documents_creates_changes_and_deletes_in_one_go(rig: Rig) -> None:
    for name in ("stays", "changes", "goes"):
        rig.made.create(document(name), by="ann")
    wanted = [document("stays"), document("CHANGES", 90), document("new"), document("stays2")]
    planned = rig.made.plan(wanted, prune=True)
    assert [(each.policy.document.name, each.change) for each in planned] == [
        ("stays", None),
        ("CHANGES", Change.CHANGED),
        ("new", Change.CREATED),
        ("stays2", Change.CREATED),
        ("goes", Change.DELETED),
    ]
    assert rig.kept() == {("stays", 1), ("changes", 1), ("goes", 1)}
    publications = rig.rules.publications
    done = rig.made.apply(wanted, prune=True, by="bob")
    assert [each.change for each in done] == [each.change for each in planned]
    assert [each.policy.revision for each in done] == [1, 2, 1, 1, 2]
    assert done[1].before == document("changes")
    assert rig.rules.publications == publications + 1
    assert rig.live() == {("stays", 1), ("CHANGES", 2), ("new", 1), ("stays2", 1)}


def test_without_prune_nothing_is_deleted(rig: Rig) -> None:
    rig.made.create(document("other"), by="ann")
    rig.made.apply([document("new")], prune=False, by="bob")
    rig.made.apply([], prune=False, by="bob")
    assert rig.live() == {("other", 1), ("new", 1)}


def test_one_wrong_document_keeps_all_from_being_applied(rig: Rig) -> None:
    rig.rules.refuses = {"bad"}
    with pytest.raises(errors.PolicyError, match="bad: refused"):
        rig.made.apply([document("good"), document("bad")], prune=True, by="bob")
    with pytest.raises(errors.PolicyError, match="two policies have this name"):
        rig.made.apply([document("good"), document("GOOD")], prune=True, by="bob")
    assert rig.live() == rig.kept() == set()


def test_what_would_change_is_checked_by_a_plan_as_by_what_it_plans(rig: Rig) -> None:
    rig.made.create(document("one"), by="ann")
    rig.rules.refuses = {"one", "two"}
    wanted = [document("one", 90), document("two")]
    changes: list[Callable[[], object]] = [
        lambda: rig.made.plan(wanted, prune=False),
        lambda: rig.made.apply(wanted, prune=False, by="bob"),
    ]
    for change in changes:
        with pytest.raises(errors.PolicyError, match=r"one: refused\n.*two: refused"):
            change()
    assert rig.kept() == {("one", 1)}


def test_what_the_compiler_refuses_of_several_documents_is_told_of_all(rig: Rig) -> None:
    wrong = {"type": "metric_threshold", "metric_name": "load_per_cpu", "operator": "gt"}
    wanted = [documents.parse(factories.tree(wrong, name=name), "policy") for name in ("a", "b")]
    with pytest.raises(errors.PolicyError, match=r"^a: .*\nb: "):
        rig.made.apply(wanted, prune=False, by="bob")


def test_documents_are_applied_to_what_is_there_when_their_turn_comes(rig: Rig) -> None:
    rig.meanwhile(lambda: rig.anew().create(document("new"), by="ann"))
    done = rig.made.apply([document("new"), document("other")], prune=False, by="bob")
    assert [each.change for each in done] == [None, Change.CREATED]
    assert rig.kept() == {("new", 1), ("other", 1)}


def test_policies_of_the_first_start_are_created_once(rig: Rig) -> None:
    assert rig.made.seed([document("a"), document("b")]) == 2
    assert rig.live() == {("a", 1), ("b", 1)}
    rig.made.apply([], prune=True, by="bob")
    assert rig.made.seed([document("a")]) == 0
    assert rig.kept() == set()
    assert rig.rules.checked == ["a", "b"]


def test_policies_of_the_first_start_are_not_put_beside_those_of_another_detector(
    rig: Rig,
) -> None:
    rig.meanwhile(lambda: rig.anew().seed([document("a")]))
    assert rig.made.seed([document("a"), document("b")]) == 0
    assert rig.kept() == {("a", 1)}


def test_policies_of_the_first_start_come_after_a_change_that_was_faster(rig: Rig) -> None:
    made = rig.anew(document("a"), document("b"))
    made.create(document("B", threshold=90), by="ann")
    made.turn()
    assert rig.kept() == {("a", 1), ("B", 1)}
    rig.anew(document("c")).turn()
    assert rig.kept() == {("a", 1), ("B", 1)}


def test_who_prunes_before_the_first_turn_has_said_which_policies_there_are(rig: Rig) -> None:
    made = rig.anew(document("a"))
    made.apply([document("b")], prune=True, by="ann")
    made.turn()
    assert rig.kept() == {("b", 1)}


def test_policies_of_the_first_start_wait_for_prometheus(rig: Rig) -> None:
    made = rig.anew(document("a"))
    rig.rules.failure = errors.PublishError("Prometheus is down", retryable=True)
    with pytest.raises(errors.PublishError):
        made.turn()
    rig.rules.failure = None
    assert made.turn() == loops.Turn(came_in=1, went_out=1)


def test_there_is_an_end_to_how_many_policies_there_may_be(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MOST_POLICIES", 1)
    rig.made.create(document("a"), by="ann")
    with pytest.raises(errors.ConflictError, match="policies: 1 are allowed"):
        rig.made.create(document("b"), by="ann")
    assert rig.kept() == {("a", 1)}


def firing(rig: Rig) -> None:
    """Have every rule that is live hold one alert that fires and one that is pending."""
    alerts = tuple(
        live.ActiveAlert((("instance", name),), state, at(0), 1.0)
        for name, state in (("a", live.State.FIRING), ("b", live.State.PENDING))
    )
    rig.rules.alerts = alerts


def test_alerts_of_rules_that_are_no_more_are_ended(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.made.create(document(), by="ann")
    rig.made.create(document("other"), by="ann")
    firing(rig)
    rig.made.replace(1, document(threshold=90), expected=None, by="bob")
    assert rig.alerts.ended == [((("instance", "a"),), at(0))]
    rig.alerts.failure = errors.UpstreamError("no answer", kind="timeout", retryable=True)
    rig.made.turn()
    rig.made.create(document("third"), by="ann")
    assert caplog.records == []  # of nothing to end Alertmanager is not told
    rig.alerts.failure = None
    rig.made.delete(2, expected=None, by="bob")
    assert len(rig.alerts.ended) == 2


def test_alerts_that_cannot_be_ended_do_not_undo_the_change(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.made.create(document(), by="ann")
    firing(rig)
    rig.alerts.failure = errors.UpstreamError("no answer", kind="timeout", retryable=True)
    rig.made.delete(1, expected=None, by="bob")
    assert rig.live() == rig.kept() == set()
    assert [each.message for each in caplog.records] == ["alerts of old rules not ended"]


def test_a_failed_change_ends_no_alerts(rig: Rig) -> None:
    rig.made.create(document(), by="ann")
    firing(rig)
    rig.store.at_commit = errors.StoreError("PostgreSQL is gone", retryable=True)
    with pytest.raises(errors.StoreError):
        rig.made.delete(1, expected=None, by="bob")
    assert rig.alerts.ended == []


def test_a_policy_that_is_enabled_is_checked_as_a_new_one_is(rig: Rig) -> None:
    rig.made.create(document(enabled=False), by="ann")
    rig.rules.refuses = {"High CPU"}
    with pytest.raises(errors.PolicyError, match="High CPU: refused"):
        rig.made.switch(1, is_enabled=True, expected=None, by="ann")
    assert rig.kept() == {("High CPU", 1)}


def test_changes_beyond_the_most_are_refused_at_once_and_turns_are_not(rig: Rig) -> None:
    with contextlib.ExitStack() as under_way:
        for _ in range(publishing.MOST_AT_ONCE):
            under_way.enter_context(rig.made._slot())
        with pytest.raises(errors.PublishError, match="16 changes or checks are under way") as told:
            rig.made.create(document(), by="ann")
        assert told.value.retryable
        with pytest.raises(errors.PublishError):
            rig.made.validate(document())
        assert rig.rules.checked == []
        assert rig.made.turn() == loops.Turn(came_in=0, went_out=0)
    rig.made.create(document(), by="ann")


def test_changes_that_fail_leave_room_for_others(rig: Rig) -> None:
    rig.rules.refuses = {"bad"}
    for _ in range(publishing.MOST_AT_ONCE + 1):
        with pytest.raises(errors.PolicyError):
            rig.made.create(document("bad"), by="ann")
    rig.made.create(document(), by="ann")


def test_a_change_waits_for_the_one_before_it_no_longer_than_said(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "TURN_TIMEOUT", timedelta(milliseconds=10))
    with (
        rig.made._my_turn(),
        pytest.raises(errors.PublishError, match=r"longer than 0\.01 s") as told,
    ):
        rig.made.create(document(), by="ann")
    assert told.value.retryable
    rig.made.create(document(), by="ann")


def test_what_was_published_and_by_whom_is_one_line_of_the_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rig.made.apply([document("one"), document("two")], prune=True, by="ann")
    rig.made.apply([document("one", 90)], prune=True, by="bob")
    rig.made.replace(1, document("one", 90), expected=None, by="eve")  # as it was
    rig.made.turn()
    first, second = caplog.records
    assert {each.message for each in caplog.records} == {"policies published"}
    assert (first.__dict__["by"], first.__dict__["policies_created"]) == ("ann", ["one", "two"])
    told = second.__dict__
    assert (told["by"], told["policies_changed"], told["policies_deleted"]) == (
        "bob",
        ["one"],
        ["two"],
    )


def test_a_line_of_the_log_names_the_first_policies_of_many(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(publishing, "NAMES_TOLD", 2)
    rig.made.apply([document("a"), document("b")], prune=True, by="ann")
    rig.made.apply([document("c"), document("d"), document("e")], prune=True, by="ann")
    told = [each.__dict__["policies_created"] for each in caplog.records]
    assert told == [["a", "b"], ["c", "d", "…"]]


def test_policies_and_what_became_of_changes_are_counted(rig: Rig) -> None:
    assert rig.counted("detector_policy_changes_total", outcome="failed") == 0
    rig.made.create(document("on"), by="ann")
    rig.made.create(document("off", enabled=False), by="ann")
    kept = revisions.kept(7, name="on", enabled=True)
    rig.store._kept[1] = dataclasses.replace(rig.store._kept[1], document=kept)
    rig.made.turn()
    states = {
        each: rig.counted("detector_policies", state=each)
        for each in ("enabled", "disabled", "refused")
    }
    assert states == {"enabled": 0, "disabled": 1, "refused": 1}
    with pytest.raises(errors.ConflictError):
        rig.made.create(document("OFF"), by="ann")
    with pytest.raises(errors.NotFoundError):
        rig.made.delete(9, expected=None, by="ann")
    rig.rules.refuses = {"bad"}
    with pytest.raises(errors.PolicyError):
        rig.made.create(document("bad"), by="ann")
    rig.rules.failure = errors.PublishError("away", retryable=True)
    with pytest.raises(errors.PublishError):
        rig.made.create(document("late"), by="ann")
    outcomes = {
        each: rig.counted("detector_policy_changes_total", outcome=each)
        for each in ("published", "conflict", "refused", "failed")
    }
    assert outcomes == {"published": 2, "conflict": 2, "refused": 1, "failed": 1}
