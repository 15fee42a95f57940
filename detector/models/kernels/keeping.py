"""The state of a series as it was before a sample, kept where the sample may be an anomaly.

Members learn from a sample as they look at it, so what a score was made from is gone when it is
known. A copy of each series' state is made in the cache and overwritten by the next one, and is
taken out only where the verdict may come out above 1, or opens an anomaly whatever the score.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, verdict

SUSPECT = 0.5
"""Part of the excursion's limit from which a sample is kept; fitted models may add to the rest."""


@compiled.part
def _copy(to, of):  # type: ignore[no-untyped-def]
    for i in range(of.size):
        to[i] = of[i]


@compiled.part
def _copy_all(to, of):  # type: ignore[no-untyped-def]
    for i in range(of.shape[0]):
        for j in range(of.shape[1]):
            to[i, j] = of[i, j]


@compiled.part
def copy_row(to, place, of):  # type: ignore[no-untyped-def]
    """Put the state of one series into row `place` of others."""
    _copy(to.numbers[place], of.numbers)
    _copy(to.counts[place], of.counts)
    _copy(to.profile[place], of.profile)
    _copy(to.weekly[place], of.weekly)
    _copy(to.monthly[place], of.monthly)
    _copy(to.histogram[place], of.histogram)
    _copy_all(to.levels[place], of.levels)
    _copy(to.levelled[place], of.levelled)
    _copy(to.past[place], of.past)
    _copy_all(to.near[place], of.near)
    _copy_all(to.wide[place], of.wide)
    _copy(to.gauss[place], of.gauss)
    _copy(to.drift[place], of.drift)
    _copy(to.kinds[place], of.kinds)
    for m in range(of.smoothed.shape[0]):
        _copy(to.smoothed[place, m], of.smoothed[m])
        _copy_all(to.seasons[place, m], of.seasons[m])


@compiled.part
def may_be_anomalous(p, limit, raw, points, rise, least_points):  # type: ignore[no-untyped-def]
    """Whether the verdict on a sample may be a score above 1."""
    if points < least_points or not math.isfinite(raw):
        return False
    if raw < p.gates.low or raw > p.gates.high:
        return True
    streaming = p.weights[: layout.STREAMING]
    if verdict.has_spoken(streaming, rise):
        return verdict.combined(streaming, rise) > SUSPECT * limit
    return rise[layout.RESIDUAL] > 0.0
