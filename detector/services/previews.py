"""What a preview of a policy tells: when each rule would have fired, and what it asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np

from detector import frames
from detector.policy import actions, firing, promql

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Evaluations: both ends included, epoch milliseconds, multiples of the step."""

    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def steps(self) -> int:
        """How many evaluations there are."""
        return (self.end_ms - self.start_ms) // self.step_ms + 1

    @property
    def times_ms(self) -> frames.Ints:
        """int64[T], of each."""
        return self.start_ms + self.step_ms * np.arange(self.steps, dtype=np.int64)

    @property
    def step(self) -> timedelta:
        """Between two evaluations."""
        return timedelta(milliseconds=self.step_ms)

    def bounds(self, spell: firing.Spell) -> tuple[int, int, int]:
        """When it was first there, when it began to fire and when it was over, in this period; all
        of what it never did is at the end. An evaluation stands for the step that follows it."""
        until_ms = spell.until_ms
        if until_ms is None:
            until_ms = self.end_ms + self.step_ms
        return spell.since_ms, until_ms if spell.firing_ms is None else spell.firing_ms, until_ms


def period_before(now: datetime, *, days: float, step: timedelta) -> Period:
    """The evaluations of the last days, the newest at or just before now."""
    step_ms = step // _MS
    end_ms = round(now.timestamp() * 1000) // step_ms * step_ms
    start_ms = end_ms - round(days * 86_400_000) // step_ms * step_ms
    return Period(max(start_ms, 0), end_ms, step_ms)


@dataclass(frozen=True, slots=True)
class Series:
    """A series of which an alert was active.

    name     as PromQL writes it
    labels   of the alert, but those that say which rule it is of
    firing   how long it fired in all; an evaluation stands for the step that follows it
    longest  how long without a break
    """

    name: str
    labels: frames.Labels
    spells: tuple[firing.Spell, ...]
    firing: timedelta
    longest: timedelta

    @property
    def times(self) -> int:
        """How often it fired."""
        return sum(spell.firing_ms is not None for spell in self.spells)


@dataclass(frozen=True, slots=True)
class Money:
    """What was at stake where a rule on money fired, of one currency.

    series  that fired
    amount  the most of each while it fired, together
    over    how much of that was above the limit; None where there is none
    """

    currency: str
    series: int
    amount: float
    over: float | None


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule would have done.

    series       of which an alert was pending or firing, those that fired longest first
    looked_at    how many series its condition looks at; None where there is no such thing
    fired_ratio  share of the evaluations at which something fired
    shut         from when to when its window is shut, epoch milliseconds, to about a pixel
    money        at stake, by currency, of rules on costs
    """

    number: int
    priority: int
    severity: actions.Severity
    condition: str
    action: str
    series: tuple[Series, ...]
    looked_at: int | None
    fired_ratio: float
    shut: tuple[tuple[int, int], ...]
    money: tuple[Money, ...] = ()

    @property
    def times(self) -> int:
        """How often it fired, for all series."""
        return sum(each.times for each in self.series)

    @property
    def fired(self) -> tuple[Series, ...]:
        """The series that did not only wait."""
        return tuple(each for each in self.series if each.times)

    @property
    def firing(self) -> timedelta:
        """How long it fired, of all series together."""
        return sum((each.firing for each in self.series), timedelta(0))

    @property
    def longest(self) -> timedelta:
        """How long one series fired without a break."""
        return max((each.longest for each in self.series), default=timedelta(0))


@dataclass(frozen=True, slots=True)
class Asked:
    """An action that a rule would have asked for: how often, and for how many series."""

    rule: int
    action: str
    times: int
    targets: int


class Doubt(StrEnum):
    """Why a policy may not do what was meant."""

    NO_METRIC = "no_metric"
    NOTHING = "nothing"
    EVERYTHING = "everything"
    REFUSED = "refused"
    SHORT = "short"
    DISABLED = "disabled"
    NO_QUERY = "no_query"
    BUDGET = "budget"
    TWO_VALUES = "two_values"
    ONLY_RISES = "only_rises"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Warned:
    """What a person has to look at before saving the policy; rule None: the whole policy."""

    rule: int | None
    doubt: Doubt
    text: str

    def __str__(self) -> str:
        return self.text if self.rule is None else f"rule {self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a policy would have done in a time; rules as they are evaluated, by priority."""

    policy: str
    period: Period
    rules: tuple[Rule, ...]
    warnings: tuple[Warned, ...]

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The actions of the rules that fired."""
        return tuple(
            Asked(rule.number, rule.action, rule.times, len(rule.fired))
            for rule in self.rules
            if rule.times
        )


def name_of(labels: frames.Labels) -> str:
    """The labels as PromQL writes them.

    >>> name_of((("instance", "web-1"), ("job", "node")))
    '{instance="web-1",job="node"}'
    """
    return promql.matchers(
        promql.Matcher(name, promql.MatchType.EQUAL, value) for name, value in labels
    )


def shown_span(span_ms: int) -> str:
    """A length of time in words.

    >>> shown_span(86_400_000), shown_span(9_000_000), shown_span(1_000)
    ('1 day', '2.5 hours', '0.0167 minutes')
    """
    sizes = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000))
    unit, size = next((each for each in sizes if span_ms >= each[1]), sizes[-1])
    number = f"{span_ms / size:.3g}"
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def shown_instant(time_ms: int, period: Period) -> str:
    """An instant of a period, in UTC, with seconds where its evaluations fall on some."""
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{at:%m-%d %H:%M}" if period.step_ms % 60_000 == 0 else f"{at:%m-%d %H:%M:%S}"
