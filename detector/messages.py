"""Messages that we send ourselves, SMS first: what they are, and how far each has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from detector import alerts

REFERENCE_BYTES = 16
OVER = "over before it was sent"
ALREADY_TOLD = "that person has been told of it already"


class State(StrEnum):
    """How far a message has come.

    QUEUED     it will be sent, at due_at or later
    SENDING    it was handed to a provider, whose answer is not known yet
    SENT       a provider has taken it
    DELIVERED  the provider says that it arrived
    FAILED     every provider said no, or the provider says that it did not arrive
    UNKNOWN    whether it was taken cannot be told: it is not sent again
    DROPPED    it is not sent, and why is told
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DROPPED = "dropped"


class Unless(StrEnum):
    """What keeps the next person from being told.

    DELIVERED     it arrived
    ACKNOWLEDGED  somebody sees to each alert that it tells of, or has silenced it
    """

    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"


class Key(NamedTuple):
    """An episode, by what Alertmanager names it by."""

    fingerprint: alerts.Fingerprint
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is to be sent.

    parts     segments that it is sent in, each paid for
    provider  that it is handed to first
    price     of all parts, estimated
    """

    text: str
    parts: int
    severity: str
    provider: str
    price: float
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one person.

    reference    our own name for it, which providers give back: 22 letters, digits, - and _
    handed_at    when it was last handed to a provider, None if never
    attempts     how often it was
    provider     the one that it was handed to, or is to be
    provider_id  that one's name for it
    price        of all parts, as the provider told or else as settings estimate
    reason       why it is not further, or will not be; empty if all is well
    again        a provider said no but may take it later
    follows_id   the message in whose place it was sent to somebody else
    """

    id: int
    reference: str
    recipient: str
    text: str
    parts: int
    severity: str
    state: State
    created_at: datetime
    due_at: datetime
    updated_at: datetime
    handed_at: datetime | None
    attempts: int
    provider: str
    provider_id: str
    price: float
    reason: str
    again: bool
    follows_id: int | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has taken the message.

    price   of all parts; None where it does not tell
    reason  what went wrong all the same: a part that was refused
    """

    provider_id: str
    price: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider said no: nobody got it.

    again  whether the same provider may take it later, after `wait` at least
    """

    reason: str
    again: bool = False
    wait: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Unclear:
    """No answer that tells whether the provider has taken it."""

    reason: str


Outcome: TypeAlias = Accepted | Refused | Unclear


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message that a provider took: DELIVERED, FAILED, or SENT while under way.

    provider_id  the provider's name for it, empty if not told; a part may have one of its own
    price        of all parts, None if not told
    reference    our own name for it, empty where the provider does not give it back
    """

    state: State
    provider_id: str = ""
    reason: str = ""
    price: float | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as a provider is given it.

    recipient       a number in international form (+491701234567)
    callback_url    where its receipts are to go; None for nowhere
    handed_at       when it was first handed over, or shortly before
    last_handed_at  when it was handed over last, which a provider may show some time after; None
                    if it was but once
    """

    reference: str
    recipient: str
    text: str
    handed_at: datetime
    callback_url: str | None = None
    last_handed_at: datetime | None = None

    @property
    def settles_from(self) -> datetime:
        """From when on the time counts after which a provider must know of it."""
        return self.last_handed_at or self.handed_at


class Lookup(StrEnum):
    """What a provider says when it is asked for a message by our reference.

    NEVER_TAKEN  it has had the time to know of it, and does not: it may be sent again
    CANNOT_TELL  it failed, or it is too early to ask
    NEVER_TELLS  it cannot be asked at all
    """

    NEVER_TAKEN = "never taken"
    CANNOT_TELL = "cannot tell"
    NEVER_TELLS = "never tells"


@dataclass(frozen=True, slots=True)
class Known:
    """What a person has been told of an episode, or what is queued to be told.

    firing_by  the message that told of the beginning, if it is kept
    is_heard   whether that one may have arrived: it was neither dropped nor did it fail
    """

    states: frozenset[alerts.State]
    firing_by: int | None = None
    is_heard: bool = True


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says has begun, and has ended."""

    began: frozenset[Key]
    ended: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be told to a person of a delivery of Alertmanager's.

    tell     notifications that are news for this person
    silent   keys that have ended without a word: this person has not heard that they had begun
    dropped  ids of queued messages of which everything is over
    """

    tell: tuple[alerts.Notification, ...]
    silent: frozenset[Key]
    dropped: frozenset[int]


def plan(
    delivered: Sequence[alerts.Notification],
    known: Mapping[Key, Known],
    queued: Mapping[int, Content],
) -> Plan:
    """What of a delivery is news, whatever came before it, in whatever order, however often.

    known   what this person has been told of, at least of what is delivered or queued
    queued  messages that are still queued, at least those that tell of something that ends here
    """
    firing, ended = alerts.State.FIRING, alerts.State.RESOLVED
    given: dict[tuple[Key, alerts.State], alerts.Notification] = {}
    for each in delivered:
        given.setdefault((key_of(each), each.state), each)
    ended_before = {key for key, each in known.items() if ended in each.states}
    ends = {key for key, state in given if state is ended} - ended_before
    over = ends | ended_before
    dropped = droppable(over, known, queued)
    told = {
        key
        for key, each in known.items()
        if firing in each.states and each.is_heard and each.firing_by not in dropped
    }
    tell = [
        each
        for (key, state), each in given.items()
        if (key in ends and key in told if state is ended else key not in known and key not in ends)
    ]
    return Plan(tuple(tell), frozenset(ends - told), dropped)


def droppable(
    over: Set[Key], known: Mapping[Key, Known], queued: Mapping[int, Content]
) -> frozenset[int]:
    """Queued messages that need not be sent: what they say has begun is over, and of what they say
    has ended the beginning is not sent either."""
    dropped: set[int] = set()
    while True:
        more = {
            number
            for number, content in queued.items()
            if content.began <= over
            and all(key in known and known[key].firing_by in dropped for key in content.ended)
        } | dropped
        if more == dropped:
            return frozenset(dropped)
        dropped = more


def key_of(notification: alerts.Notification) -> Key:
    """The episode that it is about."""
    return Key(notification.fingerprint, notification.starts_at)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a message; None leaves what it has.

    due_at  when it may be handed over again, of one that is QUEUED
    """

    state: State
    reason: str = ""
    due_at: datetime | None = None
    provider: str | None = None
    provider_id: str | None = None
    price: float | None = None
    again: bool = False


BEFORE: Mapping[State, frozenset[State]] = {
    State.SENT: frozenset({State.QUEUED, State.SENDING, State.UNKNOWN}),
    State.DELIVERED: frozenset(
        {State.QUEUED, State.SENDING, State.SENT, State.UNKNOWN, State.FAILED}
    ),
    State.FAILED: frozenset({State.SENDING, State.SENT, State.UNKNOWN}),
}
"""State that a receipt tells of -> states before it in which it is news, however late it comes. One
that waits to be sent again had been taken after all; that an attempt failed is known then."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages are wanted, newest first; None means any.

    before_id  keyset paging: the page after the message with this id
    limit      rows of a page, 1 to 1000
    """

    state: State | None = None
    recipient: str | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a message's state, and why; the provider that it had then."""

    at: datetime
    state: State
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages; next_id is None on the last page."""

    messages: tuple[Message, ...]
    next_id: int | None
