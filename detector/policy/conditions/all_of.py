"""Conditions that must hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from detector.policy.conditions import base, joining

if TYPE_CHECKING:
    from detector.policy.conditions import table


class AllOf(joining.Joined):
    """All of these hold, of the same labels; the value is that of the first."""

    type: Literal["all"]
    conditions: Annotated[tuple[table.AnyCondition, ...], Field(min_length=1, max_length=100)]

    def bare(self, given: base.Given) -> base.Expr:
        return self.joined("and", given)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        if level is base.Level.QUIET:
            first, *rest = self.conditions
            return joining.agreed(
                [
                    first.staged(level, given),
                    *(each.staged(base.Level.MET, given) for each in rest),
                ]
            )
        return joining.agreed([joining.at(each, level, given) for each in self.conditions])

    @property
    def fires_at_edge(self) -> bool:
        return all(each.fires_at_edge for each in self.conditions)

    @property
    def needs_series(self) -> bool:
        return any(each.needs_series for each in self.conditions)
