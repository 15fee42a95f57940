"""Models with a fit of their own for each series, or for each group of series at once.

A group's row holds the features of all its series at one step, side by side, so such a model is a
multivariate one: it may find odd together what is usual of each. What it says of a step, it says of
each series of the group.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from detector import frames
from detector.models import fits, fitted, groups
from detector.models.kernels import layout, numbers

UNIT_ROWS = 1_000
"""Rows kept for a fit of one series or group. There is room for as many again between two cuts: in
all 96 kB a series, or 16 kB and 32 kB for each series of a group."""
JOBS_AT_ONCE = 64
"""Fits that are asked for at a time; what else is due comes later."""
GROUP_COLUMNS = (2, layout.DRIFTED, layout.FAST_PAIR, layout.WIDE_PAIR)
"""Residuals of each series that make up the row of its group: from an average of some points and
from the day, and of two pairs of averages. All ten rank no better and cost more."""


class _Part:
    """What is known of one series or group.

    rows     of the state, in the order of the features
    columns  of the features of each
    """

    def __init__(self, unit: fitted.Unit, rows: Sequence[int], columns: Sequence[int]) -> None:
        self.unit = unit
        self.rows, self._columns = np.array(rows, np.int64), np.array(columns, np.int64)
        room = 2 * UNIT_ROWS
        self._keys = np.zeros(room, np.int64)
        self._sample = np.zeros((room, len(rows) * len(columns)), np.float32)
        self._limit = np.iinfo(np.int64).max
        self._salt = zlib.crc32(repr(unit).encode())
        self.held = self.offered = 0
        self.schedule = fits.Schedule()
        self.fits: dict[str, fitted.FittedModel] = {}

    def features(self, trace: layout.Trace, first_row: int) -> fitted.Rows:
        """float32[steps, F] of a trace that begins at this row; 0 where a series has no sample."""
        at = self.rows - first_row
        z = trace.z[at][:, :, self._columns]
        z[trace.points[at] < 0] = 0.0
        rows = z.transpose(1, 0, 2).reshape(z.shape[1], -1)
        return np.ascontiguousarray(rows)

    def offer(self, rows: fitted.Rows, times_ms: frames.Ints, seed: int) -> None:
        """Keep those whose keys are among the smallest of all."""
        self.offered += len(rows)
        keys = numbers.mixed(times_ms + numbers.mixed(self._salt + numbers.mixed(seed)))
        chosen = np.flatnonzero(keys < self._limit)
        for some in np.array_split(chosen, -(-len(chosen) // UNIT_ROWS) or 1):
            end = self.held + len(some)
            self._keys[self.held : end] = keys[some]
            self._sample[self.held : end] = rows[some]
            self.held = end
            self._cut_back()

    def _cut_back(self) -> None:
        if self.held <= UNIT_ROWS:
            return
        order = np.argpartition(self._keys[: self.held], UNIT_ROWS)
        self._limit = int(self._keys[order[UNIT_ROWS]])
        kept = order[:UNIT_ROWS]
        self._keys[:UNIT_ROWS] = self._keys[kept]
        self._sample[:UNIT_ROWS] = self._sample[kept]
        self.held = UNIT_ROWS

    def rows_held(self) -> fitted.Rows:
        """A copy of the sample."""
        return self._sample[np.argsort(self._keys[: self.held])]


class OwnFits:
    """Models of one scope, fitted for each series, or for each group by these labels."""

    def __init__(
        self, models: Iterable[fitted.Model], *, seed: int, group_by: Sequence[str] | None
    ) -> None:
        self.models = tuple(models)
        self._seed, self._group_by = seed, group_by
        self._parts: dict[fitted.Unit, _Part] = {}
        self._spans = np.empty((0, 2), np.int64)
        self._is_named = False

    def follow(self, labels: Sequence[frames.Labels | None]) -> None:
        """From now on the rows are these series; a series or group that stays keeps its fits."""
        self._is_named = True
        before, self._parts = self._parts, {}
        for unit, rows in self._units_of(labels).items():
            part = before.get(unit)
            if part is None:
                part = self._new(unit, rows)
            part.rows = np.array(rows, np.int64)
            self._parts[unit] = part
        self._index()

    def _index(self) -> None:
        """First and last row of each part, in their order."""
        spans = [(part.rows.min(), part.rows.max()) for part in self._parts.values()]
        self._spans = np.array(spans, np.int64).reshape(-1, 2)

    def _units_of(self, labels: Sequence[frames.Labels | None]) -> dict[fitted.Unit, list[int]]:
        if self._group_by is None:
            return {(series,): [row] for row, series in enumerate(labels) if series is not None}
        members: dict[int, list[tuple[frames.Labels, int]]] = {}
        for row, number in enumerate(groups.groups_of(labels, self._group_by).tolist()):
            if number != groups.ALONE:
                members.setdefault(number, []).append((labels[row] or (), row))
        found = {}
        for each in members.values():
            each.sort()
            found[tuple(series for series, _ in each)] = [row for _, row in each]
        return found

    def follow_rows(self, end: int) -> None:
        """Rows that have no labels, as in files, are series too: all of them before this one."""
        if self._is_named or self._group_by is not None or len(self._parts) >= end:
            return
        for row in range(len(self._parts), end):
            unit: fitted.Unit = ((("row", str(row)),),)
            self._parts[unit] = self._new(unit, [row])
        self._index()

    def _new(self, unit: fitted.Unit, rows: Sequence[int]) -> _Part:
        columns = range(layout.RESIDUALS) if self._group_by is None else GROUP_COLUMNS
        return _Part(unit, rows, columns)

    def jobs(self, first_ms: int, now_ms: int) -> Sequence[fits.RefitJob]:
        """Those of the fits that are due by now, JOBS_AT_ONCE parts at most."""
        found: list[fits.RefitJob] = []
        for part in self._parts.values():
            if len(found) >= JOBS_AT_ONCE:
                break
            if part.schedule.take_due(held=part.held, offered=part.offered, now_ms=now_ms):
                rows = part.rows_held()
                found += [
                    fits.RefitJob(model, rows, self._seed, first_ms, now_ms, part.unit)
                    for model in self.models
                ]
        return found

    def adopt(self, model: fitted.FittedModel) -> None:
        """Let this fit speak of its series or group, if that is still there."""
        part = self._parts.get(model.unit)
        if part is not None:
            part.fits[model.name] = model

    def surprises(self, trace: layout.Trace, first_row: int) -> frames.Floats:
        """float64[models, rows, steps]: what they say of a block of whole groups, NaN until
        fitted."""
        found = np.full((len(self.models), *trace.points.shape), np.nan)
        for part in self._inside(trace, first_row):
            if part.fits:
                rows = part.features(trace, first_row)
                for place, model in enumerate(self.models):
                    if model.name in part.fits:
                        found[place, part.rows - first_row] = part.fits[model.name].surprises(rows)
        return found

    def offer(
        self, trace: layout.Trace, first_row: int, times_ms: frames.Ints, calm: frames.Bools
    ) -> None:
        """Offer what is calm of a block to the samples. calm bool[rows, steps], times_ms [steps]"""
        for part in self._inside(trace, first_row):
            at = part.rows - first_row
            absent = trace.points[at] < 0
            chosen = (calm[at] | absent).all(axis=0) & ~absent.all(axis=0)
            if chosen.any():
                rows = part.features(trace, first_row)[chosen]
                part.offer(rows, times_ms[chosen], self._seed)

    def _inside(self, trace: layout.Trace, first_row: int) -> list[_Part]:
        first, last = self._spans.T
        inside = (first >= first_row) & (last < first_row + len(trace.points))
        parts = list(self._parts.values())
        return [parts[place] for place in np.flatnonzero(inside)]
