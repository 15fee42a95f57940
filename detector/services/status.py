"""What the program can say of its own state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TopScore:
    """One of the highest scores of a query at its last cycle, with the value it judges."""

    labels: dict[str, str]
    score: float
    expected: float
    value: float


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """How far one query is.

    samples_seen   of its best known series, at most samples_needed
    state          a bounded word: waiting, warming_up, scoring, failing
    last_success   when it was last read and scored, None before the first time
    daily, weekly, monthly
                   series that are judged by a profile of the day, and by what the hour of the week
                   and the edge of the month add to it
    top            highest scores first
    """

    name: str
    expr: str
    series: int
    samples_seen: int
    samples_needed: int
    state: str
    last_success: datetime | None
    top: tuple[TopScore, ...] = ()
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """One loop, and whether it has succeeded lately."""

    name: str
    interval_s: float
    is_stalled: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The whole; reasons says in one line each why ready is false, and is empty when it is true.

    notes  what is worth knowing although it is as was asked for
    """

    ready: bool
    reasons: tuple[str, ...]
    queries: tuple[QueryStatus, ...] = ()
    loops: tuple[LoopStatus, ...] = ()
    notes: tuple[str, ...] = ()


class StatusSource(Protocol):
    """Knows the state from memory: it waits for nobody, and threads may ask at once."""

    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready, in one line each; empty when it is. Takes no time to speak of."""
        ...

    def status(self) -> Status:
        """The state now."""
        ...
