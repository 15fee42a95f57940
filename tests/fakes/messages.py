"""ports.MessageStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from detector import alerts, errors, messages
from detector.messages import State


class FakeMessageStore:
    """Keeps messages in dicts; threads may share it.

    status_of  an alert, None where it is not known
    """

    def __init__(
        self, status_of: Callable[[messages.Key], alerts.Status | None] = lambda _: None
    ) -> None:
        self._status_of = status_of
        self.failure: errors.StoreError | None = None
        self.kept: dict[int, messages.Message] = {}
        self._told: dict[tuple[str, messages.Key, alerts.State], int | None] = {}
        self._told_at: dict[tuple[str, messages.Key, alerts.State], datetime] = {}
        self._events: dict[int, list[messages.Event]] = {}
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

    def claim(
        self, *, at: datetime, limit: int, severities: Collection[str] | None = None
    ) -> tuple[messages.Message, ...]:
        with self._lock:
            self._fail()
            due = [
                each
                for each in self.kept.values()
                if each.state is State.QUEUED
                and each.due_at <= at
                and (severities is None or each.severity in severities)
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
            if change.state is State.QUEUED:
                queued = self._queued(message.recipient)
                known = self._known(message.recipient)
                over = {key for key, each in known.items() if alerts.State.RESOLVED in each.states}
                self._drop(messages.droppable(over, known, queued), messages.OVER, at)
            return True

    def receive(self, reference: str, receipt: messages.Receipt, *, at: datetime) -> bool:
        with self._lock:
            self._fail()
            for each in self.kept.values():
                if each.reference == reference and each.state in messages.BEFORE[receipt.state]:
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

    def unanswered(
        self, *, since: datetime, unless: messages.Unless = messages.Unless.DELIVERED
    ) -> tuple[messages.Message, ...]:
        with self._lock:
            self._fail()
            return tuple(
                each
                for each in self.kept.values()
                if each.handed_at is not None
                and since <= each.handed_at
                and self._is_unanswered(each, unless)
            )

    def follow(
        self,
        message: messages.Message,
        recipient: str,
        draft: messages.Draft,
        *,
        at: datetime,
        unless: messages.Unless = messages.Unless.DELIVERED,
    ) -> bool:
        with self._lock:
            self._fail()
            if not self._is_unanswered(self.kept[message.id], unless):
                return False
            number = self._insert(recipient, draft, at, follows_id=message.id)
            known = self._known(recipient)
            news = [key for key in self._lasting(message) if key not in known]
            for key in news:
                self._remember(recipient, key, alerts.State.FIRING, number, at)
            if not news:
                self._drop([number], messages.ALREADY_TOLD, at)
            return bool(news)

    def given_up(self, *, since: datetime) -> int:
        with self._lock:
            self._fail()
            quiet = (messages.OVER, messages.ALREADY_TOLD)
            return sum(
                each.updated_at >= since
                and (
                    each.state in (State.FAILED, State.UNKNOWN)
                    or (each.state is State.DROPPED and each.reason not in quiet)
                )
                for each in self.kept.values()
            )

    def events(self, message_id: int) -> tuple[messages.Event, ...]:
        with self._lock:
            self._fail()
            return tuple(self._events.get(message_id, ()))

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

    def about(self, key: messages.Key) -> tuple[messages.Message, ...]:
        with self._lock:
            self._fail()
            numbers = {by for (_, told, _), by in self._told.items() if told == key}
            return tuple(self.kept[by] for by in sorted(by for by in numbers if by is not None))

    def forget(self, *, before: datetime) -> int:
        with self._lock:
            self._fail()
            old = {
                each.id
                for each in self.kept.values()
                if each.updated_at < before
                and each.state not in (State.QUEUED, State.SENDING)
                and not self._lasting(each)
            }
            for number in old:
                del self.kept[number]
            for place, told_by in list(self._told.items()):
                if told_by in old:
                    del self._told[place]
            for place, told_by in list(self._told.items()):
                has_begun = (*place[:2], alerts.State.FIRING) in self._told
                if told_by is None and self._told_at[place] < before and not has_begun:
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
        planned = messages.plan(delivered, self._known(recipient), self._queued(recipient))
        self._drop(planned.dropped, messages.OVER, at)
        for key in planned.silent:
            self._remember(recipient, key, alerts.State.RESOLVED, None, at)
        if not planned.tell:
            return 0
        number = self._insert(recipient, draft(planned.tell), at)
        for each in planned.tell:
            self._remember(recipient, messages.key_of(each), each.state, number, at)
        return 1

    def _is_unanswered(self, message: messages.Message, unless: messages.Unless) -> bool:
        by_answer = unless is messages.Unless.ACKNOWLEDGED
        states = {State.SENT, State.FAILED, State.UNKNOWN} | (
            {State.DELIVERED} if by_answer else set()
        )
        return (
            message.state in states
            and all(each.follows_id != message.id for each in self.kept.values())
            and any(
                not by_answer or self._status_of(key) in (None, alerts.Status.FIRING)
                for key in self._lasting(message)
            )
        )

    def _lasting(self, message: messages.Message) -> list[messages.Key]:
        return [
            key
            for key in self._told_by(message.id, alerts.State.FIRING)
            if (message.recipient, key, alerts.State.RESOLVED) not in self._told
        ]

    def _queued(self, recipient: str) -> dict[int, messages.Content]:
        return {
            each.id: messages.Content(
                self._told_by(each.id, alerts.State.FIRING),
                self._told_by(each.id, alerts.State.RESOLVED),
            )
            for each in self.kept.values()
            if each.recipient == recipient and each.state is State.QUEUED
        }

    def _known(self, recipient: str) -> dict[messages.Key, messages.Known]:
        states: dict[messages.Key, set[alerts.State]] = {}
        by: dict[messages.Key, tuple[int | None, bool]] = {}
        for (person, key, state), number in self._told.items():
            if person == recipient:
                states.setdefault(key, set()).add(state)
                if state is alerts.State.FIRING:
                    unheard = (State.DROPPED, State.FAILED)
                    heard = number is None or self.kept[number].state not in unheard
                    by[key] = number, heard
        return {
            key: messages.Known(frozenset(found), *by.get(key, (None, True)))
            for key, found in states.items()
        }

    def _drop(self, numbers: Collection[int], reason: str, at: datetime) -> None:
        for number in numbers:
            self._put(self.kept[number], state=State.DROPPED, reason=reason, updated_at=at)

    def _told_by(self, number: int, wanted: alerts.State) -> frozenset[messages.Key]:
        return frozenset(
            key
            for (_, key, state), told_by in self._told.items()
            if told_by == number and state is wanted
        )

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
        new = messages.Message(
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
        self._put(new)
        return self._last_id

    def _put(self, message: messages.Message, **changed: object) -> messages.Message:
        now = dataclasses.replace(message, **changed)  # type: ignore[arg-type]
        before = self.kept.get(message.id)
        self.kept[message.id] = now
        if before is None or now.updated_at != before.updated_at or now.state != before.state:
            event = messages.Event(now.updated_at, now.state, now.provider, now.reason)
            self._events.setdefault(now.id, []).append(event)
        return now

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
