"""From messages that wait to providers, and what comes of it: never twice, never silently lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo

from detector import loops, messages, ports, telemetry
from detector.messages import State
from detector.services import telling

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=1)
GIVEN_UP_WITHIN = timedelta(minutes=15)
IN_DOUBT_AFTER = timedelta(minutes=1)
"""A provider answers or its deadline passes long before: who handed it over is no more."""
ASKED_EVERY, ASKED_FOR = timedelta(seconds=30), timedelta(minutes=10)
"""A provider that cannot tell yet may tell later: its lists lag, or it is away."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(minutes=10)
MOST_ROUNDS = 16
"""Times that each provider is asked, two hours in all: later, a message is no news."""
STANDS_IN_FOR = timedelta(days=1)
FORGET_EVERY = timedelta(hours=1)

CallbackUrl = Callable[[str, str], str | None]
"""(provider, reference) -> where receipts go; None where nobody can reach us."""


class Delivering:
    """Hands queued messages to providers, one thread at a time.

    recipients    who is told of every alert
    providers     in the order in which they are asked; the next one only after a no
    stand_ins     who is told, one after the other, where nobody knows that a message arrived
    stand_in_after
                  how long a receipt may take, or an answer
    unless        what is waited for: that it arrives, or that somebody answers
    daily_cap     of money, from midnight to midnight by the clocks of the style's zone
    """

    def __init__(
        self,
        store: ports.MessageStore,
        providers: Sequence[ports.SmsProvider],
        style: telling.Manner,
        *,
        recipients: Sequence[str],
        stand_ins: Sequence[str] = (),
        stand_in_after: timedelta = timedelta(minutes=15),
        unless: messages.Unless = messages.Unless.DELIVERED,
        daily_cap: float,
        keep: timedelta,
        callback_url: CallbackUrl = lambda _, __: None,
        clock: Callable[[], datetime],
        meters: telemetry.Telemetry,
    ) -> None:
        self._store, self._style = store, style
        self._providers = {each.name: each for each in providers}
        self._order = [each.name for each in providers]
        self._stand_ins, self._stand_in_after = tuple(stand_ins), stand_in_after
        self._unless = unless
        self._people = {*recipients, *stand_ins}
        self._is_busy = False
        self._daily_cap, self._keep = daily_cap, keep
        self._callback_url = callback_url
        self._clock, self._meters = clock, meters
        self._forgot_at: datetime | None = None
        self._asked_at: dict[int, datetime] = {}
        for state in State:
            if state is not State.SENDING:
                meters.messages.labels(state.value)
        for name in self._order:
            for outcome in ("accepted", "refused", "unclear"):
                meters.message_attempts.labels(name, outcome)

    def turn(self) -> loops.Turn:
        """Send one that is due, settle one that is in doubt, see whether somebody else has to be
        told: one at a time, so that a provider that hangs holds up no more, and the loop can be
        stopped in between. Raises StoreError."""
        self._is_busy = False  # also where the store fails
        spent = self._store.spent(since=_midnight(self._clock(), self._style.zone))
        self._meters.messages_spent.set(spent)
        now = self._clock()
        claimed = self._store.claim(at=now, limit=1, severities=self._style.allowed(now))
        for message in claimed:
            self._hand_over(message, spent)
        is_asked = self._ask_one(self._store.in_doubt(before=self._clock() - IN_DOUBT_AFTER))
        has_followed = self._stand_in()
        self._is_busy = bool(claimed) or is_asked or has_followed
        self._forget()
        self._meters.messages_given_up.set(self._store.given_up(since=now - GIVEN_UP_WITHIN))
        return loops.Turn(came_in=len(claimed), went_out=len(claimed))

    def pause(self) -> timedelta:
        """Until the next turn: none while there is more to do."""
        return timedelta(0) if self._is_busy else EVERY

    def receive(self, reference: str, receipt: messages.Receipt) -> bool:
        """What a provider says of a message; False if nothing changes by it. Raises StoreError."""
        changes = self._store.receive(reference, receipt, at=self._clock())
        if changes:
            self._meters.messages.labels(receipt.state.value).inc()
        return changes

    def _hand_over(self, message: messages.Message, spent: float) -> None:
        if message.recipient not in self._people:
            reason = "no longer among those who are told (sms, teams, notify)"
            self._settle(message, messages.Change(State.DROPPED, reason))
            return
        if spent + message.price > self._daily_cap:
            reason = f"over the day's cap of {self._daily_cap:g} (sms.daily_cap)"
            self._settle(message, messages.Change(State.DROPPED, reason))
            return
        name = message.provider
        if name not in self._providers:  # whoever asks after a crash has to know whom
            name = self._order[0]
            change = messages.Change(State.SENDING, message.reason, provider=name)
            self._store.settle(message, change, at=self._clock())
        outcome = self._providers[name].send(self._outgoing(message, name))
        word = {messages.Accepted: "accepted", messages.Refused: "refused"}
        told = word.get(type(outcome), "unclear")
        self._meters.message_attempts.labels(name, told).inc()
        if isinstance(outcome, messages.Accepted):
            self._accepted(message, name, outcome)
        elif isinstance(outcome, messages.Refused):
            self._settle(message, self._after_no(message, name, outcome))
        else:
            # It stays SENDING until the provider has been asked: see _ask.
            logger.warning(
                "a message may or may not have been sent",
                extra={"message_id": message.id, "provider": name, "reason": outcome.reason},
            )

    def _accepted(self, message: messages.Message, name: str, outcome: messages.Accepted) -> None:
        change = messages.Change(
            State.SENT,
            outcome.reason,
            provider=name,
            provider_id=outcome.provider_id,
            price=outcome.price,
        )
        if not self._settle(message, change):
            # A receipt was faster, or somebody had given up waiting for this answer.
            found = messages.Receipt(State.SENT, outcome.provider_id, outcome.reason, outcome.price)
            self.receive(message.reference, found)

    def _after_no(
        self, message: messages.Message, name: str, refused: messages.Refused
    ) -> messages.Change:
        """The next provider at once; after the last one the first again, where it may help."""
        reason, now = f"{name}: {refused.reason}", self._clock()
        following = self._order[self._order.index(name) + 1 :]
        again = refused.again or message.again
        if following:
            return messages.Change(
                State.QUEUED, reason, due_at=now, provider=following[0], again=again
            )
        if not again:
            return messages.Change(State.FAILED, reason, provider=name)
        rounds = message.attempts // len(self._order)
        if rounds >= MOST_ROUNDS:
            given_up = f"given up after {message.attempts} attempts: {reason}"
            return messages.Change(State.FAILED, given_up, provider=name)
        wait = min(FIRST_WAIT * 2 ** max(rounds - 1, 0), LONGEST_WAIT)
        due_at = now + max(wait, refused.wait)
        return messages.Change(State.QUEUED, reason, due_at=due_at, provider=self._order[0])

    def _ask_one(self, in_doubt: Sequence[messages.Message]) -> bool:
        """The first that has not been asked for of late; False if there is none."""
        now = self._clock()
        asked = {each.id: self._asked_at.get(each.id) for each in in_doubt}
        self._asked_at = {number: at for number, at in asked.items() if at is not None}
        for message in in_doubt:
            last = asked[message.id]
            if last is None or now - last >= ASKED_EVERY:
                self._asked_at[message.id] = now
                self._ask(message)
                return True
        return False

    def _ask(self, message: messages.Message) -> None:
        """Whether a provider has taken a message of which no answer is known."""
        provider = self._providers.get(message.provider)
        found: messages.Receipt | messages.Lookup = messages.Lookup.NEVER_TELLS
        if provider is not None:
            found = provider.find(self._outgoing(message, provider.name))
        if isinstance(found, messages.Receipt):
            self._settle(
                message,
                messages.Change(
                    found.state,
                    found.reason,
                    provider_id=found.provider_id or None,
                    price=found.price,
                ),
            )
        elif found is messages.Lookup.NEVER_TAKEN:
            refused = messages.Refused("has never taken it", again=True)
            self._settle(message, self._after_no(message, message.provider, refused))
        elif found is messages.Lookup.NEVER_TELLS or self._is_long_ago(message):
            reason = f"{message.provider} cannot tell whether it has taken it: not sent again"
            self._settle(message, messages.Change(State.UNKNOWN, reason))

    def _is_long_ago(self, message: messages.Message) -> bool:
        return message.handed_at is None or self._clock() - message.handed_at >= ASKED_FOR

    def _stand_in(self) -> bool:
        """Tell somebody else where a message did not arrive, or nobody knows that it did, or where
        nobody has answered: one message, False if there is none."""
        if not self._stand_ins:
            return False
        now = self._clock()
        found = self._store.unanswered(since=now - STANDS_IN_FOR, unless=self._unless)
        for message in found:
            person = self._next_person(message)
            if message.recipient not in self._people or person is None:
                continue
            if not self._needs_stand_in(message, now):
                continue
            draft = self._style.drafted(message.text, message.severity, now)
            if self._store.follow(message, person, draft, at=now, unless=self._unless):
                self._meters.messages.labels(State.QUEUED.value).inc()
                logger.warning(
                    "a message goes to the next person",
                    extra={"message_id": message.id, "state": message.state.value},
                )
            return True
        return False

    def _needs_stand_in(self, message: messages.Message, now: datetime) -> bool:
        if message.state not in (State.SENT, State.DELIVERED):
            return True
        if message.handed_at is None or now - message.handed_at < self._stand_in_after:
            return False
        if message.state is State.DELIVERED:
            return True
        provider = self._providers.get(message.provider)
        if provider is None:
            return True
        found = provider.find(self._outgoing(message, provider.name))
        if isinstance(found, messages.Receipt):
            self.receive(message.reference, found)  # which follow() looks at
        return True

    def _next_person(self, message: messages.Message) -> str | None:
        place = -1
        if message.recipient in self._stand_ins:
            place = self._stand_ins.index(message.recipient)
        return self._stand_ins[place + 1] if place + 1 < len(self._stand_ins) else None

    def _outgoing(self, message: messages.Message, provider: str) -> messages.Outgoing:
        return messages.Outgoing(
            reference=message.reference,
            recipient=message.recipient,
            text=message.text,
            handed_at=message.created_at,
            last_handed_at=message.handed_at,
            callback_url=self._callback_url(provider, message.reference),
        )

    def _settle(self, message: messages.Message, change: messages.Change) -> bool:
        """False if it has moved on."""
        if not self._store.settle(message, change, at=self._clock()):
            return False
        if change.state is State.QUEUED:
            return True
        self._meters.messages.labels(change.state.value).inc()
        if change.state not in (State.SENT, State.DELIVERED):
            logger.error(
                "a message was not sent",
                extra={
                    "message_id": message.id,
                    "state": change.state.value,
                    "reason": change.reason,
                },
            )
        return True

    def _forget(self) -> None:
        now = self._clock()
        if self._forgot_at is None or now - self._forgot_at >= FORGET_EVERY:
            self._store.forget(before=now - self._keep)
            self._forgot_at = now


def _midnight(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
