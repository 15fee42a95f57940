"""What a young series borrows from the others of its query: how their scores' tails look."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector import frames
from detector.models import kernel


class TailPrior(NamedTuple):
    """Start of the tail, mean excess of its clusters, clusters a point."""

    start: float
    excess: float
    clusters: float


GLOBAL = TailPrior(start=0.7, excess=0.25, clusters=0.0055)
LEAST_POINTS = 240
"""Points a sibling needs before its tail tells: some five above its 98 % quantile."""
MANY = 10
"""Siblings from which the group speaks for itself."""
ALONE_POINTS, ALONE_CLUSTERS = 300.0, 15.0
GROUP_POINTS, GROUP_CLUSTERS = 1000.0, 50.0


def reset_priors(state: kernel.State, rows: slice | frames.Ints) -> None:
    """Give these rows the prior of a series without siblings."""
    state.numbers[rows, kernel.PRIOR_U] = GLOBAL.start
    state.numbers[rows, kernel.PRIOR_E] = GLOBAL.excess
    state.numbers[rows, kernel.PRIOR_L] = GLOBAL.clusters
    state.numbers[rows, kernel.PRIOR_POINTS] = ALONE_POINTS
    state.numbers[rows, kernel.PRIOR_CLUSTERS] = ALONE_CLUSTERS


def refresh_priors(state: kernel.State, allowed: float) -> None:
    """Set every row's prior from its siblings' tails as they are now, itself left out."""
    points = state.counts[:, kernel.TAIL_POINTS]
    told = points >= LEAST_POINTS
    rows = np.flatnonzero(told)
    if rows.size == 0:
        return
    share = kernel.tail_share(allowed)
    starts = kernel.tail_quantiles(state, rows, share)
    clusters = state.counts[rows, kernel.CLUSTERS]
    rates = clusters / points[rows]
    excesses = np.where(
        clusters > 0, state.numbers[rows, kernel.TAIL_SUM] / np.maximum(clusters, 1), GLOBAL.excess
    )
    others = rows.size - told.astype(np.int64)
    weight = np.where(others >= MANY, 3.0, 20.0)
    strength = np.minimum(1.0, others / MANY)
    columns = (
        (kernel.PRIOR_U, _medians_without_self(starts, rows, told.size), GLOBAL.start),
        (kernel.PRIOR_E, _means_without_self(excesses, rows, told.size), GLOBAL.excess),
        (kernel.PRIOR_L, _means_without_self(rates, rows, told.size), GLOBAL.clusters),
    )
    for column, theirs, prior in columns:
        state.numbers[:, column] = (others * theirs + weight * prior) / (others + weight)
    state.numbers[:, kernel.PRIOR_POINTS] = _between(ALONE_POINTS, GROUP_POINTS, strength)
    state.numbers[:, kernel.PRIOR_CLUSTERS] = _between(ALONE_CLUSTERS, GROUP_CLUSTERS, strength)


def _between(low: float, high: float, share: frames.Floats) -> frames.Floats:
    return low + (high - low) * share


def _means_without_self(values: frames.Floats, rows: frames.Ints, size: int) -> frames.Floats:
    total, count = float(values.sum()), values.size
    means = np.full(size, total / count)
    means[rows] = (total - values) / max(count - 1, 1)
    return means


def _medians_without_self(values: frames.Floats, rows: frames.Ints, size: int) -> frames.Floats:
    """float64[size]: the median of values, for each of `rows` that of the values but its own."""
    medians = np.full(size, float(np.median(values)))
    count = values.size
    if count == 1:
        medians[rows] = 0.0
        return medians
    order = np.argsort(values, kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    ranked = values[order]
    low, high = (count - 2) // 2, (count - 1) // 2
    medians[rows] = 0.5 * (ranked[low + (rank <= low)] + ranked[high + (rank <= high)])
    return medians
