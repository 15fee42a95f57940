"""Alert episodes: what Alertmanager told us, and which state follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from detector import frames, last_watchdog

Fingerprint = NewType("Fingerprint", str)


class State(StrEnum):
    """Of an episode and of a notification alike."""

    FIRING = "firing"
    RESOLVED = "resolved"


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


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an episode's state, and when we heard of it."""

    state: State
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its start to its end."""

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
    transitions: tuple[Transition, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class EpisodeFilter:
    """Which episodes are wanted; None and () mean any.

    labels     each pair must be among the episode's labels
    since      episodes that had not ended before it
    until      episodes that started before it
    before_id  keyset paging: the page after the episode with this id (see EpisodePage.next_id)
    limit      rows of a page, 1 to 1000
    """

    state: State | None = None
    labels: frames.Labels = ()
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class EpisodePage:
    """One page of episodes, newest start first; next_id is None on the last page."""

    episodes: tuple[Episode, ...]
    next_id: int | None
