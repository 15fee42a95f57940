"""Messages that we send, in PostgreSQL."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts, messages
from detector.messages import State
from detector.store import database, tables, text

_MESSAGES = tables.messages
_TOLD = tables.told
_TELL = postgresql.insert(_TOLD).on_conflict_do_nothing()


class PostgresMessageStore:
    """ports.MessageStore in PostgreSQL; threads and processes may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def tell(
        self,
        recipients: Sequence[str],
        delivered: Sequence[alerts.Notification],
        draft: Callable[[Sequence[alerts.Notification]], messages.Draft],
        *,
        at: datetime,
    ) -> int:
        """One transaction; deliveries about one person take turns."""
        with self._database.begin() as connection:
            return sum(_tell(connection, each, delivered, draft, at) for each in sorted(recipients))

    def claim(self, *, at: datetime, limit: int) -> tuple[messages.Message, ...]:
        """Rows that another process holds are passed over."""
        c = _MESSAGES.c
        due = (
            sa.select(c.id)
            .where(c.state == State.QUEUED.value, c.due_at <= at)
            .order_by(c.due_at, c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            _MESSAGES.update()
            .where(c.id.in_(due.scalar_subquery()))
            .values(state=State.SENDING.value, handed_at=at, updated_at=at, attempts=c.attempts + 1)
            .returning(_MESSAGES)
        )
        with self._database.begin() as connection:
            rows = connection.execute(claim).all()
        return tuple(_message(row) for row in sorted(rows, key=lambda row: (row.due_at, row.id)))

    def in_doubt(self, *, before: datetime) -> tuple[messages.Message, ...]:
        """By when they were handed over."""
        c = _MESSAGES.c
        query = (
            sa.select(_MESSAGES)
            .where(c.state == State.SENDING.value, c.handed_at < before)
            .order_by(c.handed_at, c.id)
        )
        return self._found(query)

    def settle(self, message: messages.Message, change: messages.Change, *, at: datetime) -> bool:
        """By its state and attempt: what a receipt or another process has changed stays."""
        c = _MESSAGES.c
        given = {
            "provider": change.provider,
            "provider_id": change.provider_id,
            "price": change.price,
            "due_at": change.due_at,
        }
        update = (
            _MESSAGES.update()
            .where(c.id == message.id, c.state == message.state.value)
            .where(c.attempts == message.attempts)
            .values(
                state=change.state.value,
                reason=text.storable(change.reason),
                again=change.again,
                updated_at=at,
                **{name: value for name, value in given.items() if value is not None},
            )
        )
        with self._database.begin() as connection:
            return bool(connection.execute(update).rowcount)

    def receive(self, reference: str, receipt: messages.Receipt, *, at: datetime) -> bool:
        """By messages.AFTER: late and repeated ones change nothing."""
        c = _MESSAGES.c
        before = [state.value for state in State if receipt.state in messages.AFTER[state]]
        given = {"provider_id": receipt.provider_id or None, "price": receipt.price}
        update = (
            _MESSAGES.update()
            .where(c.reference == text.storable(reference), c.state.in_(before), c.attempts > 0)
            .values(
                state=receipt.state.value,
                reason=text.storable(receipt.reason),
                updated_at=at,
                **{name: value for name, value in given.items() if value is not None},
            )
        )
        with self._database.begin() as connection:
            return bool(connection.execute(update).rowcount)

    def spent(self, *, since: datetime) -> float:
        """A sum over an index."""
        c = _MESSAGES.c
        spent = {State.SENDING, State.SENT, State.DELIVERED, State.UNKNOWN}
        query = sa.select(sa.func.sum(c.price)).where(
            c.handed_at >= since,
            sa.or_(
                c.state.in_([state.value for state in spent]),
                sa.and_(c.state == State.FAILED.value, c.provider_id != ""),
            ),
        )
        with self._database.begin() as connection:
            return float(connection.scalar(query) or 0.0)

    def unanswered(self, *, since: datetime) -> tuple[messages.Message, ...]:
        """Those that tell of something of which this person has not been told the end."""
        c, told, end, follower = _MESSAGES.c, _TOLD.alias(), _TOLD.alias(), _MESSAGES.alias()
        is_over = sa.exists().where(
            end.c.recipient == told.c.recipient,
            end.c.fingerprint == told.c.fingerprint,
            end.c.starts_at == told.c.starts_at,
            end.c.state == alerts.State.RESOLVED.value,
        )
        lasts = sa.exists().where(
            told.c.message_id == c.id, told.c.state == alerts.State.FIRING.value, ~is_over
        )
        open_states = [each.value for each in (State.SENT, State.FAILED, State.UNKNOWN)]
        query = (
            sa.select(_MESSAGES)
            .where(c.state.in_(open_states), c.handed_at >= since)
            .where(~sa.exists().where(follower.c.follows_id == c.id), lasts)
            .order_by(c.id)
        )
        return self._found(query)

    def follow(
        self, message: messages.Message, recipient: str, draft: messages.Draft, *, at: datetime
    ) -> bool:
        """A unique index holds that it is once."""
        with self._database.begin() as connection:
            number = _insert(connection, recipient, draft, at, follows_id=message.id)
            if number is None:
                return False
            began = sa.select(
                sa.literal(recipient),
                _TOLD.c.fingerprint,
                _TOLD.c.starts_at,
                _TOLD.c.state,
                sa.literal(number),
                sa.literal(at),
            ).where(_TOLD.c.message_id == message.id, _TOLD.c.state == alerts.State.FIRING.value)
            columns = ["recipient", "fingerprint", "starts_at", "state", "message_id", "told_at"]
            connection.execute(_TELL.from_select(columns, began))
        return True

    def list_messages(self, wanted: messages.Filter) -> messages.Page:
        """By id, which rises with time."""
        c = _MESSAGES.c
        query = sa.select(_MESSAGES).order_by(c.id.desc()).limit(wanted.limit + 1)
        if wanted.state is not None:
            query = query.where(c.state == wanted.state.value)
        if wanted.recipient is not None:
            query = query.where(c.recipient == text.storable(wanted.recipient))
        if wanted.before_id is not None:
            query = query.where(c.id < wanted.before_id)
        found = self._found(query)
        page = found[: wanted.limit]
        return messages.Page(page, page[-1].id if len(found) > wanted.limit else None)

    def forget(self, *, before: datetime) -> int:
        """What was told goes with its message, and what was not, by its own time."""
        c = _MESSAGES.c
        under_way = [State.QUEUED.value, State.SENDING.value]
        with self._database.begin() as connection:
            connection.execute(
                _TOLD.delete().where(_TOLD.c.message_id.is_(None), _TOLD.c.told_at < before)
            )
            return connection.execute(
                _MESSAGES.delete().where(c.updated_at < before, c.state.not_in(under_way))
            ).rowcount

    def _found(self, query: sa.Select[Any]) -> tuple[messages.Message, ...]:
        with self._database.begin() as connection:
            return tuple(_message(row) for row in connection.execute(query))


def _tell(
    connection: sa.Connection,
    recipient: str,
    delivered: Sequence[alerts.Notification],
    draft: Callable[[Sequence[alerts.Notification]], messages.Draft],
    at: datetime,
) -> int:
    connection.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(recipient, 0)))
    )
    delivered = [_storable(each) for each in delivered]
    queued = _queued(connection, recipient, delivered)
    keys = {messages.key_of(each) for each in delivered}
    keys |= {key for each in queued.values() for key in each}
    planned = messages.plan(delivered, _known(connection, recipient, keys), queued)
    if planned.dropped:
        connection.execute(
            _MESSAGES.update()
            .where(_MESSAGES.c.id.in_(planned.dropped))
            .values(state=State.DROPPED.value, reason=messages.OVER, updated_at=at)
        )
    silent = ((key, alerts.State.RESOLVED) for key in planned.silent)
    _remember(connection, recipient, silent, None, at)
    if not planned.tell:
        return 0
    number = _insert(connection, recipient, draft(planned.tell), at)
    heard = ((messages.key_of(each), each.state) for each in planned.tell)
    _remember(connection, recipient, heard, number, at)
    return 1


def _queued(
    connection: sa.Connection, recipient: str, delivered: Sequence[alerts.Notification]
) -> dict[int, set[messages.Key]]:
    """What each queued message says that has begun, of those that tell of something that ends
    here; locked, so that none is claimed meanwhile."""
    ended = {each.fingerprint for each in delivered if each.state is alerts.State.RESOLVED}
    if not ended:
        return {}
    c = _MESSAGES.c
    of_these = sa.select(_TOLD.c.message_id).where(
        _TOLD.c.recipient == recipient, _TOLD.c.fingerprint == sa.any_(sa.literal(sorted(ended)))
    )
    waiting = (
        sa.select(c.id)
        .where(c.id.in_(of_these), c.state == State.QUEUED.value)
        .order_by(c.id)
        .with_for_update()
    )
    numbers = list(connection.scalars(waiting))
    found: dict[int, set[messages.Key]] = {number: set() for number in numbers}
    began = sa.select(_TOLD).where(
        _TOLD.c.message_id.in_(numbers), _TOLD.c.state == alerts.State.FIRING.value
    )
    for row in connection.execute(began) if numbers else ():
        found[row.message_id].add(_key(row))
    return found


def _known(
    connection: sa.Connection, recipient: str, keys: Iterable[messages.Key]
) -> dict[messages.Key, set[alerts.State]]:
    wanted = set(keys)
    names = sorted({key.fingerprint for key in wanted})
    query = sa.select(_TOLD).where(
        _TOLD.c.recipient == recipient, _TOLD.c.fingerprint == sa.any_(sa.literal(names))
    )
    found: dict[messages.Key, set[alerts.State]] = {}
    for row in connection.execute(query) if names else ():
        if _key(row) in wanted:
            found.setdefault(_key(row), set()).add(alerts.State(row.state))
    return found


def _insert(
    connection: sa.Connection,
    recipient: str,
    draft: messages.Draft,
    at: datetime,
    *,
    follows_id: int | None = None,
) -> int | None:
    """The new row's id; None if another one follows the same message."""
    insert = (
        postgresql.insert(_MESSAGES)
        .values(
            reference=secrets.token_urlsafe(messages.REFERENCE_BYTES),
            recipient=recipient,
            text=text.storable(draft.text),
            parts=draft.parts,
            severity=text.storable(draft.severity),
            state=State.QUEUED.value,
            created_at=at,
            due_at=draft.due_at,
            updated_at=at,
            provider=draft.provider,
            price=draft.price,
            follows_id=follows_id,
        )
        .on_conflict_do_nothing(constraint="messages_follows_id_key")
        .returning(_MESSAGES.c.id)
    )
    number: int | None = connection.scalar(insert)
    return number


def _remember(
    connection: sa.Connection,
    recipient: str,
    heard: Iterable[tuple[messages.Key, alerts.State]],
    number: int | None,
    at: datetime,
) -> None:
    rows = [
        {
            "recipient": recipient,
            "fingerprint": key.fingerprint,
            "starts_at": key.starts_at,
            "state": state.value,
            "message_id": number,
            "told_at": at,
        }
        for key, state in heard
    ]
    if rows:
        connection.execute(_TELL, rows)


def _storable(notification: alerts.Notification) -> alerts.Notification:
    """With a fingerprint that comes back from the database as it went in."""
    clean = alerts.Fingerprint(text.storable(notification.fingerprint))
    if clean == notification.fingerprint:
        return notification
    return dataclasses.replace(notification, fingerprint=clean)


def _key(row: sa.Row[Any]) -> messages.Key:
    return messages.Key(alerts.Fingerprint(row.fingerprint), row.starts_at)


def _message(row: sa.Row[Any]) -> messages.Message:
    return messages.Message(
        **{field.name: getattr(row, field.name) for field in dataclasses.fields(messages.Message)}
        | {"state": State(row.state)}
    )
