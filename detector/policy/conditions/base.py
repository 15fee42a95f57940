"""What every kind of condition is, gives, and may be asked."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from detector import config
from detector.policy import sections, windows


class Level(StrEnum):
    """Where the series of a condition stand, for the tests of its rule.

    quiet  far from it; has ended, if it was there
    held   would not begin it, but does not end it: between resolve_when and the threshold
    edge   exactly at the threshold
    met    it holds
    """

    QUIET = "quiet"
    HELD = "held"
    EDGE = "edge"
    MET = "met"


@dataclass(frozen=True, slots=True)
class Given:
    """What a policy is compiled with: thresholds of the settings, and the present.

    now  which years' turns of the clocks are written out
    """

    thresholds: config.Thresholds
    now: datetime


@dataclass(frozen=True, slots=True)
class Expr:
    """PromQL of a condition, each a vector of the series that it speaks of.

    fire      where it holds
    hold      where it has not ended yet, once it held; the same text as fire without resolve_when
    universe  all that it looks at, whether it holds or not; None where there is no such thing
    """

    fire: str
    hold: str
    universe: str | None


class NotCompiledError(ValueError):
    """A condition that makes no rule; where, from the condition down, and what is allowed."""

    def __init__(self, text: str, path: tuple[str | int, ...] = (), value: object = None) -> None:
        super().__init__(text)
        self.text = text
        self.path = path
        self.value = value


class NotStagedError(Exception):
    """No test series are known for a condition at a level; the text says why."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A series for a rule's test: value + per_second * (seconds since the level was taken up).

    value  None where the series is missing
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    value: float | None = None
    per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Money:
    """What a condition compares, in money: PromQL of series with a label `currency`, and the amount
    that it may not pass; None where that is no amount."""

    expr: str
    limit: float | None


class Condition(sections.Section, abc.ABC):
    """A condition of a policy's rule.

    for               how long it must hold without a gap before anything happens
    keep_firing_for   how long it may be gone before it counts as ended
    window            hours of the week in which it counts
    """

    for_: sections.Wait = Field(timedelta(0), alias="for")
    keep_firing_for: sections.Wait = timedelta(0)
    window: windows.Window | None = None

    def compiled(self, given: Given) -> Expr:
        """As PromQL. Raises NotCompiledError."""
        expr = self.bare(given)
        if self.window is None:
            return expr
        fire, hold = (
            windows.restricted(each, self.window, given.now) for each in (expr.fire, expr.hold)
        )
        return Expr(fire, hold, expr.universe)

    @abc.abstractmethod
    def bare(self, given: Given) -> Expr:
        """As PromQL, in whatever hours. Raises NotCompiledError."""

    @abc.abstractmethod
    def staged(self, level: Level, given: Given) -> tuple[Staged, ...]:
        """Series of a test that put it at this level. Raises NotStagedError."""

    def money(self) -> Money | None:
        """The money that it compares; None where it compares none."""
        return None

    @property
    def reach(self) -> timedelta:
        """How far back its PromQL looks."""
        return timedelta(0)

    @property
    def settles(self) -> timedelta:
        """How long it takes until its PromQL sees nothing but what the series do now."""
        return self.reach

    @property
    def has_resolution(self) -> bool:
        """Whether it ends elsewhere than it begins."""
        return False

    @property
    def fires_at_edge(self) -> bool:
        """Whether it holds exactly at the threshold."""
        return False

    @property
    def needs_series(self) -> bool:
        """Whether it is quiet where there are no series at all."""
        return True

    def parts(self) -> tuple[tuple[tuple[str | int, ...], Condition], ...]:
        """The conditions within, each with its path."""
        return ()
