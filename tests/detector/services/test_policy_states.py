"""How policies fare, over fake rules; tests/detector/api has what the API makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from detector import errors
from detector.policy import compiler, documents, live, revisions
from detector.services import policy_states
from tests.detector.policy import factories
from tests.factories import at
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.rules import FakeRulePublisher

MADE = revisions.Made("ann", at(0))
WEBHOOK = {"type": "webhook", "url": "https://example.org/x"}
SCALE = {"type": "scale_down", "target": "web"}


def policy(
    number: int = 1, *actions: dict[str, Any], revision: int = 1, **more: Any
) -> revisions.Policy:
    """A policy with a rule for each of these actions, the first with the lowest priority number."""
    tree = factories.tree(*(factories.above() for _ in actions or (0,)), name=f"p{number}", **more)
    for rule, action in zip(tree["rules"], actions, strict=False):
        rule["action"] = action
    return revisions.Policy(number, revision, documents.parse(tree, "p"), MADE, MADE)


def published(*policies: revisions.Policy) -> FakeRulePublisher:
    rules = FakeRulePublisher()
    for each in policies:
        assert isinstance(each.document, documents.Document)
        compiled = compiler.compiled(each.document, each.revision, factories.GIVEN)
        rules.published += (compiled,)
    return rules


def state(
    rules: FakeRulePublisher,
    of: revisions.Policy,
    *others: revisions.Policy,
    refused: Mapping[int, str] | None = None,
) -> policy_states.PolicyState:
    states = policy_states.PolicyStates(
        rules, FakeEpisodeStore(), policies=lambda: (of, *others), refused=lambda: refused or {}
    )
    return states.state(of)


def test_why_a_policy_is_left_out_is_told_before_anything_else() -> None:
    class Away(FakeRulePublisher):
        def live(self) -> tuple[live.LiveRule, ...]:
            raise errors.UpstreamError("gone", kind="unreachable", retryable=True)

    assert state(published(), policy(), refused={1: "no number"}).trouble == "no number"
    assert state(Away(), policy(), refused={1: "no number"}).trouble == "no number"
    assert state(Away(), policy()).trouble == "its rules are not known: gone"


def test_rules_stand_by_number_and_the_oldest_revision_of_them_counts() -> None:
    now = policy(1, WEBHOOK, WEBHOOK, revision=3)
    rules = published(now, policy(2))
    first, second, of_other = rules.live()
    second = dataclasses.replace(second, revision=2)
    rules.live = lambda: (of_other, second, first)  # type: ignore[method-assign]
    found = state(rules, now)
    assert [each.number for each in found.rules] == [1, 2]
    assert (found.published, found.trouble) == (2, "Prometheus does not evaluate this revision yet")


@pytest.mark.parametrize(
    "off", [policy(enabled=False), dataclasses.replace(policy(), is_deleted=True)]
)
def test_what_is_not_to_be_evaluated_is_in_no_trouble(off: revisions.Policy) -> None:
    assert state(published(), off).trouble == ""


def firing(rules: FakeRulePublisher, alert_state: live.State = live.State.FIRING) -> None:
    rules.alerts = (live.ActiveAlert((), alert_state, at(0), 1.0),)


def test_a_rule_that_only_waits_asks_for_nothing() -> None:
    rules = published(policy(1, SCALE))
    firing(rules, live.State.PENDING)
    assert [each.is_asked for each in state(rules, policy(1, SCALE)).actions] == [False]


def test_an_action_that_is_not_asked_for_is_superseded_by_none() -> None:
    graver, milder = policy(1, SCALE), policy(2, SCALE)
    rules = published(graver)
    firing(rules)
    (action,) = state(rules, milder, graver).actions
    assert (action.is_asked, action.superseded_by) == (False, None)


def test_actions_that_act_on_nothing_of_their_own_do_not_supersede_each_other() -> None:
    one, two = policy(1, WEBHOOK), policy(2, WEBHOOK)
    rules = published(one, two)
    firing(rules)
    (action,) = state(rules, two, one).actions
    assert action == policy_states.ActionState(1, "webhook", True, None)


def test_a_policy_does_not_supersede_itself() -> None:
    both = policy(1, SCALE, SCALE)
    rules = published(both)
    firing(rules)
    assert [each.superseded_by for each in state(rules, both).actions] == [None, None]
