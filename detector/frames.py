"""The shapes that data has between the rooms: series tables, frames, scores.

Axes have one letter everywhere: T steps, S series (rows of a table), F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.int8]
Bools: TypeAlias = npt.NDArray[np.bool_]
Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, no name twice, `__name__` among them where the series has one."""


def labels_from_pairs(pairs: Iterable[tuple[str, str]]) -> Labels:
    """The pairs as Labels: sorted by name, pairs with an empty value left out.

    >>> labels_from_pairs([("b", "2"), ("a", "1"), ("c", "")])
    (('a', '1'), ('b', '2'))
    """
    return tuple(sorted((name, value) for name, value in pairs if value))


class SeriesTable:
    """Which row a series of one query has, for as long as the series lives.

    A row is found by labels or by the raw bytes that a server sends for them, so labels are
    parsed once in a series' life. A forgotten row is given to the next new series. `version`
    grows with each change, so that what is derived from labels can be cached. One owner thread.
    """

    def __init__(self) -> None:
        self.labels: list[Labels | None] = []
        self.row_by_key: dict[bytes, int] = {}
        self.version = 0
        self._row_by_labels: dict[Labels, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        """Rows ever given out, the free ones among them: S of every frame of this table."""
        return len(self.labels)

    @property
    def live(self) -> int:
        """Rows that hold a series."""
        return len(self._row_by_labels)

    def row(self, labels: Labels) -> int:
        """The row of these labels, a new one for a new series."""
        row = self._row_by_labels.get(labels)
        if row is not None:
            return row
        if self._free:
            row = self._free.pop()
            self.labels[row] = labels
        else:
            row = len(self.labels)
            self.labels.append(labels)
        self._row_by_labels[labels] = row
        self.version += 1
        return row

    def bind(self, key: bytes, labels: Labels) -> int:
        """The row of these labels, found from now on by the server's bytes for them too."""
        row = self.row(labels)
        self.row_by_key[key] = row
        return row

    def forget(self, rows: Iterable[int]) -> None:
        """Free these rows: their series have ended for good."""
        gone = set(rows)
        for row in gone:
            labels = self.labels[row]
            if labels is not None:
                del self._row_by_labels[labels]
                self.labels[row] = None
                self._free.append(row)
                self.version += 1
        self.row_by_key = {key: row for key, row in self.row_by_key.items() if row not in gone}


@dataclass(frozen=True, slots=True)
class Frame:
    """What query_range gives for one query, on its step grid.

    times_ms  int64[T], strictly rising, multiples of step_ms
    values    float64[T, S], column = row of the query's SeriesTable; NaN where there is no sample.
              Columns are contiguous in memory (the array is the transpose of a C array [S, T]).
    step_ms   grid step in milliseconds
    """

    times_ms: Ints
    values: Floats
    step_ms: int

    def blocks(self, steps: int) -> Iterator[Frame]:
        """Frames of so many steps each, in order, that share the memory of this one."""
        for first in range(0, len(self.times_ms), steps):
            at = slice(first, first + steps)
            yield Frame(self.times_ms[at], self.values[at], self.step_ms)


class Kind(IntEnum):
    """What an open anomaly looks like: the fixed set behind the label `kind`."""

    NONE = 0
    SPIKE = 1
    DIP = 2
    LEVEL_SHIFT = 3
    TREND = 4
    VARIANCE = 5
    FLAT = 6
    ZERO = 7
    MISSING = 8
    LOST_SEASON = 9


class DriftKind(IntEnum):
    """What of a series has drifted."""

    NONE = 0
    LEVEL = 1
    SPREAD = 2
    SHAPE = 3


@dataclass(frozen=True, slots=True)
class Scores:
    """One verdict for each sample of a frame.

    times_ms  int64[T] as in the frame
    score     float64[T, S] >= 0, above 1 is anomalous; 0 in warm-up; NaN where the frame has none
    expected, lower, upper
              float64[T, S], the value foreseen from samples before t, and its band; NaN likewise
    drift     float64[T, S] >= 0, above 1 the recent past is not drawn from what came before it; 0
              while too young; told at fixed, rarer steps of the grid, NaN at all others
    kind      int8[T, S], a Kind: not NONE while an anomaly is open on the series; MISSING is
              the one kind of a step without a sample, beside the one that was open before
    members   float64[T, S] >= 0 of single models by name, NaN where one is not ready; empty unless
              they are asked for
    """

    times_ms: Ints
    score: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    drift: Floats
    kind: Bytes
    members: Mapping[str, Floats] = field(default_factory=dict)
