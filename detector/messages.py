"""Messages that we send ourselves, SMS first: what they are, and how far each has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from detector import alerts


class State(StrEnum):
    """How far a message has come.

    QUEUED     it will be sent, at due_at or later
    SENDING    it was handed to a provider, whose answer is not known yet
    SENT       a provider has taken it
    DELIVERED  the provider says that it arrived
    FAILED     every provider said no, or the provider says that it did not arrive
    UNKNOWN    whether it was taken cannot be told: it is not sent again
    DROPPED    it is not sent, and why is told: over the day's cap, or over before it was sent
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DROPPED = "dropped"


class Told(NamedTuple):
    """What a message tells of an episode: that it is in this state."""

    fingerprint: alerts.Fingerprint
    starts_at: datetime
    state: alerts.State


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one person.

    reference    our own name for it, which providers give back: 32 hexadecimal digits
    parts        segments that it is sent in, each paid for
    attempts     how often it was handed to a provider
    provider     the last one that it was handed to
    provider_id  that one's name for it
    price        of all parts, as the provider told or else as settings estimate
    reason       why it is not further, or will not be; empty if all is well
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
    attempts: int = 0
    provider: str = ""
    provider_id: str = ""
    price: float = 0.0
    reason: str = ""
    follows_id: int | None = None


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
    handed_at       when it was first handed over
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
    CANNOT_TELL  it failed, it cannot be asked at all, or it is too early to ask
    """

    NEVER_TAKEN = "never taken"
    CANNOT_TELL = "cannot tell"
