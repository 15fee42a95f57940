"""Tables of figures beside their limits, the same for every benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `at_most` or `at_least` is its limit, None where none is set."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it keeps its limit."""
        is_low_enough = self.at_most is None or self.value <= self.at_most
        return is_low_enough and (self.at_least is None or self.value >= self.at_least)

    @property
    def limit(self) -> str:
        """The limit in words, empty where none is set."""
        words = {"at most": self.at_most, "at least": self.at_least}
        return ", ".join(f"{word} {limit:g}" for word, limit in words.items() if limit is not None)


@dataclass(slots=True)
class Report:
    """Prints figures as they come and remembers whether all were met."""

    title: str
    missed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        print(f"\n## {self.title}", flush=True)

    def add(self, figure: Figure) -> None:
        """Print the figure."""
        line = f"{figure.name:<64}{figure.value:>10.3f} {figure.unit:<5}"
        if figure.limit:
            line += f"   {figure.limit}   {'ok' if figure.is_met else 'MISSED'}"
        print(line, flush=True)
        if not figure.is_met:
            self.missed.append(figure.name)


def interleaved(
    ours: Callable[[], float], floor: Callable[[], float], pairs: int
) -> tuple[float, float, float]:
    """Medians of ours, of the floor, and of the ratio within each pair, run turn about.

    The order within a pair alternates, so that a drift of the machine's speed cancels.
    """
    rows = []
    for turn in range(pairs):
        if turn % 2:
            below = floor()
            rows.append((ours(), below))
        else:
            rows.append((ours(), floor()))
    return (
        median(a for a, _ in rows),
        median(b for _, b in rows),
        median(a / b for a, b in rows),
    )
