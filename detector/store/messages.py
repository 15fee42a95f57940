"""Messages that we send, in PostgreSQL."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts, messages
from detector.messages import State
from detector.store import database, tables, text

_MESSAGES = tables.messages
_EVENTS = tables.message_events
_TOLD = tables.told
_UNANSWERED = {
    messages.Unless.DELIVERED: [State.SENT.value, State.FAILED.value, State.UNKNOWN.value],
    messages.Unless.ACKNOWLEDGED: [
        State.SENT.value,
        State.DELIVERED.value,
        State.FAILED.value,
        State.UNKNOWN.value,
    ],
}
_UNHEARD = {State.DROPPED.value, State.FAILED.value}
# What it returns nobody wants, but without it each row is a statement of its own.
_TELL = postgresql.insert(_TOLD).on_conflict_do_nothing().returning(_TOLD.c.state)


class PostgresMessageStore:
    """ports.MessageStore in PostgreSQL; threads and processes may share it.

    only, but  whose messages are handed out to be sent and followed: of these recipients alone, or
               of all but these; so several that send share the table and none takes another's
    """

    def __init__(
        self,
        store: database.Database,
        *,
        only: Collection[str] | None = None,
        but: Collection[str] = (),
    ) -> None:
        self._database = store
        c = _MESSAGES.c
        mine = sa.true() if only is None else c.recipient.in_(sorted(only))
        self._is_mine = sa.and_(mine, c.recipient.not_in(sorted(but))) if but else mine

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

    def claim(
        self, *, at: datetime, limit: int, severities: Collection[str] | None = None
    ) -> tuple[messages.Message, ...]:
        """Rows that another process holds are passed over."""
        c = _MESSAGES.c
        due = (
            sa.select(c.id)
            .where(c.state == State.QUEUED.value, c.due_at <= at, self._is_mine)
            .where(sa.true() if severities is None else c.severity.in_(severities))
            .order_by(c.due_at, c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
            .prefix_with("MATERIALIZED")
        )
        claim = (
            _MESSAGES.update()
            .where(c.id == due.c.id)
            .values(state=State.SENDING.value, handed_at=at, updated_at=at, attempts=c.attempts + 1)
            .returning(_MESSAGES)
        )
        with self._database.begin() as connection:
            rows = connection.execute(claim).all()
            _note(connection, [row.id for row in rows], at)
        return tuple(_message(row) for row in sorted(rows, key=lambda row: (row.due_at, row.id)))

    def in_doubt(self, *, before: datetime) -> tuple[messages.Message, ...]:
        """By when they were handed over."""
        c = _MESSAGES.c
        query = (
            sa.select(_MESSAGES)
            .where(c.state == State.SENDING.value, c.handed_at < before, self._is_mine)
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
            if change.state is State.QUEUED:
                _take_turn(connection, message.recipient)
            if not connection.execute(update).rowcount:
                return False
            _note(connection, [message.id], at)
            if change.state is State.QUEUED:
                _drop_what_is_over(connection, message, at)
        return True

    def receive(self, reference: str, receipt: messages.Receipt, *, at: datetime) -> bool:
        """By messages.BEFORE: late and repeated ones change nothing."""
        c = _MESSAGES.c
        before = [state.value for state in messages.BEFORE[receipt.state]]
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
            changed = list(connection.scalars(update.returning(c.id)))
            _note(connection, changed, at)
        return bool(changed)

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

    def unanswered(
        self, *, since: datetime, unless: messages.Unless = messages.Unless.DELIVERED
    ) -> tuple[messages.Message, ...]:
        """Those that tell of something of which this person has not been told the end."""
        c, follower = _MESSAGES.c, _MESSAGES.alias()
        query = (
            sa.select(_MESSAGES)
            .where(c.state.in_(_UNANSWERED[unless]), c.handed_at >= since, self._is_mine)
            .where(~sa.exists().where(follower.c.follows_id == c.id), _lasts(unless))
            .order_by(c.id)
        )
        return self._found(query)

    def follow(
        self,
        message: messages.Message,
        recipient: str,
        draft: messages.Draft,
        *,
        at: datetime,
        unless: messages.Unless = messages.Unless.DELIVERED,
    ) -> bool:
        """A unique index holds that it is once; what is told of stands still meanwhile."""
        c = _MESSAGES.c
        with self._database.begin() as connection:
            for person in sorted({message.recipient, recipient}):
                _take_turn(connection, person)
            still = sa.select(c.id).where(
                c.id == message.id, c.state.in_(_UNANSWERED[unless]), _lasts(unless)
            )
            if connection.scalar(still.with_for_update()) is None:
                return False
            lasting = _lasting(connection, message)
            known = _known(connection, recipient, lasting)
            number = _insert(connection, recipient, draft, at, follows_id=message.id)
            if number is None:
                return False
            news = [key for key in lasting if key not in known]
            told = ((key, alerts.State.FIRING) for key in news)
            _remember(connection, recipient, told, number, at)
            if not news:
                _drop(connection, [number], messages.ALREADY_TOLD, at)
        return bool(news)

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

    def about(self, key: messages.Key) -> tuple[messages.Message, ...]:
        """By id, which rises with time."""
        fingerprint, starts_at = key
        told = sa.select(_TOLD.c.message_id).where(
            _TOLD.c.fingerprint == text.storable(fingerprint), _TOLD.c.starts_at == starts_at
        )
        c = _MESSAGES.c
        return self._found(sa.select(_MESSAGES).where(c.id.in_(told)).order_by(c.id))

    def given_up(self, *, since: datetime) -> int:
        """By when they were changed last."""
        c = _MESSAGES.c
        query = sa.select(sa.func.count()).where(
            c.updated_at >= since,
            sa.or_(
                c.state.in_([State.FAILED.value, State.UNKNOWN.value]),
                sa.and_(
                    c.state == State.DROPPED.value,
                    c.reason.not_in([messages.OVER, messages.ALREADY_TOLD]),
                ),
            ),
        )
        with self._database.begin() as connection:
            return connection.scalar(query) or 0

    def events(self, message_id: int) -> tuple[messages.Event, ...]:
        """By their id, which rises with time."""
        c = _EVENTS.c
        query = sa.select(_EVENTS).where(c.message_id == message_id).order_by(c.id)
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return tuple(
            messages.Event(row.at, State(row.state), row.provider, row.reason) for row in rows
        )

    def forget(self, *, before: datetime) -> int:
        """What was told goes with its message, and what was not, by its own time."""
        c = _MESSAGES.c
        under_way = [State.QUEUED.value, State.SENDING.value]
        began = _TOLD.alias()
        has_begun = sa.exists().where(
            began.c.recipient == _TOLD.c.recipient,
            began.c.fingerprint == _TOLD.c.fingerprint,
            began.c.starts_at == _TOLD.c.starts_at,
            began.c.state == alerts.State.FIRING.value,
        )
        silent = _TOLD.c.message_id.is_(None)
        old = _MESSAGES.delete().where(c.updated_at < before, c.state.not_in(under_way))
        with self._database.begin() as connection:
            forgotten = connection.execute(old.where(~_lasts())).rowcount
            connection.execute(_TOLD.delete().where(silent, _TOLD.c.told_at < before, ~has_begun))
        return forgotten

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
    _take_turn(connection, recipient)
    delivered = [_storable(each) for each in delivered]
    ended = [messages.key_of(e) for e in delivered if e.state is alerts.State.RESOLVED]
    queued = _queued(connection, recipient, ended)
    keys = {messages.key_of(each) for each in delivered}
    known = _known(connection, recipient, keys.union(*map(_keys_of, queued.values())))
    planned = messages.plan(delivered, known, queued)
    _drop(connection, planned.dropped, messages.OVER, at)
    silent = ((key, alerts.State.RESOLVED) for key in planned.silent)
    _remember(connection, recipient, silent, None, at)
    if not planned.tell:
        return 0
    number = _insert(connection, recipient, draft(planned.tell), at)
    heard = ((messages.key_of(each), each.state) for each in planned.tell)
    _remember(connection, recipient, heard, number, at)
    return 1


def _take_turn(connection: sa.Connection, recipient: str) -> None:
    """Until the transaction ends, nobody else decides what this person is told."""
    connection.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(recipient, 0)))
    )


def _drop_what_is_over(connection: sa.Connection, message: messages.Message, at: datetime) -> None:
    """A message that waits again, and the word of the end that waits behind it."""
    began = connection.execute(sa.select(_TOLD).where(_TOLD.c.message_id == message.id))
    queued = _queued(connection, message.recipient, [_key(row) for row in began])
    keys = frozenset[messages.Key]().union(*map(_keys_of, queued.values()))
    known = _known(connection, message.recipient, keys)
    over = {key for key, each in known.items() if alerts.State.RESOLVED in each.states}
    _drop(connection, messages.droppable(over, known, queued), messages.OVER, at)


def _drop(connection: sa.Connection, numbers: Collection[int], reason: str, at: datetime) -> None:
    if numbers:
        connection.execute(
            _MESSAGES.update()
            .where(_MESSAGES.c.id.in_(numbers))
            .values(state=State.DROPPED.value, reason=reason, updated_at=at)
        )
        _note(connection, numbers, at)


def _note(connection: sa.Connection, numbers: Collection[int], at: datetime) -> None:
    """Keep the state that these have come to."""
    if not numbers:
        return
    c = _MESSAGES.c
    now = sa.select(c.id, sa.literal(at), c.state, c.provider, c.reason).where(c.id.in_(numbers))
    columns = ["message_id", "at", "state", "provider", "reason"]
    connection.execute(_EVENTS.insert().from_select(columns, now.order_by(c.id)))


def _queued(
    connection: sa.Connection, recipient: str, keys: Collection[messages.Key]
) -> dict[int, messages.Content]:
    """The queued messages that tell of these, and of all else that they tell of; locked, so that
    none is claimed meanwhile."""
    c, found = _MESSAGES.c, dict[int, messages.Content]()
    looked: set[messages.Key] = set()
    wanted = set(keys)
    while wanted - looked:
        names = sorted({key.fingerprint for key in wanted - looked})
        looked |= wanted
        of_these = sa.select(_TOLD.c.message_id).where(
            _TOLD.c.recipient == recipient, _TOLD.c.fingerprint == sa.any_(sa.literal(names))
        )
        waiting = (
            sa.select(c.id)
            .where(c.id.in_(of_these), c.state == State.QUEUED.value)
            .order_by(c.id)
            .with_for_update()
        )
        for number, content in _contents(connection, list(connection.scalars(waiting))).items():
            found[number] = content
            wanted |= _keys_of(content)
    return found


def _contents(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, messages.Content]:
    began: dict[int, set[messages.Key]] = {number: set() for number in numbers}
    ended: dict[int, set[messages.Key]] = {number: set() for number in numbers}
    query = sa.select(_TOLD).where(_TOLD.c.message_id.in_(numbers))
    for row in connection.execute(query) if numbers else ():
        side = began if row.state == alerts.State.FIRING.value else ended
        side[row.message_id].add(_key(row))
    return {
        number: messages.Content(frozenset(began[number]), frozenset(ended[number]))
        for number in numbers
    }


def _keys_of(content: messages.Content) -> frozenset[messages.Key]:
    return content.began | content.ended


def _lasts(unless: messages.Unless = messages.Unless.DELIVERED) -> sa.ColumnElement[bool]:
    """Whether a message tells of something whose end this person has not been told; unless
    ACKNOWLEDGED, of something of it that still only fires, as far as is known."""
    told, end, episode = _TOLD.alias(), _TOLD.alias(), tables.episodes.alias()
    is_answered = sa.exists().where(
        episode.c.fingerprint == told.c.fingerprint,
        episode.c.starts_at == told.c.starts_at,
        episode.c.status != alerts.Status.FIRING.value,
    )
    is_over = sa.exists().where(
        end.c.recipient == told.c.recipient,
        end.c.fingerprint == told.c.fingerprint,
        end.c.starts_at == told.c.starts_at,
        end.c.state == alerts.State.RESOLVED.value,
    )
    return sa.exists().where(
        told.c.message_id == _MESSAGES.c.id,
        told.c.state == alerts.State.FIRING.value,
        ~is_over,
        *([~is_answered] if unless is messages.Unless.ACKNOWLEDGED else []),
    )


def _lasting(connection: sa.Connection, message: messages.Message) -> list[messages.Key]:
    """What it says has begun and is not over."""
    began = _contents(connection, [message.id])[message.id].began
    known = _known(connection, message.recipient, began)
    return sorted(key for key in began if alerts.State.RESOLVED not in known[key].states)


def _known(
    connection: sa.Connection, recipient: str, keys: Collection[messages.Key]
) -> dict[messages.Key, messages.Known]:
    names = sorted({key.fingerprint for key in keys})
    query = (
        sa.select(_TOLD, _MESSAGES.c.state.label("message_state"))
        .join_from(_TOLD, _MESSAGES, isouter=True)
        .where(_TOLD.c.recipient == recipient, _TOLD.c.fingerprint == sa.any_(sa.literal(names)))
    )
    states: dict[messages.Key, set[alerts.State]] = {}
    by: dict[messages.Key, tuple[int | None, bool]] = {}
    for row in connection.execute(query) if names else ():
        key = _key(row)
        if key in keys:
            states.setdefault(key, set()).add(alerts.State(row.state))
            if row.state == alerts.State.FIRING.value:
                by[key] = row.message_id, row.message_state not in _UNHEARD
    return {
        key: messages.Known(frozenset(found), *by.get(key, (None, True)))
        for key, found in states.items()
    }


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
    _note(connection, [] if number is None else [number], at)
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
