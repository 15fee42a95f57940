"""A condition that must not hold."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from detector.policy.conditions import base

if TYPE_CHECKING:
    from detector.policy.conditions import table


class NotOf(base.Condition):
    """Series that the condition looks at and for which it does not hold.

    Where the condition has a resolution, this begins there and ends where the condition begins.
    """

    type: Literal["not"]
    condition: table.AnyCondition

    def bare(self, given: base.Given) -> base.Expr:
        try:
            inner = self.condition.compiled(given)
        except base.NotCompiledError as exc:
            raise base.NotCompiledError(exc.text, ("condition", *exc.path), exc.value) from None
        if inner.universe is None:
            raise base.NotCompiledError(
                "says which series it holds for, and of no others: write what must hold instead",
                ("condition", "type"),
                self.condition.type,
            )
        fire, hold = (f"{inner.universe} unless ({each})" for each in (inner.hold, inner.fire))
        return base.Expr(fire, hold, inner.universe)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        opposite = {base.Level.QUIET: base.Level.MET, base.Level.MET: base.Level.QUIET}
        return self.condition.staged(opposite.get(level, level), given)

    @property
    def reach(self) -> timedelta:
        return self.condition.reach

    @property
    def settles(self) -> timedelta:
        return self.condition.settles

    @property
    def has_resolution(self) -> bool:
        return self.condition.has_resolution

    @property
    def fires_at_edge(self) -> bool:
        return not self.condition.fires_at_edge and not self.has_resolution

    def parts(self) -> tuple[tuple[tuple[str | int, ...], base.Condition], ...]:
        return ((("condition",), self.condition),)
