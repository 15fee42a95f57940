"""ports.RulePublisher in memory, held to the same contract suite as the one of rule files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from detector import errors
from detector.policy import compiler, drafts, live


class FakeRulePublisher:
    """Remembers what was published.

    refuses  names of policies that the judge has something against
    failure  raised in place of publishing, with the rules of before in force
    """

    def __init__(self) -> None:
        self.refuses: set[str] = set()
        self.failure: errors.PublishError | None = None
        self.checked: list[str] = []
        self.published: tuple[compiler.Compiled, ...] = ()
        self.publications = 0
        self.alerts: tuple[live.ActiveAlert, ...] = ()

    def check(self, each: Sequence[drafts.Draft]) -> None:
        self.checked += [draft.document.name for draft in each]
        faults = [
            errors.PolicyError(
                draft.source, [errors.PolicyFault("", draft.document.name, "refused")]
            )
            for draft in each
            if draft.document.name in self.refuses
        ]
        if faults:
            raise errors.PolicyErrors(faults)

    @contextlib.contextmanager
    def publishing(
        self, policies: Sequence[compiler.Compiled]
    ) -> Iterator[tuple[live.LiveRule, ...]]:
        if self.failure is not None:
            raise self.failure
        before, live_before = self.published, self.live()
        self.published = tuple(policies)
        self.publications += before != self.published
        still = {each.key for each in self.live()}
        try:
            yield tuple(each for each in live_before if each.key not in still)
        except BaseException:
            self.published = before
            raise

    def live(self) -> tuple[live.LiveRule, ...]:
        return tuple(
            live.LiveRule(
                each.policy, each.revision, rule.number, live.Health.OK, "", None, self.alerts
            )
            for each in self.published
            for rule in each.rules
        )
