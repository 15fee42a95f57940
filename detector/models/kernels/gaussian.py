"""Member M8: how improbable the last eight values are, were they Gaussian like those before.

A running mean and covariance of eight consecutive values, of rows eight points late; the score is
the Mahalanobis distance over the root of eight. A row that was improbable enters weakened.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout, past

LATE = 8
TAME = 4.0
"""A row that scored higher enters with its deviation scaled down to this."""
RIDGE = 0.01
"""Share of the mean variance added to each, so that the factor exists."""
FIRST_ROWS = 12
"""Rows of the first factor; a new one after every 16 up to EARLY_ROWS, then 64."""
EARLY_ROWS, EARLY_EVERY, EVERY = 256, 16, 64
_POINTS = layout.GAUSS_POINTS


@compiled.part
def score(c, ring, g, v):  # type: ignore[no-untyped-def]
    """The distance of the last eight values, 0 before the first factor. v float64[8] is scratch."""
    if c[layout.ROWS] < FIRST_ROWS:
        return 0.0
    total, at = 0.0, layout.GAUSS_FACTOR
    for i in range(_POINTS):
        off = past.back(ring, c[layout.AT], i) - g[layout.GAUSS_MEAN + i]
        for j in range(i):
            off -= g[at] * v[j]
            at += 1
        v[i] = off * g[at]
        at += 1
        total += v[i] * v[i]
    return min(math.sqrt(total / _POINTS), 1e30)


@compiled.part
def learn(c, ring, g, points, new, v):  # type: ignore[no-untyped-def]
    """Let the row of LATE points ago into mean and covariance, and keep the new row's score."""
    keep = layout.GAUSS_SCORES + points % LATE
    then = g[keep]
    g[keep] = new
    if points < LATE + _POINTS - 1:
        return
    rows = c[layout.ROWS] + 1
    c[layout.ROWS] = rows
    weight = TAME / then if then > TAME else 1.0
    for i in range(_POINTS):
        v[i] = (past.back(ring, c[layout.AT], LATE + i) - g[layout.GAUSS_MEAN + i]) * weight
    at, share, old = layout.GAUSS_COVARIANCE, 1.0 / rows, 1.0 - 1.0 / rows
    for i in range(_POINTS):
        g[layout.GAUSS_MEAN + i] += v[i] * share
        for j in range(i + 1):
            g[at] += (v[i] * v[j] * old - g[at]) * share
            at += 1
    c[layout.SINCE_FACTORED] += 1
    if rows == FIRST_ROWS or c[layout.SINCE_FACTORED] >= (
        EARLY_EVERY if rows <= EARLY_ROWS else EVERY
    ):
        c[layout.SINCE_FACTORED] = 0
        _factor(g)
        g[layout.GAUSS_NEWEST] = _newest(g, v)


@compiled.part
def _factor(g):  # type: ignore[no-untyped-def]
    """Cholesky's factor of the covariance with the ridge, packed by rows, its diagonal inverted;
    0 without variance."""
    trace, at = 0.0, layout.GAUSS_COVARIANCE
    for i in range(_POINTS):
        at += i
        trace += g[at]
        at += 1
    ridge = RIDGE * trace / _POINTS
    base = layout.GAUSS_FACTOR
    for i in range(_POINTS):
        row = base + i * (i + 1) // 2
        for j in range(i + 1):
            other = base + j * (j + 1) // 2
            value = g[layout.GAUSS_COVARIANCE + i * (i + 1) // 2 + j]
            if i == j:
                value += ridge
            for k in range(j):
                value -= g[row + k] * g[other + k]
            if i == j:
                g[row + i] = 1.0 / math.sqrt(value) if value > 0.0 else 0.0
            else:
                g[row + j] = value * g[other + j]


@compiled.part
def _newest(g, v):  # type: ignore[no-untyped-def]
    """The first diagonal element of the inverse covariance; 0 without variance."""
    total = 0.0
    for i in range(_POINTS):
        row = layout.GAUSS_FACTOR + i * (i + 1) // 2
        v[i] = 1.0 if i == 0 else 0.0
        for j in range(i):
            v[i] -= g[row + j] * v[j]
        v[i] *= g[row + i]
        total += v[i] * v[i]
    return total


@compiled.part
def unit(g, level):  # type: ignore[no-untyped-def]
    """The deviation of the newest value alone that is a score of this level; NaN without one."""
    precision = g[layout.GAUSS_NEWEST]
    return level * math.sqrt(_POINTS / precision) if precision > 0.0 else math.nan
