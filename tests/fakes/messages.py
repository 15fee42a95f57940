"""ports.MessageStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from detector import alerts, errors, messages
from detector.messages import State


class FakeMessageStore:
    """Keeps messages in dicts; threads may share it."""

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self.kept: dict[int, messages.Message] = {}
        self._told: dict[tuple[str, messages.Key, alerts.State], int | None] = {}
        self._told_at: dict[tuple[str, messages.Key, alerts.State], datetime] = {}
        self._last_id = 0
        self._lock = threading.Lock()

    def tell(
        self,
        recipients: Sequence[str],
        delivered: Sequence[alerts.Notification],
        draft: Callable[[Sequence[alerts.Notification]], messages.Draft],
        *,
        at: datetime,
    ) -> int:
        with self._lock:
            self._fail()
            return sum(self._tell(each, delivered, draft, at) for each in recipients)

    def claim(self, *, at: datetime, limit: int) -> tuple[messages.Message, ...]:
        with self._lock:
            self._fail()
            due = [
                each
                for each in self.kept.values()
                if each.state is State.QUEUED and each.due_at <= at
            ]
            due.sort(key=lambda each: (each.due_at, each.id))
            return tuple(
                self._put(
                    each,
                    state=State.SENDING,
                    handed_at=at,
                    updated_at=at,
                    attempts=each.attempts + 1,
                )
                for each in due[:limit]
            )

    def in_doubt(self, *, before: datetime) -> tuple[messages.Message, ...]:
        with self._lock:
            self._fail()
            return tuple(
                each
                for each in self.kept.values()
                if each.state is State.SENDING and each.handed_at and each.handed_at < before
            )

    def settle(self, message: messages.Message, change: messages.Change, *, at: datetime) -> bool:
        with self._lock:
            self._fail()
            now = self.kept[message.id]
            if (now.state, now.attempts) != (message.state, message.attempts):
                return False
            given = {
                name: value
                for name, value in dataclasses.asdict(change).items()
                if value is not None
            }
            self._put(now, **given, updated_at=at)
            return True

    def receive(self, reference: str, receipt: messages.Receipt, *, at: datetime) -> bool:
        with self._lock:
            self._fail()
            for each in self.kept.values():
                if each.reference == reference and receipt.state in messages.AFTER[each.state]:
                    if not each.attempts:
                        return False
                    price = each.price if receipt.price is None else receipt.price
                    self._put(
                        each,
                        state=receipt.state,
                        reason=receipt.reason,
                        provider_id=receipt.provider_id or each.provider_id,
                        price=price,
                        updated_at=at,
                    )
                    return True
            return False

    def spent(self, *, since: datetime) -> float:
        with self._lock:
            self._fail()
            return sum(
                each.price
                for each in self.kept.values()
                if each.handed_at is not None
                and each.handed_at >= since
                and (
                    each.state in (State.SENDING, State.SENT, State.DELIVERED, State.UNKNOWN)
                    or (each.state is State.FAILED and each.provider_id)
                )
            )

    def unanswered(self, *, since: datetime) -> tuple[messages.Message, ...]:
        with self._lock:
            self._fail()
            followed = {each.follows_id for each in self.kept.values()}
            return tuple(
                each
                for each in self.kept.values()
                if each.state in (State.SENT, State.FAILED, State.UNKNOWN)
                and each.handed_at is not None
                and since <= each.handed_at
                and each.id not in followed
                and any(
                    (each.recipient, key, alerts.State.RESOLVED) not in self._told
                    for key in self._began(each.id)
                )
            )

    def follow(
        self, message: messages.Message, recipient: str, draft: messages.Draft, *, at: datetime
    ) -> bool:
        with self._lock:
            self._fail()
            if any(each.follows_id == message.id for each in self.kept.values()):
                return False
            number = self._insert(recipient, draft, at, follows_id=message.id)
            for key in self._began(message.id):
                self._remember(recipient, key, alerts.State.FIRING, number, at)
            return True

    def list_messages(self, wanted: messages.Filter) -> messages.Page:
        with self._lock:
            self._fail()
            found = [
                each
                for each in sorted(self.kept.values(), key=lambda each: -each.id)
                if wanted.state in (None, each.state)
                and wanted.recipient in (None, each.recipient)
                and (wanted.before_id is None or each.id < wanted.before_id)
            ]
        page = tuple(found[: wanted.limit])
        return messages.Page(page, page[-1].id if len(found) > wanted.limit else None)

    def forget(self, *, before: datetime) -> int:
        with self._lock:
            self._fail()
            old = {
                each.id
                for each in self.kept.values()
                if each.updated_at < before and each.state not in (State.QUEUED, State.SENDING)
            }
            for number in old:
                del self.kept[number]
            for place, told_by in list(self._told.items()):
                if told_by in old or (told_by is None and self._told_at[place] < before):
                    del self._told[place]
            for each in list(self.kept.values()):
                if each.follows_id in old:
                    self._put(each, follows_id=None)
            return len(old)

    def _tell(
        self,
        recipient: str,
        delivered: Sequence[alerts.Notification],
        draft: Callable[[Sequence[alerts.Notification]], messages.Draft],
        at: datetime,
    ) -> int:
        queued = {
            each.id: self._began(each.id)
            for each in self.kept.values()
            if each.recipient == recipient and each.state is State.QUEUED
        }
        known: dict[messages.Key, set[alerts.State]] = {}
        for person, key, state in self._told:
            if person == recipient:
                known.setdefault(key, set()).add(state)
        planned = messages.plan(delivered, known, queued)
        for number in planned.dropped:
            self._put(self.kept[number], state=State.DROPPED, reason=messages.OVER, updated_at=at)
        for key in planned.silent:
            self._remember(recipient, key, alerts.State.RESOLVED, None, at)
        if not planned.tell:
            return 0
        number = self._insert(recipient, draft(planned.tell), at)
        for each in planned.tell:
            self._remember(recipient, messages.key_of(each), each.state, number, at)
        return 1

    def _began(self, number: int) -> set[messages.Key]:
        return {
            key
            for (_, key, state), told_by in self._told.items()
            if told_by == number and state is alerts.State.FIRING
        }

    def _remember(
        self,
        recipient: str,
        key: messages.Key,
        state: alerts.State,
        number: int | None,
        at: datetime,
    ) -> None:
        if (recipient, key, state) not in self._told:
            self._told[recipient, key, state] = number
            self._told_at[recipient, key, state] = at

    def _insert(
        self,
        recipient: str,
        draft: messages.Draft,
        at: datetime,
        *,
        follows_id: int | None = None,
    ) -> int:
        self._last_id += 1
        self.kept[self._last_id] = messages.Message(
            id=self._last_id,
            reference=secrets.token_urlsafe(messages.REFERENCE_BYTES),
            recipient=recipient,
            text=draft.text,
            parts=draft.parts,
            severity=draft.severity,
            state=State.QUEUED,
            created_at=at,
            due_at=draft.due_at,
            updated_at=at,
            handed_at=None,
            attempts=0,
            provider=draft.provider,
            provider_id="",
            price=draft.price,
            reason="",
            again=False,
            follows_id=follows_id,
        )
        return self._last_id

    def _put(self, message: messages.Message, **changed: object) -> messages.Message:
        self.kept[message.id] = dataclasses.replace(message, **changed)  # type: ignore[arg-type]
        return self.kept[message.id]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
