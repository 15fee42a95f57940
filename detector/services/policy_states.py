"""How a policy fares: what Prometheus says of its rules, and when they last fired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from detector import alerts, errors, ports
from detector.policy import compiler, documents, live, revisions


@dataclass(frozen=True, slots=True)
class ActionState:
    """What a rule asks for beside its alert.

    is_asked       its rule fires now
    superseded_by  the policy that is firing too and acts on the same with a higher priority (a
                   lower number; of equal ones, the older policy); None if there is none
    """

    rule: int
    type: str
    is_asked: bool
    superseded_by: str | None


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A policy and its rules as they are evaluated.

    published   the revision that Prometheus evaluates; None: none of it
    rules       by number; without rules that Prometheus does not have
    actions     of rules that ask for more than an alert
    last_fired  when the newest alert of any of its revisions that we were told of began
    trouble     why something of this is not known, or why it is not evaluated; empty if all is well
    """

    policy: revisions.Policy
    published: int | None
    rules: tuple[live.LiveRule, ...]
    actions: tuple[ActionState, ...]
    last_fired: datetime | None
    trouble: str


class PolicyStates:
    """Tells how policies fare. Threads may share it."""

    def __init__(
        self,
        rules: ports.RulePublisher,
        episodes: ports.EpisodeStore,
        *,
        policies: Callable[[], Sequence[revisions.Policy]],
        refused: Callable[[], Mapping[int, str]],
    ) -> None:
        self._rules = rules
        self._episodes = episodes
        self._policies = policies
        self._refused = refused

    def state(self, policy: revisions.Policy) -> PolicyState:
        """Of one policy. Raises StoreError; that Prometheus does not answer is told in it."""
        name = policy.document.name
        trouble = revisions.refusal(policy.document) or self._refused().get(policy.id, "")
        everything: tuple[live.LiveRule, ...] = ()
        try:
            everything = self._rules.live()
        except errors.UpstreamError as error:
            trouble = trouble or f"its rules are not known: {error}"
        own = (each for each in everything if each.policy == name)
        rules = tuple(sorted(own, key=lambda each: each.number))
        published = min((each.revision for each in rules), default=None)
        is_wanted = policy.document.enabled and not policy.is_deleted
        if not trouble and is_wanted and published != policy.revision:
            trouble = "Prometheus does not evaluate this revision yet"
        actions = tuple(self._actions(policy, _firing(everything)))
        return PolicyState(policy, published, rules, actions, self._last_fired(name), trouble)

    def _actions(
        self, policy: revisions.Policy, firing: frozenset[tuple[str, int]]
    ) -> Iterator[ActionState]:
        for number, rule in _rules_of(policy):
            if rule.action.type == "alert":
                continue
            is_asked = (policy.document.name, number) in firing
            by = None
            if is_asked and rule.action.acts_on is not None:
                by = self._superior(policy, rule, firing)
            yield ActionState(number, rule.action.type, is_asked, by)

    def _superior(
        self,
        policy: revisions.Policy,
        rule: documents.Rule,
        firing: frozenset[tuple[str, int]],
    ) -> str | None:
        """The policy whose action goes before this one's."""
        rivals = [
            (other.priority, each.id, each.document.name)
            for each in self._policies()
            for number, other in _rules_of(each)
            if other.action.acts_on == rule.action.acts_on
            and (each.document.name, number) in firing
        ]
        first = min(rivals, default=None)
        if first is None or first[1] == policy.id or first[0] > rule.priority:
            return None
        return first[2]

    def _last_fired(self, name: str) -> datetime | None:
        wanted = alerts.EpisodeFilter(labels=((compiler.POLICY, name),), limit=1)
        found = self._episodes.list_episodes(wanted).episodes
        return found[0].starts_at if found else None


def _firing(rules: Sequence[live.LiveRule]) -> frozenset[tuple[str, int]]:
    """(policy, number) of each rule that fires."""
    return frozenset(
        (each.policy, each.number)
        for each in rules
        if any(alert.state is live.State.FIRING for alert in each.alerts)
    )


def _rules_of(policy: revisions.Policy) -> Iterator[tuple[int, documents.Rule]]:
    """Numbered from 1; none of a document that is not taken."""
    if not isinstance(policy.document, revisions.Refused):
        yield from enumerate(policy.document.rules, 1)
