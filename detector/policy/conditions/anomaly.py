"""What the detector finds unusual: a score above a number, or a kind of trouble that is open."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from detector import config
from detector.policy import sections
from detector.policy.conditions import base, comparing, selecting

SCORE, ACTIVE = "anomaly_score", "anomaly_active"
ANOMALOUS = 1.0
Kind = Literal[
    "spike", "dip", "level_shift", "trend", "variance", "lost_season", "flat", "zero", "missing"
]


def _as_several(given: object) -> object:
    return (given,) if isinstance(given, str) else given


Kinds = Annotated[
    tuple[Kind, ...], pydantic.BeforeValidator(_as_several), Field(min_length=1, max_length=20)
]


class Anomaly(comparing.Compared):
    """Series of a query whose anomaly score is above `score`; 1 is the detector's own threshold.

    With `kind`, that kind of trouble is open; without a score nothing else is asked.
    """

    type: Literal["anomaly"]
    query: config.Name | None = None
    score: sections.Finite | None = None
    kind: Kinds | None = None

    @pydantic.model_validator(mode="after")
    def _resolution_of_a_score(self) -> Anomaly:
        if self.resolve_when is not None and self.kind is not None and self.score is None:
            raise ValueError("resolve_when: only with a score, which it compares with")
        return self

    def bare(self, given: base.Given) -> base.Expr:
        if self.kind is not None and self.score is None:
            return base.Expr(f"{self._active()} == 1", f"{self._active()} == 1", None)
        score = ANOMALOUS if self.score is None else self.score
        comparing.check_resolution(comparing.Operator.GT, score, self.resolve_when)
        value = selecting.selector(SCORE, self.labels, selecting.of_query(self.query))
        found = comparing.expr(value, comparing.Operator.GT, score, self.resolve_when)
        if self.kind is None:
            return found
        of_kind = f"and ignoring (kind) {self._active()} == 1"
        return base.Expr(f"{found.fire} {of_kind}", f"{found.hold} {of_kind}", found.universe)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        labels = selecting.example(self.labels, selecting.of_query(self.query))
        found = []
        if self.kind is None or self.score is not None:
            score = ANOMALOUS if self.score is None else self.score
            value = comparing.value_at(level, comparing.Operator.GT, score, self.resolve_when)
            found.append(base.Staged(SCORE, labels, value))
        elif level in (base.Level.EDGE, base.Level.HELD):
            raise base.NotStagedError("a kind of trouble is there or not")
        if self.kind is not None:
            is_there = bool(found) or level is base.Level.MET
            active = 1.0 if is_there else None
            found.append(base.Staged(ACTIVE, {**labels, "kind": self.kind[0]}, active))
        return tuple(found)

    def _active(self) -> str:
        kinds = self.kind or ()
        one = kinds[0] if len(kinds) == 1 else kinds
        return selecting.selector(
            ACTIVE, {**self.labels, "kind": one}, selecting.of_query(self.query)
        )
