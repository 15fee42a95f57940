"""A Prometheus of functions, and a writer that keeps what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from detector import errors, frames

Series = Callable[[int], float]
"""Value of a series at epoch milliseconds; NaN where it has none."""


@dataclass
class FakeReader:
    """ports.SeriesReader over functions of time; `broken` makes every call fail."""

    series: dict[frames.Labels, Series]
    written_ms: int | None = None
    broken: bool = False
    names: frozenset[str] = frozenset()
    instants: list[int] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def read_instant(self, expr: str, *, at_ms: int, table: frames.SeriesTable) -> frames.Floats:
        self._answer()
        self.instants.append(at_ms)
        return self._values(at_ms, table)

    def read_range(
        self, expr: str, *, start_ms: int, end_ms: int, step_ms: int, table: frames.SeriesTable
    ) -> frames.Frame:
        self._answer()
        self.ranges.append((start_ms, end_ms))
        times_ms = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        rows = [self._values(int(time_ms), table) for time_ms in times_ms]
        values = np.full((len(table), len(times_ms)), np.nan)
        for t, row in enumerate(rows):
            values[: len(row), t] = row
        return frames.Frame(times_ms, values.T, step_ms)

    def last_written_ms(self, query: str, *, at_ms: int, within: timedelta) -> int | None:
        self._answer()
        return self.written_ms

    def metric_names(self, *, start_ms: int, end_ms: int) -> frozenset[str]:
        self._answer()
        return self.names

    def _values(self, at_ms: int, table: frames.SeriesTable) -> frames.Floats:
        found = {labels: series(at_ms) for labels, series in self.series.items()}
        rows = {table.row(labels): value for labels, value in found.items() if value == value}
        values = np.full(len(table), np.nan)
        for row, value in rows.items():
            values[row] = value
        return values

    def _answer(self) -> None:
        if self.broken:
            raise errors.UpstreamError("Prometheus is down", kind="unreachable", retryable=True)


@dataclass
class RecordingWriter:
    """ports.ScoreWriter that keeps (time_ms, labels, score), stale markers and open anomalies.

    `broken` makes write() fail as a bug would; before_stale() comes before stale markers.
    """

    broken: bool = False
    scores: list[tuple[int, frames.Labels, float]] = field(default_factory=list)
    stale: list[tuple[int, frames.Labels]] = field(default_factory=list)
    active: list[tuple[int, frames.Labels, frames.Kind, bool]] = field(default_factory=list)
    forecasts: list[tuple[int, dict[tuple[frames.Labels, str], float]]] = field(
        default_factory=list
    )
    exhaustions: list[tuple[int, dict[frames.Labels, float]]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    before_stale: Callable[[], object] = bool

    def write(self, query: str, table: frames.SeriesTable, scores: frames.Scores) -> None:
        if self.broken:
            raise ZeroDivisionError
        for t, time_ms in enumerate(scores.times_ms.tolist()):
            for row in np.flatnonzero(np.isfinite(scores.score[t])).tolist():
                score = float(scores.score[t, row])
                self.scores.append((time_ms, table.labels[row] or (), score))

    def write_stale(
        self, query: str, table: frames.SeriesTable, rows: Sequence[int], *, time_ms: int
    ) -> None:
        self.before_stale()
        self.stale += [(time_ms, table.labels[row] or ()) for row in rows]

    def write_active(
        self,
        query: str,
        table: frames.SeriesTable,
        row: int,
        kind: frames.Kind,
        *,
        time_ms: int,
        stale: bool,
    ) -> None:
        self.active.append((time_ms, table.labels[row] or (), kind, stale))

    def write_forecasts(
        self,
        query: str,
        horizons: Sequence[str],
        table: frames.SeriesTable,
        values: frames.Floats,
        *,
        time_ms: int,
    ) -> None:
        told = {
            (table.labels[row] or (), horizon): float(values[row, number])
            for row in range(len(values))
            for number, horizon in enumerate(horizons)
        }
        self.forecasts.append((time_ms, told))

    def write_exhaustion(
        self, query: str, table: frames.SeriesTable, seconds: frames.Floats, *, time_ms: int
    ) -> None:
        told = {table.labels[row] or (): float(each) for row, each in enumerate(seconds)}
        self.exhaustions.append((time_ms, told))

    def forget(self, query: str) -> None:
        self.forgotten.append(query)

    def times_of(self, labels: frames.Labels) -> list[int]:
        return [time_ms for time_ms, found, _ in self.scores if found == labels]
