"""Conditions of which one must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from detector.policy.conditions import base, joining

if TYPE_CHECKING:
    from detector.policy.conditions import table


class AnyOf(joining.Joined):
    """One of these holds; where several do of the same labels, the value is that of the first."""

    type: Literal["any"]
    conditions: Annotated[tuple[table.AnyCondition, ...], Field(min_length=1, max_length=100)]

    def bare(self, given: base.Given) -> base.Expr:
        return self.joined("or", given)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        first, *rest = self.conditions
        return joining.agreed(
            [first.staged(level, given), *(each.staged(base.Level.QUIET, given) for each in rest)]
        )

    @property
    def fires_at_edge(self) -> bool:
        return self.conditions[0].fires_at_edge

    @property
    def needs_series(self) -> bool:
        return all(each.needs_series for each in self.conditions)
