"""What a young series borrows from the others of its query: how their scores' tails look."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np

from detector import frames
from detector.models import memories
from detector.models.kernels import layout, tail

KNOWN_SHARE = 0.02
"""Part of the points that the priors below take as the tail."""


class TailPrior(NamedTuple):
    """Start of the tail, mean excess of its clusters, clusters a point, and how many points and
    clusters of a series' own past weigh as much as this where it has no siblings."""

    start: float
    excess: float
    clusters: float
    points: float
    own_clusters: float

    def at(self, share: float) -> TailPrior:
        """The same tail, taken to begin where this share of the points lies above."""
        ratio = share / KNOWN_SHARE
        start = max(tail.LEAST_START, self.start - self.excess * float(np.log(ratio)))
        return self._replace(start=start, clusters=self.clusters * ratio)


TUNED = TailPrior(start=0.7, excess=0.25, clusters=0.0055, points=1000.0, own_clusters=50.0)
"""Of operational metrics at steps of a minute to an hour."""
FINE = TailPrior(start=0.65, excess=0.18, clusters=0.007, points=150.0, own_clusters=20.0)
"""Of host noise below a minute, where sampling noise outweighs events: Gaussian, averaged,
autocorrelated and Student-t series at 5 s have starts of .39-.82 and excesses of .10-.23."""
ALONE = TailPrior(start=1.36, excess=0.26, clusters=0.02, points=300.0, own_clusters=20.0)
"""Of one fitted model without others to be averaged with: its surprises are exponential on what it
was fitted on, so their rise above y has the chance exp(-e^y), and each stands alone."""
LEAST_IN_TAIL = 5.0
"""Points that a sibling's tail needs before it tells."""
MANY = 10
"""Siblings from which the group speaks for itself."""
GROUP_POINTS, GROUP_CLUSTERS = 3000.0, 150.0
"""Of its own past, how much weighs as much as what MANY siblings say."""


def prior_for_step(step: timedelta, *, streaming: bool = True) -> TailPrior:
    """What is known of a series before its siblings and its own past speak."""
    if not streaming:
        return ALONE
    return TUNED if step >= memories.TUNED_STEP else FINE


def reset_priors(state: layout.State, known: TailPrior, allowed: float) -> None:
    """Give all rows the prior of a series without siblings."""
    prior = known.at(tail.share(allowed))
    state.numbers[:, layout.PRIOR_U] = prior.start
    state.numbers[:, layout.PRIOR_E] = prior.excess
    state.numbers[:, layout.PRIOR_L] = prior.clusters
    state.numbers[:, layout.PRIOR_POINTS] = prior.points
    state.numbers[:, layout.PRIOR_CLUSTERS] = prior.own_clusters


def refresh_priors(state: layout.State, known: TailPrior, allowed: float) -> None:
    """Set every row's prior from its siblings' tails as they are now, itself left out."""
    share = tail.share(allowed)
    points = state.counts[:, layout.TAIL_POINTS]
    told = points * share >= LEAST_IN_TAIL
    rows = np.flatnonzero(told)
    if rows.size == 0:
        return
    prior = known.at(share)
    starts = np.empty(rows.size)
    tail.quantiles(state, rows, share, starts)
    clusters = state.counts[rows, layout.CLUSTERS]
    rates = clusters / points[rows]
    excesses = np.where(
        clusters > 0, state.numbers[rows, layout.TAIL_SUM] / np.maximum(clusters, 1), prior.excess
    )
    others = rows.size - told.astype(np.int64)
    weight = np.where(others >= MANY, 3.0, 20.0)
    strength = np.minimum(1.0, others / MANY)
    columns = (
        (layout.PRIOR_U, _medians_without_self(starts, rows, told.size), prior.start),
        (layout.PRIOR_E, _means_without_self(excesses, rows, told.size), prior.excess),
        (layout.PRIOR_L, _means_without_self(rates, rows, told.size), prior.clusters),
    )
    for column, theirs, before in columns:
        state.numbers[:, column] = (others * theirs + weight * before) / (others + weight)
    state.numbers[:, layout.PRIOR_POINTS] = _between(prior.points, GROUP_POINTS, strength)
    state.numbers[:, layout.PRIOR_CLUSTERS] = _between(prior.own_clusters, GROUP_CLUSTERS, strength)


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
