"""What a cloud costs: a day, a month so far or as it will end, or a day beside that of a week ago.

Each measure is a sum of the days that a source has told of, recorded by rules/recording.yml from
`cloud_cost`, in which what is the latest day is known by what was told, not by time().
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from detector import config
from detector.policy import promql, sections
from detector.policy.conditions import base, comparing, selecting

ALL, SETTLED = "cloud_cost", "cloud_cost_settled"
"""Whose sums are recorded: all days that are told of, and those that are not restated any more."""
WEEK_BEFORE = "week_before"
"""The sums that a jump is compared with."""
_NOT_GROUPED = ("day", "instance", "job")
"""Days are summed, and who was scraped is no matter."""
_BEFORE = 100.0
"""What a day costs in tests, a week before: its rise in percent and in money are one number."""


class Measure(StrEnum):
    """What is compared.

    daily            the latest day
    month_to_date    the days of its month
    projected_month  the same, and the rest of the month like the mean of the last seven days
    jump             how far the latest day is above that of a week before
    """

    DAILY = "daily"
    MONTH_TO_DATE = "month_to_date"
    PROJECTED_MONTH = "projected_month"
    JUMP = "jump"


Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_OF_JUMP = ("above_percent", "above")
_NOT_OF_JUMP = ("operator", "threshold", "budget", "resolve_when")


class Cost(comparing.Compared):
    """Money, summed by labels, each currency for itself.

    threshold      in money; in percent of `budget` where there is one, 100 if not given
    above_percent  of a jump, and `above` in money; both must be passed where both are given
    settled        whether days that may yet be restated are left out
    """

    type: Literal["cost"]
    measure: Measure
    operator: Literal["gt", "gte", "lt", "lte"] = "gt"
    threshold: sections.Finite | None = None
    budget: Above | None = None
    above_percent: Above | None = None
    above: Above | None = None
    by: Annotated[tuple[config.LabelName, ...], Field(max_length=50)] = ()
    basis: Literal["billed", "estimate"] = "billed"
    settled: bool = False

    @pydantic.field_validator("by")
    @classmethod
    def _of_what_costs(cls, by: tuple[str, ...]) -> tuple[str, ...]:
        if not set(by).isdisjoint(_NOT_GROUPED):
            raise ValueError(f"labels other than {', '.join(_NOT_GROUPED)} are allowed")
        return by

    @pydantic.field_validator("labels")
    @classmethod
    def _of_all_days(cls, labels: selecting.Filters) -> selecting.Filters:
        if not labels.keys().isdisjoint(("basis", "day")):
            raise ValueError("labels other than day, and basis, a key of its own, are allowed")
        return labels

    @pydantic.model_validator(mode="after")
    def _keys_of_the_measure(self) -> Cost:
        is_jump = self.measure is Measure.JUMP
        for name in _NOT_OF_JUMP if is_jump else _OF_JUMP:
            if name in self.model_fields_set and getattr(self, name) is not None:
                raise ValueError(f"{name}: {'not' if is_jump else 'only'} with measure jump")
        if is_jump and self.above_percent is None and self.above is None:
            raise ValueError("above_percent or above is needed, or both: how far a jump is")
        if not is_jump and self.threshold is None and self.budget is None:
            raise ValueError("threshold or budget is needed: how much money")
        if self.budget is not None and self._threshold() <= 0:
            raise ValueError("threshold: percent of the budget, more than 0, is allowed")
        if self.settled and self.basis == "estimate":
            raise ValueError("settled: only with basis billed, for no estimate ever is")
        return self

    def bare(self, given: base.Given) -> base.Expr:
        money = self._sum(self.measure)
        if self.measure is Measure.JUMP:
            return self._jumped(money)
        comparing.check_resolution(self._operator, self._threshold(), self.resolve_when)
        if self.budget is not None:
            money = f"100 / {promql.number(self.budget)} * {money}"
        return comparing.expr(money, self._operator, self._threshold(), self.resolve_when)

    def money(self) -> base.Money:
        """The rise, of a jump; else the sum, with what of the budget it may be."""
        money = self._sum(self.measure)
        if self.measure is Measure.JUMP or self.operator not in ("gt", "gte"):
            return base.Money(money, None)
        return base.Money(money, self.limit())

    def limit(self) -> float:
        """The money that a sum is compared with; not of a jump."""
        return self._threshold() * (1 if self.budget is None else self.budget / 100)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        if self.measure is Measure.JUMP:
            before = self._staged(WEEK_BEFORE, _BEFORE)
            return self._staged(self.measure, self._rise_at(level)), before
        money = comparing.value_at(level, self._operator, self._threshold(), self.resolve_when)
        if self.budget is not None:
            is_exact = level is base.Level.EDGE
            money = comparing.unscaled(money, 100 / self.budget, exact=is_exact)
        return (self._staged(self.measure, money),)

    @property
    def fires_at_edge(self) -> bool:
        return self.measure is not Measure.JUMP and self._operator in comparing.WITH_EDGE

    def _jumped(self, rise: str) -> base.Expr:
        by_money = None if self.above is None else f"{rise} > {promql.number(self.above)}"
        if self.above_percent is None:
            assert by_money is not None  # noqa: S101 - validated: one of them is given
            return base.Expr(by_money, by_money, rise)
        percent = f"100 * {rise} / abs({self._sum(WEEK_BEFORE)})"
        fire = f"{percent} > {promql.number(self.above_percent)}"
        if by_money is not None:
            fire = f"{fire}\nand {by_money}"
        return base.Expr(fire, fire, percent)

    def _sum(self, measure: str) -> str:
        labels = dict.fromkeys((*self.by, "currency"))
        money = selecting.selector(self._series(measure), self.labels, {"basis": self.basis})
        return f"sum by ({', '.join(labels)}) ({money})"

    def _series(self, measure: str) -> str:
        return f"{SETTLED if self.settled else ALL}:{measure}"

    @property
    def _operator(self) -> comparing.Operator:
        return comparing.Operator(self.operator)

    def _threshold(self) -> float:
        return 100.0 if self.threshold is None else self.threshold

    def _rise_at(self, level: base.Level) -> float:
        needed = max(self.above_percent or 0.0, self.above or 0.0)
        rise = comparing.value_at(level, comparing.Operator.GT, needed, None)
        if level is base.Level.EDGE and 100 * rise / _BEFORE != rise:
            raise base.NotStagedError(f"no rise from {_BEFORE:g} is exactly {rise:g} %")
        return rise

    def _staged(self, measure: str, money: float) -> base.Staged:
        labels = {**dict.fromkeys(self.by, "example"), "currency": "USD"}
        passing = selecting.example(self.labels, {"basis": self.basis})
        return base.Staged(self._series(measure), {**labels, **passing}, money)
