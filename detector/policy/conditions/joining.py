"""Several conditions in one expression, matched on labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import pydantic

from detector import config
from detector.policy.conditions import base


class Joined(base.Condition):
    """Conditions of which a series of one belongs to a series of another if labels are the same.

    match_on   these labels must be the same; none of them at all, if the list is empty
    ignoring   all labels but these must be the same; without either, all of them
    """

    conditions: tuple[base.Condition, ...]
    match_on: tuple[config.LabelName, ...] | None = None
    ignoring: tuple[config.LabelName, ...] | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Joined:
        if self.match_on is not None and self.ignoring is not None:
            raise ValueError("match_on or ignoring is allowed, not both")
        return self

    def joined(self, word: str, given: base.Given) -> base.Expr:
        """The conditions with PromQL's set operator `and` or `or` between them."""
        exprs = []
        for position, each in enumerate(self.conditions):
            try:
                exprs.append(each.compiled(given))
            except base.NotCompiledError as exc:
                path = ("conditions", position, *exc.path)
                raise base.NotCompiledError(exc.text, path, exc.value) from None
        fire = self._with(word, [each.fire for each in exprs])
        hold = self._with(word, [each.hold for each in exprs])
        if word == "and":  # whose series are those of the first
            return base.Expr(fire, hold, exprs[0].universe)
        universes = [each.universe for each in exprs if each.universe is not None]
        whole = len(universes) == len(exprs)
        # In parentheses, since `unless` after it binds tighter than `or`.
        return base.Expr(fire, hold, f"({self._with(word, universes)})" if whole else None)

    def _with(self, word: str, exprs: Sequence[str]) -> str:
        if self.match_on is not None:
            word += f" on ({', '.join(self.match_on)})"
        elif self.ignoring is not None:
            word += f" ignoring ({', '.join(self.ignoring)})"
        return f"\n{word} ".join(f"({each})" for each in exprs)

    @property
    def reach(self) -> timedelta:
        return max(each.reach for each in self.conditions)

    @property
    def settles(self) -> timedelta:
        return max(each.settles for each in self.conditions)

    @property
    def has_resolution(self) -> bool:
        return any(each.has_resolution for each in self.conditions)

    def parts(self) -> tuple[tuple[tuple[str | int, ...], base.Condition], ...]:
        return tuple((("conditions", i), each) for i, each in enumerate(self.conditions))


def at(condition: base.Condition, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
    """Its series at this level; a condition without a resolution is held where it is met."""
    if level is base.Level.HELD and not condition.has_resolution:
        level = base.Level.MET
    return condition.staged(level, given)


def agreed(groups: Iterable[tuple[base.Staged, ...]]) -> tuple[base.Staged, ...]:
    """The series of several conditions, all with the labels that any of them has.

    Raises NotStagedError where two ask for the same series or for other values of a label.
    """
    each = [staged for group in groups for staged in group]
    labels: dict[str, str] = {}
    for staged in each:
        for name, value in staged.labels.items():
            if name != "kind" and labels.setdefault(name, value) != value:
                raise base.NotStagedError(f"two conditions ask for other values of label {name}")
    if len({staged.name for staged in each}) < len(each):
        raise base.NotStagedError("two conditions look at the same series")
    return tuple(
        base.Staged(staged.name, {**labels, **staged.labels}, staged.value, staged.per_second)
        for staged in each
    )
