"""The tail of a series' combined scores: where a sample is rarer than the budget affords."""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout

BINS_PER_UNIT = 32.0
CLUSTER_GAP = 12
"""Points below the tail's start after which an excursion has ended."""
LEAST_LOG_RATIO = 0.3
LEAST_EXCESS = 0.05
"""Mean excess of plain Gaussian noise: what looks thinner is rounding or too few clusters."""
LEAST_START = 0.05


@compiled.part
def allowed_at(p, base, points):  # type: ignore[no-untyped-def]
    """Alarms a point allowed at this age; `base` when grown up."""
    allowed = base
    for i in range(p.warm_points.size):
        if points < p.warm_points[i]:
            allowed = max(allowed, p.warm_rates[i])
    return min(allowed, 1.0)


@compiled.part
def share(allowed):  # type: ignore[no-untyped-def]
    """Part of the points that make up the tail, for this many alarms a point."""
    return min(0.1, max(0.02, 8.0 * allowed))


@compiled.part
def quantile(c, histogram, part):  # type: ignore[no-untyped-def]
    """The value that this part of the combined scores so far exceeds, inside a histogram bin.

    Moves the pointer kept in c, so that a point costs a step or two. With one score or more and
    a part in (0, 1) the bin it stops at is never empty.
    """
    target = part * c[layout.TAIL_POINTS]
    at, above = c[layout.POINTER], c[layout.ABOVE]
    while above > target:
        at += 1
        above -= histogram[at]
    while at > 0 and above + histogram[at] <= target:
        above += histogram[at]
        at -= 1
    c[layout.POINTER], c[layout.ABOVE] = at, above
    return (at + 1 - (target - above) / histogram[at]) / BINS_PER_UNIT


@compiled.part
def start(n, c, histogram, allowed, base):  # type: ignore[no-untyped-def]
    """Where the tail starts, and the mean excess of its clusters; prior and own past mixed.

    The prior is that of the grown-up budget; a young series looks at a larger part of its points,
    which starts lower, as the tail is exponential.
    """
    part, grown = share(allowed), share(base)
    own = quantile(c, histogram, part) if c[layout.TAIL_POINTS] > 0 else 0.0
    prior = n[layout.PRIOR_U]
    if part != grown:
        prior = max(LEAST_START, prior - n[layout.PRIOR_E] * math.log(part / grown))
    weight = n[layout.PRIOR_POINTS]
    begins = (weight * prior + c[layout.TAIL_POINTS] * own) / (weight + c[layout.TAIL_POINTS])
    clusters = n[layout.PRIOR_CLUSTERS]
    excess = (n[layout.TAIL_SUM] + clusters * n[layout.PRIOR_E]) / (c[layout.CLUSTERS] + clusters)
    return begins, max(excess, LEAST_EXCESS)


@compiled.part
def threshold(n, c, begins, excess, allowed, base):  # type: ignore[no-untyped-def]
    """The combined score that clusters reach as often as is allowed."""
    weight = n[layout.PRIOR_POINTS]
    prior = n[layout.PRIOR_L] * share(allowed) / share(base)
    clusters = (c[layout.CLUSTERS] + weight * prior) / (c[layout.TAIL_POINTS] + weight)
    return begins + excess * max(LEAST_LOG_RATIO, math.log(clusters / allowed))


@compiled.part
def learn(n, c, histogram, combined, begins, excess):  # type: ignore[no-untyped-def]
    """Let a combined score in; the peak of its cluster enters cut at two mean excesses."""
    at = min(layout.BINS - 1, int(combined * BINS_PER_UNIT))
    histogram[at] += 1
    c[layout.TAIL_POINTS] += 1
    if at > c[layout.POINTER]:
        c[layout.ABOVE] += 1
    if combined <= begins:
        c[layout.SINCE] += 1
        return
    peak = min(combined, begins + 2.0 * excess)
    if c[layout.SINCE] > CLUSTER_GAP:
        c[layout.CLUSTERS] += 1
        n[layout.TAIL_SUM] += peak - begins
        n[layout.TAIL_PEAK] = peak
    elif peak > n[layout.TAIL_PEAK]:
        n[layout.TAIL_SUM] += peak - n[layout.TAIL_PEAK]
        n[layout.TAIL_PEAK] = peak
    c[layout.SINCE] = 0


@compiled.kernel
def quantiles(st, rows, part, found):  # type: ignore[no-untyped-def]
    """Fill float64[len(rows)]: the value that this part of each row's combined scores exceeds."""
    for i in range(rows.size):
        found[i] = quantile(st.counts[rows[i]], st.histogram[rows[i]], part)
