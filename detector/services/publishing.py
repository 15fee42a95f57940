"""Policies are changed and published as one transaction.

PostgreSQL says what holds, and the rules that Prometheus evaluates follow from it. A change is
committed only when Prometheus has been seen to evaluate the rules that it makes; what fails before
leaves both as they were. What fails after, or a crash at any point, leaves rules that are not those
of PostgreSQL at worst, which the next turn() mends: it makes them what they should be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from detector import config, errors, loops, ports, telemetry
from detector.policy import compiler, documents, drafts, live, revisions
from detector.policy.conditions import base

logger = logging.getLogger(__name__)

T = TypeVar("T")
MOST_POLICIES = 10_000
MOST_AT_ONCE = 16
"""Of the 40 threads on which requests run: while Prometheus hangs, the others still read."""
NAMES_TOLD = 20
"""In a line of the log, of each kind of change."""
TURN_TIMEOUT = timedelta(seconds=30)
"""How long a change waits for the one before it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What applying documents does with one policy.

    change  None: it stays as it is
    policy  as it is after that; as it would be, where nothing was done (its id is then 0 if it is
            to be created)
    before  its document until then; None if it is created
    """

    change: revisions.Change | None
    policy: revisions.Policy
    before: revisions.Kept | None


class Publishing:
    """Changes policies. Threads may share it; changes take turns.

    Every change raises PolicyError for what the compiler or promtool refuses, ConflictError,
    NotFoundError, PublishError, StoreError or StackError, and then nothing has changed. `expected`
    is the revision that the change was made to; None: whatever there is.
    """

    def __init__(
        self,
        store: ports.PolicyStore,
        rules: ports.RulePublisher,
        *,
        alerts: ports.AlertEnder,
        thresholds: Callable[[], config.Thresholds],
        clock: Callable[[], float],
        meters: telemetry.Telemetry,
        initial: Sequence[documents.Document] = (),
    ) -> None:
        """
        thresholds  of the settings as they are now
        initial     what the first turn creates where there has never been a policy
        """
        self._store = store
        self._rules = rules
        self._alerts = alerts
        self._thresholds = thresholds
        self._clock = clock
        self._meters = meters
        self._initial = tuple(initial)
        self._was_empty = False
        self._turn = threading.Lock()
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._cached: dict[int, _Cached] = {}
        self.refused: dict[int, str] = {}

    def validate(self, document: documents.Document) -> drafts.Draft:
        """What a policy would become, seen to pass its tests; nothing is stored."""
        draft = drafts.draft_of(document, self._given(), source=document.name)
        with self._slot():
            self._rules.check([draft])
        return draft

    def create(self, document: documents.Document, *, by: str) -> revisions.Policy:
        """A new policy, evaluated from now on."""

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            added = changes.add(document, self._made(by))
            return (Planned(revisions.Change.CREATED, added, None),)

        return self._commit([document], change, by=by)[0].policy

    def replace(
        self, policy_id: int, document: documents.Document, *, expected: int | None, by: str
    ) -> revisions.Policy:
        """The policy with another document; the same one makes no revision."""

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            policy = _current(changes, policy_id, expected)
            return self._revised(changes, policy, document, revisions.Change.CHANGED, by)

        return self._commit([document], change, by=by)[0].policy

    def switch(
        self, policy_id: int, *, is_enabled: bool, expected: int | None, by: str
    ) -> revisions.Policy:
        """The policy enabled or disabled."""
        what = revisions.Change.ENABLED if is_enabled else revisions.Change.DISABLED

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            policy = _current(changes, policy_id, expected)
            document = _taken(policy.document, f"policy {policy_id}")
            document = documents.switched(document, is_enabled=is_enabled)
            return self._revised(changes, policy, document, what, by)

        to_check = self._to_enable(policy_id) if is_enabled else []
        return self._commit(to_check, change, by=by)[0].policy

    def _to_enable(self, policy_id: int) -> list[documents.Document]:
        """The policy as it would be: of a disabled one no rules were looked at."""
        policy = self._store.policy(policy_id)
        if policy is None or isinstance(policy.document, revisions.Refused):
            return []  # which the change refuses
        return [documents.switched(policy.document, is_enabled=True)]

    def restore(
        self, policy_id: int, number: int, *, expected: int | None, by: str
    ) -> revisions.Policy:
        """The policy as it was at a revision, as a new revision; a deleted one is back again."""
        past = self._store.revision(policy_id, number)
        document = _taken(past.document, f"policy {policy_id}: revision {number}")

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            policy = _current(changes, policy_id, expected, deleted_too=True)
            return self._revised(changes, policy, document, revisions.Change.RESTORED, by)

        return self._commit([document], change, by=by)[0].policy

    def delete(self, policy_id: int, *, expected: int | None, by: str) -> revisions.Policy:
        """The policy as it was; it is evaluated no more, and its revisions are kept."""

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            policy = _current(changes, policy_id, expected)
            what = revisions.Change.DELETED
            revised = changes.revise(policy, policy.document, what, self._made(by))
            return (Planned(what, revised, policy.document),)

        return self._commit([], change, by=by)[0].policy

    def plan(self, wanted: Sequence[documents.Document], *, prune: bool) -> tuple[Planned, ...]:
        """What apply() would do, in the order of the documents, then what is deleted.

        Raises PolicyError too where promtool refuses what would change.
        """
        planned = _planned(self._store.all_policies(), wanted, prune=prune, made=self._made(""))
        with self._slot():
            self._check(_to_check(planned))
        return planned

    def apply(
        self, wanted: Sequence[documents.Document], *, prune: bool, by: str
    ) -> tuple[Planned, ...]:
        """Make the policies of these names what the documents say, all of them or none; with
        `prune` those of other names are deleted."""

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            made = self._made(by)
            planned = _planned(changes.all_policies(), wanted, prune=prune, made=made)
            return tuple(_carried_out(changes, each, made) for each in planned)

        before = _planned(self._store.all_policies(), wanted, prune=prune, made=self._made(by))
        applied = self._commit(_to_check(before), change, by=by)
        if prune:
            self._initial = ()  # who says which there are has said it of these too
        return applied

    def seed(self, wanted: Sequence[documents.Document]) -> int:
        """Create these if there has never been a policy, but those that somebody has created since
        we started; how many were created."""

        def change(changes: ports.PolicyChanges) -> tuple[Planned, ...]:
            made = self._made(FIRST_START)
            taken = {revisions.name_key(each.document.name) for each in changes.all_policies()}
            return tuple(
                Planned(revisions.Change.CREATED, changes.add(document, made), None)
                for document in (wanted if changes.is_first() or self._was_empty else ())
                if revisions.name_key(document.name) not in taken
            )

        if not self._is_empty() and not self._was_empty:
            return 0
        return len(self._commit(wanted, change, by=FIRST_START))

    def _is_empty(self) -> bool:
        """Whether there has never been a policy."""
        with self._store.changing() as changes:
            return changes.is_first()

    def turn(self) -> loops.Turn:
        """Make what Prometheus evaluates what it should be, after a crash, after a change of
        thresholds, or where somebody changed it: the turn of a loop."""
        if self._initial:
            self.seed(self._initial)
            self._initial = ()
        count = self._publish(lambda changes: len(changes.all_policies()))
        return loops.Turn(came_in=count, went_out=count - len(self.refused))

    def _commit(
        self,
        to_check: Sequence[documents.Document],
        change: Callable[[ports.PolicyChanges], tuple[Planned, ...]],
        *,
        by: str,
    ) -> tuple[Planned, ...]:
        """The change made and published; documents that it brings are checked before, so that
        nobody waits for promtool."""
        outcome = "failed"
        if self._initial and by != FIRST_START:
            # A change may come before the first turn, which has to know what was before.
            self._was_empty = self._was_empty or self._is_empty()
        try:
            with self._slot():
                self._check(to_check)
                done = self._publish(change)
            outcome = "published"
        except errors.PolicyError:
            outcome = "refused"
            raise
        except (errors.ConflictError, errors.NotFoundError):
            outcome = "conflict"
            raise
        finally:
            self._meters.policy_changes.labels(outcome).inc()
        _log(done, by)
        return done

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            raise errors.PublishError(
                f"policies: {MOST_AT_ONCE} changes or checks are under way, which is the most: "
                "try again",
                retryable=True,
            )
        try:
            yield
        finally:
            self._slots.release()

    @contextlib.contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_TIMEOUT.total_seconds()):
            raise errors.PublishError(
                "policies: the change before this one takes longer than "
                f"{TURN_TIMEOUT.total_seconds():g} s: see whether Prometheus answers and try again",
                retryable=True,
            )
        try:
            yield
        finally:
            self._turn.release()

    def _publish(self, change: Callable[[ports.PolicyChanges], T]) -> T:
        with self._my_turn():
            with contextlib.ExitStack() as published, self._store.changing() as changes:
                done = change(changes)
                policies = changes.all_policies()
                if len(policies) > MOST_POLICIES:
                    raise errors.ConflictError(f"policies: {MOST_POLICIES:,} are allowed")
                gone = published.enter_context(self._rules.publishing(self._compile(policies)))
                # Only here is it committed: if that fails, the rules of before are put back.
            self._count(policies)
            self._end_alerts(gone)
            return done

    def _end_alerts(self, gone: Iterable[live.LiveRule]) -> None:
        """Alerts of rules that are no more end now, not when Alertmanager gives them up."""
        ended = [
            alert.labels
            for rule in gone
            for alert in rule.alerts
            if alert.state is live.State.FIRING
        ]
        if not ended:
            return
        try:
            self._alerts.end(ended, at=self._now())
        except errors.UpstreamError as error:
            logger.warning("alerts of old rules not ended", extra={"reason": str(error)})

    def _count(self, policies: Iterable[revisions.Policy]) -> None:
        counts = Counter(
            "refused"
            if each.id in self.refused
            else "enabled"
            if each.document.enabled
            else "disabled"
            for each in policies
        )
        for state in telemetry.POLICY_STATES:
            self._meters.policies.labels(state).set(counts[state])

    def _check(self, to_check: Sequence[documents.Document]) -> None:
        given = self._given()
        found: list[drafts.Draft] = []
        faults: list[errors.PolicyError] = []
        for each in to_check:
            try:
                found.append(drafts.draft_of(each, given, source=each.name))
            except errors.PolicyError as error:
                faults.append(error)
        if faults:
            raise errors.PolicyErrors(faults)
        if found:
            self._rules.check(found)

    def _compile(self, policies: Sequence[revisions.Policy]) -> list[compiler.Compiled]:
        """All that can be compiled; a policy that this release takes no more is told and left out,
        rather than to keep the others from being published."""
        given = self._given()
        kept: dict[int, _Cached] = {}
        refused: dict[int, str] = {}
        for policy in policies:
            before = self._cached.get(policy.id)
            if before is not None and before.fits(policy, given):
                kept[policy.id] = before
                continue
            document = policy.document
            if isinstance(document, revisions.Refused):
                refused[policy.id] = document.reason
                continue
            try:
                found = compiler.compiled(document, policy.revision, given)
            except errors.PolicyError as error:
                refused[policy.id] = str(error)
                continue
            kept[policy.id] = _Cached(policy, given, found)
        for policy_id, reason in refused.items():
            if self.refused.get(policy_id) != reason:
                logger.error("policy left out", extra={"policy": policy_id, "reason": reason})
        self._cached, self.refused = kept, refused
        return [each.compiled for each in kept.values()]

    def _revised(
        self,
        changes: ports.PolicyChanges,
        policy: revisions.Policy,
        document: documents.Document,
        change: revisions.Change,
        by: str,
    ) -> tuple[Planned, ...]:
        if document == policy.document and not policy.is_deleted:
            return (Planned(None, policy, policy.document),)
        revised = changes.revise(policy, document, change, self._made(by))
        return (Planned(change, revised, policy.document),)

    def _made(self, by: str) -> revisions.Made:
        return revisions.Made(by, self._now())

    def _given(self) -> base.Given:
        return base.Given(self._thresholds(), self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


FIRST_START = "first start"
"""Who made the policies that come with the project."""


@dataclass(frozen=True, slots=True)
class _Cached:
    """What a policy was compiled to; in another year other dates are written out.

    A revision that was not committed may come again with another document.
    """

    policy: revisions.Policy
    given: base.Given
    compiled: compiler.Compiled

    def fits(self, policy: revisions.Policy, given: base.Given) -> bool:
        return (
            self.policy.revision == policy.revision
            and self.given.now.year == given.now.year
            and self.given.thresholds == given.thresholds
            and self.policy.document == policy.document
        )


def _log(done: Iterable[Planned], by: str) -> None:
    """One line for a change, however many policies it is of."""
    names: dict[str, list[str]] = {}
    for each in done:
        if each.change is not None:
            # A record of the log has an attribute `created` of its own.
            names.setdefault(f"policies_{each.change}", []).append(each.policy.document.name)
    if names:
        told = {
            what: [*each[:NAMES_TOLD], *(["…"] if len(each) > NAMES_TOLD else [])]
            for what, each in names.items()
        }
        logger.info("policies published", extra={"by": by, **told})


def _current(
    changes: ports.PolicyChanges,
    policy_id: int,
    expected: int | None,
    *,
    deleted_too: bool = False,
) -> revisions.Policy:
    found = revisions.not_deleted(changes.policy(policy_id), policy_id, deleted_too=deleted_too)
    if expected is not None and found.revision != expected:
        text = revisions.outdated(policy_id, expected, found.revision)
        raise errors.ConflictError(text, current=found.revision)
    return found


def _planned(
    policies: Iterable[revisions.Policy],
    wanted: Sequence[documents.Document],
    *,
    prune: bool,
    made: revisions.Made,
) -> tuple[Planned, ...]:
    by_name = {revisions.name_key(each.document.name): each for each in policies}
    _check_names(wanted)
    found = []
    for document in wanted:
        policy = by_name.pop(revisions.name_key(document.name), None)
        if policy is None:
            new = revisions.Policy(0, 0, document, made, made)
            found.append(Planned(revisions.Change.CREATED, new, None))
        elif policy.document == document:
            found.append(Planned(None, policy, policy.document))
        else:
            after = dataclasses.replace(policy, document=document, changed=made)
            found.append(Planned(revisions.Change.CHANGED, after, policy.document))
    if prune:
        found += [
            Planned(revisions.Change.DELETED, each, each.document) for each in by_name.values()
        ]
    return tuple(found)


def _check_names(wanted: Iterable[documents.Document]) -> None:
    seen: set[str] = set()
    for document in wanted:
        key = revisions.name_key(document.name)
        if key in seen:
            fault = errors.PolicyFault("name", document.name, "two policies have this name")
            raise errors.PolicyError(document.name, [fault])
        seen.add(key)


def _to_check(planned: Iterable[Planned]) -> list[documents.Document]:
    """What is new of a plan."""
    return [
        each.policy.document
        for each in planned
        if each.change in (revisions.Change.CREATED, revisions.Change.CHANGED)
        and isinstance(each.policy.document, documents.Document)
    ]


def _taken(document: revisions.Kept, what: str) -> documents.Document:
    if isinstance(document, revisions.Refused):
        raise errors.ConflictError(
            f"{what}: the document that is kept is refused: {document.reason}: {revisions.WAY_OUT}"
        )
    return document


def _carried_out(changes: ports.PolicyChanges, planned: Planned, made: revisions.Made) -> Planned:
    policy, change = planned.policy, planned.change
    if change is None:
        return planned
    if change is revisions.Change.CREATED:
        assert isinstance(policy.document, documents.Document)  # noqa: S101 - it is wanted
        return dataclasses.replace(planned, policy=changes.add(policy.document, made))
    return dataclasses.replace(
        planned, policy=changes.revise(policy, policy.document, change, made)
    )
