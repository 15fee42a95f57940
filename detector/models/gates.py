"""What a query's owner does not call an anomaly, however rare it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """The side of the expected value on which a deviation matters."""

    BOTH = "both"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Gates:
    """A sample on the wrong side of the expected value, or nearer to it than the larger of the
    two least deviations, has its score cut to at most 1, so that it opens no incident.

    min_deviation           in the series' unit, >= 0
    min_relative_deviation  as a ratio of |expected|, >= 0

    Raises ValueError for a negative or non-finite least deviation.
    """

    direction: Direction = Direction.BOTH
    min_deviation: float = 0.0
    min_relative_deviation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_deviation", "min_relative_deviation"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name}: {value}: a finite number >= 0 is allowed")
