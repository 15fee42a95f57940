"""Isolation trees that were fitted elsewhere, walked; and the sample of rows they are fitted on."""

from __future__ import annotations

import math

import numpy as np

from detector.models.kernels import compiled, numbers


@compiled.part
def feature(z):  # type: ignore[no-untyped-def]
    """What a fitted model sees of a residual: its log size, with its sign."""
    return np.float32(math.copysign(math.log(1.0 + abs(z)), z))


@compiled.kernel
def isolations(forest, rows, scores):  # type: ignore[no-untyped-def]
    """Fill float64[N] scores, in (0, 1), of float32[N, F] rows; higher = rarer.

    Liu, Ting, Zhou 2008.
    """
    for i in range(rows.shape[0]):
        total = 0.0
        for tree in range(forest.roots.size):
            at = forest.roots[tree]
            while forest.feature[at] >= 0:
                at = forest.left[at] + (rows[i, forest.feature[at]] > forest.threshold[at])
            total += forest.depth[at]
        scores[i] = 2.0 ** (-total / forest.scale)


@compiled.part
def offer(seed, sample, series, t_ms, row):  # type: ignore[no-untyped-def]
    """Keep this row of features if its key may be among the smallest; there is room for it."""
    sample.sizes[1] += 1
    key = numbers.mixed(t_ms + numbers.mixed(series + numbers.mixed(seed)))
    if key >= sample.limit[0]:
        return
    held = sample.sizes[0]
    sample.keys[held] = key
    for j in range(row.size):
        sample.rows[held, j] = row[j]
    sample.sizes[0] = held + 1
