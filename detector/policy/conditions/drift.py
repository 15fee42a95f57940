"""What the detector finds drifted: a recent window unlike the past of its series."""

from __future__ import annotations

from typing import Literal

from detector import config
from detector.policy import sections
from detector.policy.conditions import base, comparing, selecting

SCORE = "drift_score"


class Drift(comparing.Compared):
    """Series of a query whose drift score is above `score`; 1 is the detector's own threshold."""

    type: Literal["drift"]
    query: config.Name | None = None
    score: sections.Finite = 1.0

    def bare(self, given: base.Given) -> base.Expr:
        comparing.check_resolution(comparing.Operator.GT, self.score, self.resolve_when)
        value = selecting.selector(SCORE, self.labels, selecting.of_query(self.query))
        return comparing.expr(value, comparing.Operator.GT, self.score, self.resolve_when)

    def staged(self, level: base.Level, given: base.Given) -> tuple[base.Staged, ...]:
        value = comparing.value_at(level, comparing.Operator.GT, self.score, self.resolve_when)
        return (
            base.Staged(
                SCORE, selecting.example(self.labels, selecting.of_query(self.query)), value
            ),
        )
