"""A frame under construction: rows are series, filled in any order, as many as turn up."""

from __future__ import annotations

import math
import threading

import numpy as np

from detector import frames

_ROWS_AT_LEAST = 64
_GROWTH = 1.125
"""Rows are added by realloc, which moves pages and copies nothing; so growth can be slow."""


class Grid:
    """values float64[rows, T], C order, NaN where nothing was put; times from start to end."""

    def __init__(self, *, start_ms: int, end_ms: int, step_ms: int) -> None:
        if step_ms <= 0 or start_ms % step_ms or end_ms < start_ms:
            raise ValueError(f"no grid from {start_ms} to {end_ms} by {step_ms}")
        self.start_ms, self.step_ms = start_ms, step_ms
        self.steps = (end_ms - start_ms) // step_ms + 1
        self.values: frames.Floats = np.empty((0, self.steps))
        self.lock = threading.Lock()
        """To be held by whoever adds rows or writes while others may: rows may move in memory."""

    def reserve(self, rows: int) -> None:
        """Have at least so many rows."""
        have = len(self.values)
        if rows > have:
            self._resize(max(rows, _ROWS_AT_LEAST, int(have * _GROWTH)))

    def frame(self, table: frames.SeriesTable) -> frames.Frame:
        """The finished frame, a column for each row of the table; the grid is used up."""
        self._resize(len(table))
        times_ms = self.start_ms + self.step_ms * np.arange(self.steps, dtype=np.int64)
        return frames.Frame(times_ms=times_ms, values=self.values.T, step_ms=self.step_ms)

    def _resize(self, rows: int) -> None:
        have = len(self.values)
        self.values.resize((rows, self.steps), refcheck=False)
        self.values[have:] = math.nan
