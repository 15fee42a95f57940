"""What a query's owner does not call an anomaly, however rare it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from detector.models.kernels import layout

Sides: TypeAlias = tuple[float, float]
"""For what lies below the expected value, and for what lies above it."""


class Direction(StrEnum):
    """The side of the expected value on which a deviation matters."""

    BOTH = "both"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Gates:
    """A sample on the wrong side of the expected value, or nearer to it than the larger of the
    two least deviations of its side, has its score cut to at most 1, so that it opens no incident.

    min_deviation           in the series' unit, >= 0
    min_relative_deviation  as a ratio of |expected|, >= 0
    band_scale              what the band's halves are multiplied with, above 0
    valid_range             (low, high): a value outside scores 2 or more, whatever is usual, and
                            expected value and band are cut to it
    min_samples             samples of a series before its first score

    Raises ValueError for a negative or non-finite least deviation, a scale not above 0, a range
    that holds nothing.
    """

    direction: Direction = Direction.BOTH
    min_deviation: Sides = (0.0, 0.0)
    min_relative_deviation: Sides = (0.0, 0.0)
    band_scale: Sides = (1.0, 1.0)
    valid_range: Sides = (-math.inf, math.inf)
    min_samples: int = 0

    def __post_init__(self) -> None:
        for name in ("min_deviation", "min_relative_deviation"):
            for value in getattr(self, name):
                if not 0 <= value < math.inf:
                    raise ValueError(f"{name}: {value}: a finite number >= 0 is allowed")
        for value in self.band_scale:
            if not 0 < value < math.inf:
                raise ValueError(f"band_scale: {value}: a finite number above 0 is allowed")
        low, high = self.valid_range
        if not low < high:
            raise ValueError(
                f"valid_range: {low} to {high}: the first must be less than the second"
            )

    def compiled(self) -> layout.Gates:
        """The same for the kernels."""
        return layout.Gates(
            counts_below=self.direction is not Direction.ABOVE,
            counts_above=self.direction is not Direction.BELOW,
            least_below=float(self.min_deviation[0]),
            least_above=float(self.min_deviation[1]),
            relative_below=float(self.min_relative_deviation[0]),
            relative_above=float(self.min_relative_deviation[1]),
            scale_below=float(self.band_scale[0]),
            scale_above=float(self.band_scale[1]),
            low=float(self.valid_range[0]),
            high=float(self.valid_range[1]),
            samples=self.min_samples,
        )
