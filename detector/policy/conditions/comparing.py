"""Operators and thresholds, and where a condition ends that began beyond one."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TypeAlias

from detector.policy import promql, sections
from detector.policy.conditions import base, selecting

MARGIN_RATIO = 1e-3
"""How far beside a threshold the series of tests stand; but no less than this much of 1."""


class Operator(StrEnum):
    """How a value is compared with a threshold."""

    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    EQ = "eq"
    NE = "ne"


SYMBOLS = {
    Operator.GT: ">",
    Operator.GTE: ">=",
    Operator.LT: "<",
    Operator.LTE: "<=",
    Operator.EQ: "==",
    Operator.NE: "!=",
}
_OPPOSITE = {
    Operator.GT: Operator.LTE,
    Operator.GTE: Operator.LT,
    Operator.LT: Operator.GTE,
    Operator.LTE: Operator.GT,
}
"""Of those that end a condition."""
RISING, FALLING = {Operator.GT, Operator.GTE}, {Operator.LT, Operator.LTE}
WITH_EDGE = {Operator.GTE, Operator.LTE, Operator.EQ}


class Resolution(sections.Section):
    """Where a condition ends, once it has fired: further back than where it began."""

    operator: Operator
    threshold: sections.Finite


class Compared(selecting.Selecting):
    """A condition on a number, which may end further back than it began."""

    resolve_when: Resolution | None = None

    @property
    def has_resolution(self) -> bool:
        return self.resolve_when is not None


Values: TypeAlias = dict[base.Level, float]


def expr(
    value: str, operator: Operator, threshold: float, resolve_when: Resolution | None
) -> base.Expr:
    """The comparison of a value in PromQL, and where it has not ended yet."""
    fire = _compared(value, operator, threshold)
    hold = (
        fire
        if resolve_when is None
        else _compared(value, _OPPOSITE[resolve_when.operator], resolve_when.threshold)
    )
    return base.Expr(fire, hold, value)


def check_resolution(operator: Operator, threshold: float, end: Resolution | None) -> None:
    """Raises NotCompiledError where a condition would end while it holds, or could never end."""
    if end is None:
        return
    rising, falling = operator in RISING, operator in FALLING
    fits = (
        (rising and end.operator in FALLING and end.threshold <= threshold)
        or (falling and end.operator in RISING and end.threshold >= threshold)
    ) and not (end.threshold == threshold and operator in WITH_EDGE and end.operator in WITH_EDGE)
    if fits:
        return
    way = {True: "lt or lte and at most", False: "gt or gte and at least"}.get(rising)
    if not rising and not falling:
        raise base.NotCompiledError(
            f"only with gt, gte, lt, lte: what began by {operator} ends as soon as it is not so",
            ("resolve_when",),
        )
    raise base.NotCompiledError(
        f"{way} {promql.number(threshold)} is allowed: it must be back from where it began",
        ("resolve_when",),
        f"{end.operator} {promql.number(end.threshold)}",
    )


def values(operator: Operator, threshold: float, end: Resolution | None) -> Values:
    """What a value is at each level; no HELD without a resolution that leaves room for it."""
    margin = max(abs(threshold), 1.0) * MARGIN_RATIO
    sign = -1.0 if operator in FALLING else 1.0
    beyond = threshold + sign * margin
    before = threshold - sign * margin
    found = {
        base.Level.EDGE: threshold,
        base.Level.MET: threshold if operator is Operator.EQ else beyond,
        base.Level.QUIET: {Operator.EQ: beyond, Operator.NE: threshold}.get(operator, before),
    }
    if end is not None:
        end_margin = max(abs(end.threshold), 1.0) * MARGIN_RATIO
        found[base.Level.QUIET] = end.threshold - sign * end_margin
        if not math.isclose(end.threshold, threshold):
            found[base.Level.HELD] = (end.threshold + threshold) / 2
    return found


def value_at(
    level: base.Level, operator: Operator, threshold: float, end: Resolution | None
) -> float:
    """What a value is at this level. Raises NotStagedError."""
    found = values(operator, threshold, end).get(level)
    if found is None:
        raise base.NotStagedError(f"nothing lies at level {level}")
    return found


def unscaled(value: float, scale: float, *, exact: bool) -> float:
    """What times the scale gives the value; the float next to it will do unless it must be exact.

    Raises NotStagedError where no float times the scale is the value.
    """
    raw = value / scale
    near = (raw, math.nextafter(raw, -math.inf), math.nextafter(raw, math.inf))
    found = next((each for each in near if each * scale == value), None)
    if found is None and exact:
        raise base.NotStagedError(f"no number times {scale:g} is exactly {value:g}")
    return raw if found is None else found


def _compared(value: str, operator: Operator, threshold: float) -> str:
    return f"{value} {SYMBOLS[operator]} {promql.number(threshold)}"
