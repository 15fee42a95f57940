"""What a young series borrows from the others of its query: how their scores' tails look."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np

from detector import frames
from detector.models import kernel, memories


class TailPrior(NamedTuple):
    """Start of the tail, mean excess of its clusters, clusters a point, and how many points of a
    series' own past weigh as much as this where it has no siblings."""

    start: float
    excess: float
    clusters: float
    points: float


TUNED = TailPrior(start=0.7, excess=0.25, clusters=0.0055, points=300.0)
"""Of operational metrics at steps of a minute to an hour."""
FINE = TailPrior(start=0.6, excess=0.12, clusters=0.007, points=100.0)
"""Of host noise below a minute, where sampling noise outweighs events: Gaussian, averaged,
autocorrelated and Student-t series at 5 s have starts of .42-.65 and excesses of .05-.14."""
LEAST_POINTS = 240
"""Points a sibling needs before its tail tells: some five above its 98 % quantile."""
MANY = 10
"""Siblings from which the group speaks for itself."""
ALONE_CLUSTERS = 15.0
GROUP_POINTS, GROUP_CLUSTERS = 1000.0, 50.0


def prior_for_step(step: timedelta) -> TailPrior:
    """What is known of a series before its siblings and its own past speak."""
    return TUNED if step >= memories.TUNED_STEP else FINE


def reset_priors(state: kernel.State, prior: TailPrior) -> None:
    """Give all rows the prior of a series without siblings."""
    state.numbers[:, kernel.PRIOR_U] = prior.start
    state.numbers[:, kernel.PRIOR_E] = prior.excess
    state.numbers[:, kernel.PRIOR_L] = prior.clusters
    state.numbers[:, kernel.PRIOR_POINTS] = prior.points
    state.numbers[:, kernel.PRIOR_CLUSTERS] = ALONE_CLUSTERS


def refresh_priors(state: kernel.State, prior: TailPrior, allowed: float) -> None:
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
        clusters > 0, state.numbers[rows, kernel.TAIL_SUM] / np.maximum(clusters, 1), prior.excess
    )
    others = rows.size - told.astype(np.int64)
    weight = np.where(others >= MANY, 3.0, 20.0)
    strength = np.minimum(1.0, others / MANY)
    columns = (
        (kernel.PRIOR_U, _medians_without_self(starts, rows, told.size), prior.start),
        (kernel.PRIOR_E, _means_without_self(excesses, rows, told.size), prior.excess),
        (kernel.PRIOR_L, _means_without_self(rates, rows, told.size), prior.clusters),
    )
    for column, theirs, before in columns:
        state.numbers[:, column] = (others * theirs + weight * before) / (others + weight)
    state.numbers[:, kernel.PRIOR_POINTS] = _between(prior.points, GROUP_POINTS, strength)
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
