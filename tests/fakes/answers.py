"""A Prometheus that gives each expression its own answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from detector import errors, frames

Answer = dict[frames.Labels, float]


@dataclass
class FakeAnswers:
    """ports.SeriesReader of instant queries and of ranges in which nothing changes; an expression
    that has no answer gives nothing. While `failure` is set, each call raises it."""

    answers: dict[str, Answer] = field(default_factory=dict)
    failure: errors.UpstreamError | None = None
    asked: list[str] = field(default_factory=list)
    ranges_ms: list[tuple[int, int, int]] = field(default_factory=list)
    """Start, end and step of what was asked for."""

    def read_instant(self, expr: str, *, at_ms: int, table: frames.SeriesTable) -> frames.Floats:
        rows = self._rows(expr, table)
        values = np.full(len(table), np.nan)
        for row, value in rows.items():
            values[row] = value
        return values

    def read_range(
        self, expr: str, *, start_ms: int, end_ms: int, step_ms: int, table: frames.SeriesTable
    ) -> frames.Frame:
        rows = self._rows(expr, table)
        self.ranges_ms.append((start_ms, end_ms, step_ms))
        times_ms = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        values = np.full((len(table), len(times_ms)), np.nan)
        for row, value in rows.items():
            values[row] = value
        return frames.Frame(times_ms, values.T, step_ms)

    def last_written_ms(self, query: str, *, at_ms: int, within: timedelta) -> int | None:
        return None

    def metric_names(self, *, start_ms: int, end_ms: int) -> frozenset[str]:
        return frozenset()

    def _rows(self, expr: str, table: frames.SeriesTable) -> dict[int, float]:
        self.asked.append(expr)
        if self.failure is not None:
            raise self.failure
        return {table.row(labels): value for labels, value in self.answers.get(expr, {}).items()}
