"""Policies and their revisions in PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from detector import errors
from detector.policy import documents, revisions
from detector.store import database, tables, text

_POLICIES = tables.policies
_REVISIONS = tables.policy_revisions
_FIRST = _REVISIONS.alias("first")
_LOCK_KEY = 0x6D6461_706F6C69
"""Any number that no other program locks: "mda poli" in ASCII."""
TURN_TIMEOUT = timedelta(seconds=30)
"""How long a change waits for the one before it."""
LONGEST_CHANGE = timedelta(minutes=5)
"""For what is done between two statements of a change: Prometheus may take its time to reload."""

_NEWEST = (
    sa.select(
        _POLICIES.c.id,
        _POLICIES.c.name_key,
        _POLICIES.c.is_enabled,
        _POLICIES.c.revision,
        _POLICIES.c.is_deleted,
        _REVISIONS.c.document,
        _REVISIONS.c.made_by,
        _REVISIONS.c.made_at,
        _FIRST.c.made_by.label("created_by"),
        _FIRST.c.made_at.label("created_at"),
    )
    .join(
        _REVISIONS,
        (_REVISIONS.c.policy_id == _POLICIES.c.id)
        & (_REVISIONS.c.revision == _POLICIES.c.revision),
    )
    .join(_FIRST, (_FIRST.c.policy_id == _POLICIES.c.id) & (_FIRST.c.revision == 1))
)


class PostgresPolicyStore:
    """ports.PolicyStore in PostgreSQL; threads may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    @contextlib.contextmanager
    def changing(self) -> Iterator[_Changes]:
        """One transaction under a lock that all replicas heed."""
        with self._database.begin() as connection:
            _take_turn(connection)
            yield _Changes(connection)

    def all_policies(self) -> tuple[revisions.Policy, ...]:
        """One statement, which waits for nobody's turn."""
        with self._database.begin() as connection:
            return _Changes(connection).all_policies()

    def list_policies(self, wanted: revisions.Filter) -> revisions.Page:
        """One page; an unknown after_id gives an empty one."""
        with self._database.begin() as connection:
            rows = connection.execute(_page(wanted)).all()
        found = tuple(_policy(row) for row in rows[: wanted.limit])
        return revisions.Page(found, found[-1].id if len(rows) > wanted.limit else None)

    def policy(self, policy_id: int) -> revisions.Policy | None:
        """One row."""
        with self._database.begin() as connection:
            return _Changes(connection).policy(policy_id)

    def revision(self, policy_id: int, number: int) -> revisions.Revision:
        """One of those rows."""
        return revisions.the_one(
            self.revisions(policy_id, below=number + 1, limit=1), policy_id, number
        )

    def revisions(
        self, policy_id: int, *, below: int | None = None, limit: int = 100
    ) -> tuple[revisions.Revision, ...]:
        """Rows by the primary key."""
        query = (
            sa.select(_REVISIONS)
            .where(_REVISIONS.c.policy_id == policy_id)
            .order_by(_REVISIONS.c.revision.desc())
            .limit(limit)
        )
        if below is not None:
            query = query.where(_REVISIONS.c.revision < below)
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return tuple(
            revisions.Revision(
                row.revision,
                _past(row.document, policy_id),
                revisions.Change(row.change),
                revisions.Made(row.made_by, row.made_at),
            )
            for row in rows
        )


class _Changes:
    """ports.PolicyChanges within one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def all_policies(self) -> tuple[revisions.Policy, ...]:
        query = _NEWEST.where(~_POLICIES.c.is_deleted).order_by(_POLICIES.c.id)
        return tuple(_policy(row) for row in self._connection.execute(query))

    def policy(self, policy_id: int) -> revisions.Policy | None:
        query = _NEWEST.where(_POLICIES.c.id == policy_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _policy(row)

    def is_first(self) -> bool:
        return not self._connection.scalar(sa.select(sa.exists(sa.select(_POLICIES.c.id))))

    def add(self, document: documents.Document, made: revisions.Made) -> revisions.Policy:
        self._check_name(document.name, but=None)
        policy_id = self._connection.scalar(
            _POLICIES.insert().values(**_columns(document), revision=1).returning(_POLICIES.c.id)
        )
        assert policy_id is not None  # noqa: S101 - what was inserted has an id
        self._remember(policy_id, 1, document, revisions.Change.CREATED, made)
        return revisions.Policy(policy_id, 1, document, created=made, changed=made)

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
        number = policy.revision + 1
        changed = self._connection.execute(
            _POLICIES.update()
            .where(_POLICIES.c.id == policy.id, _POLICIES.c.revision == policy.revision)
            .values(**_columns(document), revision=number, is_deleted=is_deleted)
        )
        if not changed.rowcount:
            current = self._connection.scalar(
                sa.select(_POLICIES.c.revision).where(_POLICIES.c.id == policy.id)
            )
            raise errors.ConflictError(
                revisions.outdated(policy.id, policy.revision, current), current=current
            )
        self._remember(policy.id, number, document, change, made)
        return revisions.Policy(
            policy.id, number, document, policy.created, made, is_deleted=is_deleted
        )

    def _check_name(self, name: str, *, but: int | None) -> None:
        taken = self._connection.scalar(
            sa.select(_POLICIES.c.id).where(
                _POLICIES.c.name_key == revisions.name_key(name),
                ~_POLICIES.c.is_deleted,
                _POLICIES.c.id.is_distinct_from(but),
            )
        )
        if taken is not None:
            raise errors.ConflictError(revisions.name_taken(name, taken))

    def _remember(
        self,
        policy_id: int,
        number: int,
        document: revisions.Kept,
        change: revisions.Change,
        made: revisions.Made,
    ) -> None:
        self._connection.execute(
            _REVISIONS.insert().values(
                policy_id=policy_id,
                revision=number,
                document=_tree(document),
                change=change.value,
                made_by=text.storable(made.by),
                made_at=made.at,
            )
        )


def _take_turn(connection: sa.Connection) -> None:
    """Wait until nobody else changes policies; held to the transaction's end."""
    for setting, span in (
        ("lock_timeout", TURN_TIMEOUT),
        ("statement_timeout", 2 * TURN_TIMEOUT),
        ("idle_in_transaction_session_timeout", LONGEST_CHANGE),
    ):
        database.set_for_transaction(connection, setting, span)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))


def _columns(document: revisions.Kept) -> dict[str, object]:
    if isinstance(document, revisions.Refused):
        return {}  # which may be deleted, and stays what it is
    return {"name_key": revisions.name_key(document.name), "is_enabled": document.enabled}


def _page(wanted: revisions.Filter) -> sa.Select[Any]:
    c = _POLICIES.c
    query = _NEWEST.where(c.is_deleted if wanted.is_deleted else ~c.is_deleted)
    query = query.order_by(c.name_key, c.id).limit(wanted.limit + 1)
    if wanted.text is not None:
        part = text.storable(revisions.name_key(wanted.text))
        query = query.where(c.name_key.contains(part, autoescape=True))
    if wanted.is_enabled is not None:
        query = query.where(c.is_enabled == wanted.is_enabled)
    if wanted.after_id is not None:
        last = _POLICIES.alias("last")
        query = query.where(
            sa.tuple_(c.name_key, c.id)
            > sa.select(last.c.name_key, last.c.id)
            .where(last.c.id == wanted.after_id)
            .scalar_subquery()
        )
    return query


def _policy(row: Any) -> revisions.Policy:
    return revisions.Policy(
        id=row.id,
        revision=row.revision,
        document=revisions.kept(row.document, name=row.name_key, enabled=row.is_enabled),
        created=revisions.Made(row.created_by, row.created_at),
        changed=revisions.Made(row.made_by, row.made_at),
        is_deleted=row.is_deleted,
    )


def _past(tree: object, policy_id: int) -> revisions.Kept:
    """The document of a revision, which may have had another name."""
    given = tree.get("name") if isinstance(tree, dict) else None
    name = given if isinstance(given, str) else f"policy {policy_id}"
    return revisions.kept(tree, name=name, enabled=False)


def _tree(document: revisions.Kept) -> object:
    if isinstance(document, revisions.Refused):
        return document.tree
    return documents.tree_of(document)
