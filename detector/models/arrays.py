"""The arrays that kernels work on: made, grown, looked at in part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from detector import frames
from detector.models.kernels import drift, layout, lost, smoothers

SAMPLE_ROWS = 4_096
"""Rows of features kept for a fit: IForest draws 256 a tree, so more tells it little."""
BLOCK_SAMPLES = 2_048
"""Samples that go from members to fitted models to verdict at a time."""


def view_rows(state: layout.State, rows: int) -> layout.State:
    """A view of the first rows."""
    parts: tuple[npt.NDArray[Any], ...] = state
    return layout.State(*(part[:rows] for part in parts))


def first_rows(trace: layout.Trace, rows: int) -> layout.Trace:
    """A view of the first rows."""
    parts: tuple[npt.NDArray[Any], ...] = trace
    return layout.Trace(*(part[:rows] for part in parts))


def some_rows(trace: layout.Trace, first: int, end: int) -> layout.Trace:
    """A view of these rows; of features, which may have no rows, all where there are none."""
    parts: tuple[npt.NDArray[Any], ...] = trace
    return layout.Trace(*(part[first:end] for part in parts))


def pairs(
    one: layout.State, other: layout.State
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """The arrays of two states, kind by kind."""
    first: tuple[npt.NDArray[Any], ...] = one
    second: tuple[npt.NDArray[Any], ...] = other
    return zip(first, second, strict=True)


def empty_state(
    rows: int, bins: int, weights: frames.Floats, forecasts: frames.Floats
) -> layout.State:
    """So many rows of zeros; profiles hold nothing yet.

    weights    of the members: where none is on the reservoirs, there are none
    forecasts  the settings of smoothers
    """
    members, single = len(weights), np.float32
    has_reservoirs = bool(weights[layout.NEAR] or weights[layout.WIDE])
    reservoir = layout.RESERVOIR_ROWS if has_reservoirs else 0
    past = layout.PAST if has_reservoirs else layout.SHORT_PAST
    seasons = np.zeros((rows, len(forecasts), bins, 2), dtype=single)
    seasons[:, forecasts[:, smoothers.KIND] == smoothers.SEASONAL_NAIVE] = np.nan
    return layout.State(
        numbers=np.zeros((rows, layout.NUMBERS)),
        counts=np.zeros((rows, layout.COUNTS), dtype=np.int64),
        profile=np.full((rows, bins), np.nan, dtype=single),
        weekly=np.full((rows, layout.HOURS), np.nan, dtype=single),
        monthly=np.full((rows, layout.EDGES), np.nan, dtype=single),
        histogram=np.zeros((rows, layout.BINS), dtype=np.uint32),
        levels=np.zeros((rows, 2, members)),
        levelled=np.zeros((rows, members), dtype=np.int64),
        past=np.zeros((rows, past), dtype=single),
        near=np.zeros((rows, layout.NEAR_POINTS, reservoir), dtype=single),
        wide=np.zeros((rows, layout.SCALES, reservoir), dtype=single),
        gauss=np.zeros((rows, layout.GAUSS)),
        drift=np.zeros((rows, drift.SIZE)),
        kinds=np.zeros((rows, lost.SIZE)),
        smoothed=np.zeros((rows, len(forecasts), smoothers.SIZE)),
        seasons=seasons,
    )


def empty_trace(
    rows: int, steps: int, members: int, *, forecasts: int, features: bool
) -> layout.Trace:
    """Room for what members say of so many rows and steps, and so many smoothers foresee."""
    shape = (rows, steps)
    references = layout.RESIDUALS + forecasts
    return layout.Trace(
        points=np.empty(shape, dtype=np.int64),
        absent=np.empty(shape, dtype=np.bool_),
        planned=np.empty(shape, dtype=np.bool_),
        centre=np.empty((*shape, references)),
        size=np.empty((*shape, references)),
        best=np.empty(shape, dtype=np.int64),
        level=np.empty(shape),
        units=np.full((*shape, layout.STREAMING), np.nan),
        rise=np.full((*shape, members), np.nan),
        frozen=np.empty(shape, dtype=np.bool_),
        profiled=np.empty(shape, dtype=np.bool_),
        least=np.empty(shape),
        drift=np.empty(shape),
        z=np.zeros((*(shape if features else (0, 0)), layout.RESIDUALS), dtype=np.float32),
    )


def empty_sample(rows: int) -> layout.Sample:
    """Room for so many rows and for all that a block or another sample may offer beyond; none for
    no rows."""
    room = rows + max(rows, BLOCK_SAMPLES) if rows else 0
    return layout.Sample(
        keys=np.zeros(room, dtype=np.int64),
        rows=np.zeros((room, layout.RESIDUALS), dtype=np.float32),
        sizes=np.zeros(2, dtype=np.int64),
        limit=np.full(1, np.iinfo(np.int64).max),
    )


def cut_back(sample: layout.Sample) -> None:
    """Leave the SAMPLE_ROWS rows with the smallest keys."""
    held = int(sample.sizes[0])
    if held <= SAMPLE_ROWS:
        return
    smallest = np.argpartition(sample.keys[:held], SAMPLE_ROWS)[: SAMPLE_ROWS + 1]
    last, kept = smallest[-1], smallest[:-1]
    sample.limit[0] = sample.keys[last]
    sample.keys[:SAMPLE_ROWS] = sample.keys[kept]
    sample.rows[:SAMPLE_ROWS] = sample.rows[kept]
    sample.sizes[0] = SAMPLE_ROWS


def add_sample(sample: layout.Sample, part: layout.Sample) -> None:
    """Bring into the sample what was offered to another one; that one is not used any more."""
    held, more = int(sample.sizes[0]), int(part.sizes[0])
    # No more than there is room for: neither holds more than SAMPLE_ROWS when a block is done.
    for ours, theirs in ((sample.keys, part.keys), (sample.rows, part.rows)):
        ours[held : held + more] = theirs[:more]
    sample.sizes[:] += part.sizes
    sample.limit[:] = np.minimum(sample.limit, part.limit)
    cut_back(sample)


def scratch() -> layout.Scratch:
    """Room for one sample."""
    return layout.Scratch(
        residuals=np.empty(layout.RESIDUALS),
        z=np.empty(layout.RESIDUALS),
        scores=np.empty(layout.STREAMING),
        solved=np.empty(layout.GAUSS_POINTS),
        row=np.empty(layout.SCALES, dtype=np.float32),
        distances=np.empty(2 * layout.RESERVOIR_ROWS, dtype=np.float32),
    )


def empty_kept(rows: int, like: layout.State) -> layout.Kept:
    """Room for so many rows of such a state."""

    def room(count: int) -> layout.State:
        parts: tuple[npt.NDArray[Any], ...] = like
        return layout.State(*(np.empty((count, *part.shape[1:]), part.dtype) for part in parts))

    return layout.Kept(
        before=room(1),
        room=np.empty(like.kinds.shape[1]),
        states=room(rows),
        rows=np.zeros(rows, np.int64),
        size=np.zeros(1, np.int64),
    )


def empty_out(shape: tuple[int, int], members: int) -> layout.Out:
    """Room for results of [S, T] samples."""
    return layout.Out(
        score=np.empty(shape),
        expected=np.empty(shape),
        lower=np.empty(shape),
        upper=np.empty(shape),
        drift=np.empty(shape),
        kind=np.empty(shape, dtype=np.int8),
        members=np.empty((*shape, members)),
    )
