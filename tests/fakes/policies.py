"""ports.PolicyStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator

from detector import errors
from detector.policy import documents, revisions


class FakePolicyStore:
    """Keeps revisions in lists; a block that raises puts back what was there before it.

    failure  raised by every call; at_commit is raised where a block of changes ends
    """

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self.at_commit: errors.StoreError | None = None
        self._kept: dict[int, revisions.Policy] = {}
        self._past: dict[int, list[revisions.Revision]] = {}
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def changing(self) -> Iterator[_FakeChanges]:
        self._fail()
        with self._turn:
            before = dict(self._kept), {key: list(past) for key, past in self._past.items()}
            try:
                yield _FakeChanges(self._kept, self._past)
                if self.at_commit is not None:
                    raise self.at_commit
            except BaseException:
                self._kept, self._past = before
                raise

    def all_policies(self) -> tuple[revisions.Policy, ...]:
        self._fail()
        return _FakeChanges(self._kept, self._past).all_policies()

    def list_policies(self, wanted: revisions.Filter) -> revisions.Page:
        self._fail()
        ordered = sorted(self._kept.values(), key=_order)
        if wanted.after_id is not None:
            last = self._kept.get(wanted.after_id)
            ordered = [each for each in ordered if last is not None and _order(each) > _order(last)]
        found = [each for each in ordered if _matches(each, wanted)]
        page = tuple(found[: wanted.limit])
        return revisions.Page(page, page[-1].id if len(found) > wanted.limit else None)

    def policy(self, policy_id: int) -> revisions.Policy | None:
        self._fail()
        return self._kept.get(policy_id)

    def revision(self, policy_id: int, number: int) -> revisions.Revision:
        return revisions.the_one(
            self.revisions(policy_id, below=number + 1, limit=1), policy_id, number
        )

    def revisions(
        self, policy_id: int, *, below: int | None = None, limit: int = 100
    ) -> tuple[revisions.Revision, ...]:
        self._fail()
        newest = reversed(self._past.get(policy_id, []))
        return tuple(each for each in newest if below is None or each.number < below)[:limit]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class _FakeChanges:
    def __init__(
        self, kept: dict[int, revisions.Policy], past: dict[int, list[revisions.Revision]]
    ) -> None:
        self._kept, self._past = kept, past

    def all_policies(self) -> tuple[revisions.Policy, ...]:
        return tuple(each for _, each in sorted(self._kept.items()) if not each.is_deleted)

    def policy(self, policy_id: int) -> revisions.Policy | None:
        return self._kept.get(policy_id)

    def is_first(self) -> bool:
        return not self._kept

    def add(self, document: documents.Document, made: revisions.Made) -> revisions.Policy:
        self._check_name(document.name, but=None)
        added = revisions.Policy(len(self._kept) + 1, 1, document, made, made)
        self._keep(added, revisions.Change.CREATED)
        return added

    def revise(
        self,
        policy: revisions.Policy,
        document: revisions.Kept,
        change: revisions.Change,
        made: revisions.Made,
    ) -> revisions.Policy:
        is_deleted = change is revisions.Change.DELETED
        if not is_deleted:
            self._check_name(document.name, but=policy.id)
        kept = self._kept.get(policy.id)
        current = None if kept is None else kept.revision
        if current != policy.revision:
            text = revisions.outdated(policy.id, policy.revision, current)
            raise errors.ConflictError(text, current=current)
        revised = dataclasses.replace(
            policy,
            revision=policy.revision + 1,
            document=document,
            changed=made,
            is_deleted=is_deleted,
        )
        self._keep(revised, change)
        return revised

    def _keep(self, policy: revisions.Policy, change: revisions.Change) -> None:
        self._kept[policy.id] = policy
        made = revisions.Revision(policy.revision, policy.document, change, policy.changed)
        self._past.setdefault(policy.id, []).append(made)

    def _check_name(self, name: str, *, but: int | None) -> None:
        for each in self.all_policies():
            same = revisions.name_key(each.document.name) == revisions.name_key(name)
            if same and each.id != but:
                raise errors.ConflictError(revisions.name_taken(name, each.id))


def _order(policy: revisions.Policy) -> tuple[str, int]:
    return revisions.name_key(policy.document.name), policy.id


def _matches(policy: revisions.Policy, wanted: revisions.Filter) -> bool:
    text = revisions.name_key(wanted.text or "")
    return (
        policy.is_deleted == wanted.is_deleted
        and text in revisions.name_key(policy.document.name)
        and wanted.is_enabled in (None, policy.document.enabled)
    )
