"""How rare a fitted model's score is among the rows it was fitted on: one scale for all models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector import frames

KNOTS = 24
TAIL_ROWS = 10
"""Fitted rows beyond the last knot of the curve."""
LEAST_TAIL_EXCESS = 1e-3


@dataclass(frozen=True, slots=True)
class Curve:
    """A score to its surprise, -log of the share of fitted rows that scored higher.

    knots   float64[K] of scores, rising; surprise float64[K] there, rising
    slope   of the surprise beyond the last knot
    """

    knots: frames.Floats
    surprise: frames.Floats
    slope: float

    def of(self, scores: frames.Floats) -> frames.Floats:
        """float64[N] >= 0: straight between the knots, and beyond the last one."""
        beyond = np.maximum(scores - self.knots[-1], 0.0)
        found: frames.Floats = np.interp(scores, self.knots, self.surprise) + self.slope * beyond
        return found


def curve_of(scores: frames.Floats) -> Curve:
    """The curve of a model from its scores of the rows it was fitted on, TAIL_ROWS or more."""
    ranked = np.sort(scores)
    total = len(ranked)
    above = np.unique(np.geomspace(total, TAIL_ROWS, KNOTS).astype(np.int64))[::-1]
    knots, first = np.unique(ranked[total - above], return_index=True)
    excess = float(np.mean(ranked[-TAIL_ROWS:] - knots[-1]))
    # The scale of a model's scores is its own: least excess is a part of their range.
    least = LEAST_TAIL_EXCESS * max(float(ranked[-1] - ranked[0]), 1e-300)
    return Curve(knots, -np.log(above[first] / total), 1.0 / max(excess, least))
