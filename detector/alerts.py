"""Alert episodes: what Alertmanager told us, what people did, and which state follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from detector import frames, last_watchdog

Fingerprint = NewType("Fingerprint", str)
_FNV_OFFSET, _FNV_PRIME, _FNV_MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
"""FNV-1a with 64 bits (RFC 9923)."""
_SEPARATOR = b"\xff"


def fingerprint_of(labels: frames.Labels) -> Fingerprint:
    """What Alertmanager calls an alert with these labels (LabelSet.Fingerprint of
    prometheus/common); labels without a value do not count.

    >>> fingerprint_of((("alertname", "HighCPU"), ("instance", "web-1")))
    'e4da87a3498b5bd1'
    """
    sum_ = _FNV_OFFSET
    for name, value in sorted(pair for pair in labels if pair[1]):
        for byte in _SEPARATOR.join((name.encode(), value.encode(), b"")):
            sum_ = ((sum_ ^ byte) * _FNV_PRIME) & _FNV_MASK
    return Fingerprint(f"{sum_:016x}")


FACTS = frozenset(
    {"value", "expected", "lower", "upper", "kind", "score", "money", "cause", "graph_url"}
)
"""Annotations of these names are what was known of an episode."""
_SIGNED = frozenset({"chart_url", "ack_url", "silence_url"})


def without_links(annotations: frames.Labels) -> frames.Labels:
    """Annotations without the links that act for whoever has them."""
    return tuple(pair for pair in annotations if pair[0] not in _SIGNED)


RECEIVERS = "receivers"
"""The fact which receivers of Alertmanager an alert goes to."""
SOURCE, FROM_ALERTS = "source", "ALERTS"
"""The fact that an episode was made from Prometheus' series ALERTS, after the event."""


class State(StrEnum):
    """Of an episode and of a notification alike."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Status(StrEnum):
    """What an episode is in: its state, and while it fires, whether anybody hears of it.

    PENDING stands in the history of an episode only: it is none before it fires.
    """

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    RESOLVED = "resolved"


class Feedback(StrEnum):
    """What a person says that an alert was."""

    TRUE = "true"
    FALSE_ALARM = "false_alarm"
    PLANNED = "planned"


NEXT: dict[tuple[State | None, State], State] = {
    (None, State.FIRING): State.FIRING,
    (None, State.RESOLVED): State.RESOLVED,
    (State.FIRING, State.FIRING): State.FIRING,
    (State.FIRING, State.RESOLVED): State.RESOLVED,
    (State.RESOLVED, State.RESOLVED): State.RESOLVED,
    (State.RESOLVED, State.FIRING): State.RESOLVED,
}
"""State of an episode and of a notification about it -> state after it.

An episode is one (fingerprint, starts_at); an alert that fires again has another starts_at. So a
firing notification that comes after the resolved one is late or repeated, and changes nothing.
"""


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert of one webhook delivery; ends_at is None while it fires."""

    fingerprint: Fingerprint
    starts_at: datetime
    ends_at: datetime | None
    state: State
    labels: frames.Labels
    annotations: frames.Labels
    generator_url: str
    receiver: str


def is_watchdog(labels: frames.Labels) -> bool:
    """Whether an alert of these labels only shows that alerts arrive.

    >>> is_watchdog((("alertname", "Watchdog"),)), is_watchdog((("alertname", "HighCpu"),))
    (True, False)
    """
    return ("alertname", last_watchdog.ALERT) in labels


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many notifications of a delivery were new, and how many were known already."""

    stored: int
    duplicate: int


Key = tuple[Fingerprint, datetime]
"""(fingerprint, starts_at): what an episode is known by."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an episode's status, and when we heard of it; or, where there is feedback, what
    a person said that it was while it was in this status.

    by    who did it; "" where no person did
    note  what that person says, or what silenced or inhibited it
    """

    state: Status
    received_at: datetime
    by: str = ""
    note: str = ""
    feedback: Feedback | None = None


_ORDER = {status: place for place, status in enumerate(Status)}


def in_order(told: Sequence[Transition], marked: Sequence[Transition]) -> tuple[Transition, ...]:
    """What was heard of an episode and what was done about it, as one history.

    What happened at the same instant stands in the order of an episode's life; an end is last, but
    for what was said of it afterwards. Who ended it stands in the place of the end itself.
    """
    resolved = Status.RESOLVED
    ended = [each for each in told if each.state is resolved]
    by_hand = [each for each in marked if each.state is resolved and each.feedback is None]
    before = [each for each in (*told, *marked) if each.state is not resolved]
    before.sort(key=lambda each: (each.received_at, _ORDER[each.state]))
    after = [each for each in marked if each.state is resolved and each.feedback is not None]
    return (*before, *((by_hand or ended)[:1] if ended else ()), *after)


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its start to its end.

    owner       who acknowledged it last; "" for nobody
    silence_id  of the silence behind that
    feedback    what a person said last that it was
    facts       what was known of it beside its annotations: value, expected, score, ...
    """

    id: int
    fingerprint: Fingerprint
    starts_at: datetime
    ends_at: datetime | None
    state: State
    labels: frames.Labels
    annotations: frames.Labels
    generator_url: str
    received_at: datetime
    updated_at: datetime
    status: Status = Status.FIRING
    owner: str = ""
    silence_id: str = ""
    feedback: Feedback | None = None
    facts: frames.Labels = ()
    transitions: tuple[Transition, ...] = field(default=())

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.fingerprint, self.starts_at


@dataclass(frozen=True, slots=True)
class Firing:
    """As little as is needed of an episode that fires, to see whether that still holds."""

    key: Key
    status: Status
    owner: str
    silence_id: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a step of forgetting took away: whole months, or single episodes of others."""

    months: int = 0
    episodes: int = 0


@dataclass(frozen=True, slots=True)
class EpisodeFilter:
    """Which episodes are wanted; None, () and "" mean any.

    labels     each pair must be among the episode's labels
    since      episodes that had not ended before it
    until      episodes that started before it
    before_id  keyset paging: the page after the episode with this id (see EpisodePage.next_id)
    limit      rows of a page, 1 to 1000
    """

    state: State | None = None
    status: Status | None = None
    labels: frames.Labels = ()
    owner: str = ""
    feedback: Feedback | None = None
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class EpisodePage:
    """One page of episodes, newest start first; next_id is None on the last page."""

    episodes: tuple[Episode, ...]
    next_id: int | None


FLAPS_WITHIN = timedelta(hours=1)
"""An alert flaps when it begins again so soon after its beginning before."""
MDA_TEST = "mda_test"
"""The label of messages that somebody sent to see that they arrive."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of some episodes; None where there was none of which it could be told.

    count             how many began
    flapping          share of those that began within FLAPS_WITHIN of the one before
    without_action    share of those that nobody acknowledged, silenced or judged
    acknowledge_s     mean and median time from the beginning to the first acknowledgement
    resolve_s         the same to the end
    """

    name: str
    count: int
    flapping: float
    without_action: float
    acknowledge_s: tuple[float, float] | None
    resolve_s: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of the episodes that began in a time, tests apart.

    sampled     share of them that was looked at: 1 for all
    rules       by alertname, the most frequent first
    severities  by the label severity, the most frequent first; "" for none
    """

    sampled: float
    total: Tally
    rules: tuple[Tally, ...]
    severities: tuple[Tally, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """An alert as Alertmanager holds it at this moment: one that is not over.

    ends_at       when it is over unless its sender repeats it
    silenced_by   ids of the silences that mute it
    inhibited_by  fingerprints of the alerts that mute it
    receivers     who is told of it, by the routes
    """

    fingerprint: Fingerprint
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    labels: frames.Labels
    annotations: frames.Labels
    generator_url: str
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What its episode is known by."""
        return self.fingerprint, self.starts_at


@dataclass(frozen=True, slots=True)
class Active:
    """An alert as Prometheus evaluates it at this moment, without its external labels.

    active_at  since when its expression has held; it fires once that has lasted long enough
    """

    labels: frames.Labels
    active_at: datetime
    is_firing: bool


@dataclass(frozen=True, slots=True)
class Run:
    """A time through which Prometheus evaluated an alert as firing, without its external labels.

    first, last  its first and last evaluation
    interval     between evaluations
    is_begun     it did not fire at the evaluation before
    is_over      it did not fire at the evaluation after
    """

    labels: frames.Labels
    first: datetime
    last: datetime
    interval: timedelta
    is_begun: bool
    is_over: bool


@dataclass(frozen=True, slots=True)
class Posted:
    """An alert as Alertmanager is given it.

    ends_at  None: when its `resolve_timeout` has passed without this being repeated
    """

    labels: frames.Labels
    annotations: frames.Labels
    starts_at: datetime
    ends_at: datetime | None
    generator_url: str = ""


class SilenceState(StrEnum):
    """Of a silence, by its times."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Matcher:
    """Holds of a label; is_equal False turns it round."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True


@dataclass(frozen=True, slots=True)
class NewSilence:
    """A silence that Alertmanager is asked for; all matchers must hold of what it mutes."""

    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that Alertmanager has; it forgets expired ones after its `data.retention`."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    state: SilenceState


@dataclass(frozen=True, slots=True)
class Manual:
    """An alert that a person raised, and that is repeated to Alertmanager until it is over.

    starts_at  to the millisecond, as Alertmanager tells it
    until      when it is over by itself
    ended_at   when it was; None while it fires
    raised_by  who did
    """

    id: int
    fingerprint: Fingerprint
    starts_at: datetime
    until: datetime
    ended_at: datetime | None
    labels: frames.Labels
    annotations: frames.Labels
    raised_by: str

    @property
    def key(self) -> Key:
        """What its episode is known by."""
        return self.fingerprint, self.starts_at


@dataclass(frozen=True, slots=True)
class LinkUse:
    """That an address of a message was used, which it can be once."""

    at: datetime
    by: str
    what: str
