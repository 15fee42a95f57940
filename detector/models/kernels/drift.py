"""Drift: whether the recent past is still drawn from what came before, told at fixed grid steps.

What is compared is the value less its daily profile, cut at CLIP_SCALES usual residuals: block by
block its count, sum, sum of squares and histogram. A window is the last WINDOW blocks; the blocks
that leave it teach the reference. Three distances, each with a threshold of its own: how far the
window's mean is from the reference's (level) in standard deviations within a block, the log of the
ratio of these deviations (spread), and the Kolmogorov-Smirnov distance of the histograms (shape).
Neighbouring values are alike, in every series in its own way, so no table of a test holds: a
distance is judged by the series' own past distances, whose tail is taken as exponential.
"""

from __future__ import annotations

import math

from detector.models.kernels import compiled, numbers

WINDOW = 5
BINS = 8
EDGES = (-2.5, -1.25, -0.5, 0.0, 0.5, 1.25, 2.5)
"""Of the histogram, in usual residuals: a Gaussian has 2 to 23 percent in each bin."""
CLIP_SCALES = 6.0
LEAST_SHARE = 0.5
"""Of the window's points that must be there."""
LOOKS = 10
"""Distances seen before the first score; they are learnt whole, later ones cut."""
PRIOR_LOOKS = 10.0
PRIORS = ((0.3, 0.2), (0.15, 0.1), (0.1, 0.05))
"""Mean distance and mean excess over it, of level, spread, shape: a little more than those of
moderately autocorrelated noise, so that a young series is judged mildly."""
LEAST_EXCESS = (0.05, 0.03, 0.02)
"""A thinner tail would make news of a tenth of a standard deviation."""
ABOVE_MEAN = 0.42
"""Part of the absolute values of a Gaussian that lies above their mean."""
CUT = 3.0
"""Excesses above the mean at which a distance is learnt."""
MEMORY_LOOKS = 200.0
FLAGGED_LOOKS = 60
"""Looks in a row above 1 during which nothing is learnt: then the new state is the normal."""
LEVEL, SPREAD, SHAPE = 1, 2, 3

# Columns of State.drift.
BLOCK, AT, SCORE, KIND, FLAGGED = 0, 1, 2, 3, 4
COUNT, SUM, SQUARES, COUNTED = 0, 1, 2, 3  # of a block
_BLOCK_SIZE = 3 + BINS
NOW = 5
RING = NOW + _BLOCK_SIZE
BLOCKS_TAUGHT = RING + WINDOW * _BLOCK_SIZE
REF_MEAN, REF_VAR, REF_BINS = BLOCKS_TAUGHT + 1, BLOCKS_TAUGHT + 2, BLOCKS_TAUGHT + 3
LOOKED = REF_BINS + BINS
PAST_MEAN, PAST_EXCESS, PAST_ABOVE = LOOKED + 1, LOOKED + 4, LOOKED + 7
SIZE = LOOKED + 10


@compiled.part
def take(p, base, d, t_ms, off, scale, least):  # type: ignore[no-untyped-def]
    """Take in how far a value is off its daily profile; at the first of a block, look first.

    scale  the usual size of that; least the size below which it is no news
    """
    block = float(t_ms // p.drift_block_ms)
    if block != d[BLOCK]:
        if d[NOW + COUNT] > 0:
            _end_block(p, base, d, least)
        d[BLOCK] = block
    unit = max(scale, least)
    off = numbers.clip(off, CLIP_SCALES * unit)
    d[NOW + COUNT] += 1
    d[NOW + SUM] += off
    d[NOW + SQUARES] += off * off
    at = 0
    for edge in EDGES:
        if off > edge * unit:
            at += 1
    d[NOW + COUNTED + at] += 1


@compiled.part
def _end_block(p, base, d, least):  # type: ignore[no-untyped-def]
    """Let the oldest block of the window teach, put the newest in its place, and look."""
    at = RING + int(d[AT]) * _BLOCK_SIZE
    flagged = d[SCORE] > 1.0 and d[FLAGGED] < FLAGGED_LOOKS
    if d[at + COUNT] > 0 and not flagged:
        _teach(d, at)
    for i in range(_BLOCK_SIZE):
        d[at + i] = d[NOW + i]
        d[NOW + i] = 0.0
    d[AT] = (d[AT] + 1) % WINDOW
    if d[BLOCKS_TAUGHT] >= WINDOW:
        _look(p, base, d, least)


@compiled.part
def _teach(d, at):  # type: ignore[no-untyped-def]
    count = d[at + COUNT]
    mean = d[at + SUM] / count
    d[BLOCKS_TAUGHT] += 1
    rate = max(1.0 / d[BLOCKS_TAUGHT], 1.0 / MEMORY_LOOKS)
    d[REF_MEAN] += rate * (mean - d[REF_MEAN])
    d[REF_VAR] += rate * (max(d[at + SQUARES] / count - mean * mean, 0.0) - d[REF_VAR])
    for i in range(BINS):
        d[REF_BINS + i] += rate * (d[at + COUNTED + i] / count - d[REF_BINS + i])


@compiled.part
def _look(p, base, d, least):  # type: ignore[no-untyped-def]
    """Compare window and reference; score and kind stand until the next look."""
    count = total = variance = 0.0
    for k in range(WINDOW):
        at = RING + k * _BLOCK_SIZE
        if d[at + COUNT] > 0:
            count += d[at + COUNT]
            total += d[at + SUM]
            variance += d[at + SQUARES] - d[at + SUM] * d[at + SUM] / d[at + COUNT]
    if count < LEAST_SHARE * WINDOW * p.drift_block_points:
        d[SCORE], d[KIND] = 0.0, 0.0
        return
    size = max(math.sqrt(d[REF_VAR]), least)
    level = abs(total / count - d[REF_MEAN]) / size
    spread = abs(math.log(max(math.sqrt(max(variance, 0.0) / count), least) / size))
    young = d[LOOKED] < LOOKS
    d[LOOKED] += 1
    allowed = max(1e-9, min(0.1, base * p.drift_block_points))
    levelled = _judged(d, 0, level, allowed, young)
    spreaded = _judged(d, 1, spread, allowed, young)
    shaped = _judged(d, 2, _distance(d, count), allowed, young)
    score = max(levelled, spreaded, shaped)
    d[SCORE], d[KIND] = 0.0, 0.0
    if young:
        return
    d[SCORE] = score
    if score > 1.0:
        d[FLAGGED] += 1
        if max(levelled, spreaded) > 1.0:
            d[KIND] = LEVEL if levelled >= spreaded else SPREAD
        else:
            d[KIND] = SHAPE
    else:
        d[FLAGGED] = 0.0


@compiled.part
def _distance(d, count):  # type: ignore[no-untyped-def]
    """Of Kolmogorov and Smirnov, at the edges of the histogram."""
    below = largest = 0.0
    for i in range(BINS):
        inside = 0.0
        for k in range(WINDOW):
            inside += d[RING + k * _BLOCK_SIZE + COUNTED + i]
        below += inside / count - d[REF_BINS + i]
        largest = max(largest, abs(below))
    return largest


@compiled.part
def _judged(d, k, distance, allowed, young):  # type: ignore[no-untyped-def]
    """The distance over the one that is as rare as allowed; then let it into the past ones."""
    known, excesses = d[LOOKED] - 1 + PRIOR_LOOKS, d[PAST_ABOVE + k] + PRIOR_LOOKS
    mean = (PRIOR_LOOKS * PRIORS[k][0] + (known - PRIOR_LOOKS) * d[PAST_MEAN + k]) / known
    excess = PRIOR_LOOKS * PRIORS[k][1] + d[PAST_ABOVE + k] * d[PAST_EXCESS + k]
    excess = max(LEAST_EXCESS[k], excess / excesses)
    threshold = mean + excess * max(1.0, math.log(ABOVE_MEAN / allowed))
    learnt = distance if young else min(distance, mean + CUT * excess)
    d[PAST_MEAN + k] += max(1.0 / d[LOOKED], 1.0 / MEMORY_LOOKS) * (learnt - d[PAST_MEAN + k])
    if learnt > mean:
        d[PAST_ABOVE + k] += 1
        rate = max(1.0 / d[PAST_ABOVE + k], 1.0 / MEMORY_LOOKS)
        d[PAST_EXCESS + k] += rate * (learnt - mean - d[PAST_EXCESS + k])
    return distance / threshold
