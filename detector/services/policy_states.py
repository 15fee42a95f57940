"""How a policy fares: what Prometheus says of its rules, and when they last fired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from detector import alerts, errors, ports
from detector.policy import compiler, live, revisions


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A policy and its rules as they are evaluated.

    published   the revision that Prometheus evaluates; None: none of it
    rules       by number; without rules that Prometheus does not have
    last_fired  when the newest alert of any of its revisions that we were told of began
    trouble     why something of this is not known, or why it is not evaluated; empty if all is well
    """

    policy: revisions.Policy
    published: int | None
    rules: tuple[live.LiveRule, ...]
    last_fired: datetime | None
    trouble: str


class PolicyStates:
    """Tells how policies fare. Threads may share it."""

    def __init__(
        self,
        rules: ports.RulePublisher,
        episodes: ports.EpisodeStore,
        *,
        refused: Callable[[], Mapping[int, str]],
    ) -> None:
        self._rules = rules
        self._episodes = episodes
        self._refused = refused

    def state(self, policy: revisions.Policy) -> PolicyState:
        """Of one policy. Raises StoreError; that Prometheus does not answer is told in it."""
        name = policy.document.name
        trouble = revisions.refusal(policy.document) or self._refused().get(policy.id, "")
        rules: tuple[live.LiveRule, ...] = ()
        try:
            rules = tuple(
                sorted(
                    (each for each in self._rules.live() if each.policy == name),
                    key=lambda each: each.number,
                )
            )
        except errors.UpstreamError as error:
            trouble = trouble or f"its rules are not known: {error}"
        published = min((each.revision for each in rules), default=None)
        is_wanted = policy.document.enabled and not policy.is_deleted
        if not trouble and is_wanted and published != policy.revision:
            trouble = "Prometheus does not evaluate this revision yet"
        return PolicyState(policy, published, rules, self._last_fired(name), trouble)

    def _last_fired(self, name: str) -> datetime | None:
        wanted = alerts.EpisodeFilter(labels=((compiler.POLICY, name),), limit=1)
        found = self._episodes.list_episodes(wanted).episodes
        return found[0].starts_at if found else None
