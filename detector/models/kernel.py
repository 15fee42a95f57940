"""The compiled inner loop: each new sample of each series, from value to score, once.

All compiled functions and the constants they close over stand in this one file on purpose: numba
keys its disk cache on the file of the function called, so a change in another file would leave a
stale kernel behind. Everything here uses samples before t and the one at t, nothing else.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from detector import frames

# Residuals: value minus five EWMAs, slow mean, daily profile, drifted profile; two EWMA pairs.
EWMAS = 5
RESIDUALS = 10
_SLOW, _PROFILE, _DRIFTED, _FAST_PAIR, _WIDE_PAIR = 5, 6, 7, 8, 9
_ABOUT_VALUE = 8

# Columns of State.numbers.
_E, _G, _D, _S, _X0, _MEAN, _M2 = 0, 5, 6, 7, 17, 18, 19  # _G right behind the EWMAs
_LEVEL, _SPREAD, _FOREST_LEVEL, _FOREST_SPREAD = 20, 21, 22, 23
_SUM, _PEAK = 24, 25
PRIOR_U, PRIOR_E, PRIOR_L, PRIOR_POINTS, PRIOR_CLUSTERS = 26, 27, 28, 29, 30
_BEFORE = 31
NUMBERS = _BEFORE + EWMAS + 1
TAIL_SUM = _SUM

# Columns of State.counts.
POINTS, LAST_MS, _FROZEN, _LEVELLED, _FOREST_LEVELLED = 0, 1, 2, 3, 4
TAIL_POINTS, CLUSTERS, _SINCE, _POINTER, _ABOVE = 5, 6, 7, 8, 9
OPEN, _CALM, _BIN, _BIN_VISITS, _BIN_NEW = 10, 11, 12, 13, 14
_BACK = 15
COUNTS = 16

VALUE_LIMIT = 1e37
"""Larger values are cut to this: a difference of two still fits a float32."""
UNCLIPPED_POINTS = 10
"""Residuals that enter a young scale whole."""
CLIP_SCALES = 6.0
Z_LIMIT = 1e4
FLOOR_OF_SPREAD = 0.05
LEAST_SCALE = 1e-200
"""Keeps a division by a scale finite; smaller than any change that is news."""
ROUNDING = 1e-9
"""Part of a value below which its changes are rounding, not news."""
LEVEL_POINTS = 20
"""Member scores a level needs before it means something."""
LEVEL_FLOOR = 0.3
LEVEL_CLIP = 5.0
SAMPLES_NEEDED = 24
"""Samples before the first score: a few for the scales, LEVEL_POINTS for the level."""
Y_LIMIT = 5.0
BINS = 160
_BINS_PER_UNIT = 32.0
CLUSTER_GAP = 12
"""Points below the tail's start, or below CALM_SCORE, after which an excursion has ended."""
CALM_SCORE = 0.7
LEAST_LOG_RATIO = 0.3
LEAST_EXCESS = 0.05
"""Mean excess of plain Gaussian noise: what looks thinner is rounding or too few clusters."""
GAP_STEPS = 12
"""Absent steps after which the short memories start anew and an open incident ends."""
FLAG = 0.6
"""Rise of the residual member above which a sample is left out of what is learnt of the normal."""
FROZEN_POINTS = 36
BACK_POINTS = 2
"""Points in a row within the band of before an incident, after which what it taught is undone."""
"""Flagged samples in a row after which the new normal is learnt: three minutes at 5 s."""
DAY_MS = 86_400_000


_compiled = njit(cache=True, nogil=True, error_model="numpy")
_inlined = njit(cache=True, nogil=True, error_model="numpy", inline="always")


class Params(NamedTuple):
    """What does not change while a scorer lives."""

    step_ms: int
    ewma: frames.Floats
    slow: float
    scale: float
    drift: float
    profile: float
    warm_points: frames.Ints
    warm_rates: frames.Floats
    above: bool
    below: bool
    min_deviation: float
    min_relative_deviation: float
    forest_weight: float
    seed: int
    undoes: bool


class State(NamedTuple):
    """All that is remembered of each series, a row each."""

    numbers: frames.Floats
    counts: frames.Ints
    profile: npt.NDArray[np.float32]
    histogram: npt.NDArray[np.uint32]


class Forest(NamedTuple):
    """Isolation trees end to end; no trees where nothing is fitted.

    feature    int32[nodes], -1 at a leaf
    threshold  float64[nodes], go left at <=
    left       int32[nodes], the right child stands next to it
    depth      float64[nodes], path length that a leaf stands for
    roots      int32[trees]
    scale      path length of the average sample times the number of trees
    surprise   float64[2, K], knots score -> -log(share of the fitted rows above it), rising
    tail       slope of the surprise beyond the last knot
    """

    feature: npt.NDArray[np.int32]
    threshold: frames.Floats
    left: npt.NDArray[np.int32]
    depth: frames.Floats
    roots: npt.NDArray[np.int32]
    scale: float
    surprise: frames.Floats
    tail: float


class Sample(NamedTuple):
    """A uniform sample of feature rows: those with the smallest keys of all that were offered.

    keys   int64[2N], rows float32[2N, F]
    sizes  int64[2]: rows held, rows offered
    limit  int64[1]: a row with a larger key is not among the smallest N
    """

    keys: frames.Ints
    rows: npt.NDArray[np.float32]
    sizes: frames.Ints
    limit: frames.Ints


class Out(NamedTuple):
    """Results, each [S, T]."""

    score: frames.Floats
    expected: frames.Floats
    lower: frames.Floats
    upper: frames.Floats
    kind: frames.Bytes


@_compiled
def _clip(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))


@_inlined
def _enter_bin(c, profile, here):  # type: ignore[no-untyped-def]
    """Move to this bin of the daily profile; says whether the bin holds an older day."""
    if here != c[_BIN]:
        c[_BIN] = here
        c[_BIN_VISITS] = 0
        c[_BIN_NEW] = 1 if math.isnan(profile[here]) else 0
    return c[_BIN_NEW] == 0


@_inlined
def _references(p, n, profile, c, has_profile, ref):  # type: ignore[no-untyped-def]
    """The eight values that x is compared with."""
    for i in range(EWMAS):
        ref[i] = n[_E + i]
    ref[_SLOW] = n[_G]
    if has_profile:
        ref[_PROFILE] = profile[c[_BIN]]
        ref[_DRIFTED] = ref[_PROFILE] + n[_D]
    else:
        ref[_PROFILE] = n[_E + 4]
        ref[_DRIFTED] = n[_E + 4]


@_inlined
def _rate(memory, points):  # type: ignore[no-untyped-def]
    return max(memory, 1.0 / points)


@_inlined
def _floor(n, points, x):  # type: ignore[no-untyped-def]
    sd = math.sqrt(n[_M2] / points) if points > 0 else 0.0
    spread = max(1.25 * n[_S + _SLOW], FLOOR_OF_SPREAD * sd)
    return max(FLOOR_OF_SPREAD * spread, ROUNDING * abs(x + n[_X0]), LEAST_SCALE)


@_inlined
def _residuals(p, n, ref, x, points, floor, r, z):  # type: ignore[no-untyped-def]
    """Residuals and the same in units of their running size; gives the largest |z|."""
    for j in range(_ABOUT_VALUE):
        r[j] = x - ref[j]
    fast = ref[1] + _rate(p.ewma[1], points + 2) * (x - ref[1])
    wide = ref[2] + _rate(p.ewma[2], points + 2) * (x - ref[2])
    r[_FAST_PAIR] = fast - ref[3]
    r[_WIDE_PAIR] = wide - ref[4]
    largest = 0.0
    for j in range(RESIDUALS):
        z[j] = _clip(r[j] / max(n[_S + j], floor), Z_LIMIT)
        largest = max(largest, abs(z[j]))
    return largest


@_inlined
def _learn_scales(p, n, r, points, floor):  # type: ignore[no-untyped-def]
    rate = _rate(p.scale, points)
    for j in range(RESIDUALS):
        size = abs(r[j])
        if points > UNCLIPPED_POINTS:
            size = min(size, CLIP_SCALES * max(n[_S + j], floor))
        n[_S + j] += rate * (size - n[_S + j])


@_inlined
def _learn_references(p, n, c, profile, x, points, has_profile, r):  # type: ignore[no-untyped-def]
    for i in range(EWMAS):
        n[_E + i] += _rate(p.ewma[i], points + 2) * (x - n[_E + i])
    limit = CLIP_SCALES * n[_S + _SLOW] if points > UNCLIPPED_POINTS else math.inf
    n[_G] += _rate(p.slow, points + 2) * _clip(x - n[_G], limit)
    here = c[_BIN]
    c[_BIN_VISITS] += 1
    if has_profile:
        n[_D] += p.drift * (_clip(r[_PROFILE], CLIP_SCALES * n[_S + _PROFILE]) - n[_D])
        profile[here] += p.profile * _clip(r[_PROFILE], CLIP_SCALES * n[_S + _PROFILE])
    elif c[_BIN_VISITS] == 1:
        profile[here] = x
    else:
        profile[here] += (x - profile[here]) / c[_BIN_VISITS]
    past = x - n[_MEAN]
    n[_MEAN] += past / (points + 1)
    n[_M2] += past * (x - n[_MEAN])


@_compiled
def _start(n, c, x):  # type: ignore[no-untyped-def]
    """The first sample of a series: every later one is taken relative to it."""
    n[_X0] = x
    c[_BIN] = -1
    c[_SINCE] = CLUSTER_GAP + 1


@_compiled
def _restart_short_memories(n, x):  # type: ignore[no-untyped-def]
    for i in range(EWMAS - 1):
        n[_E + i] = x


@_inlined
def _rise(score, level, floor):  # type: ignore[no-untyped-def]
    """How far a member's score stands above its level, as the log of their ratio, 0..5."""
    base = max(level, floor)
    if score <= base:
        return 0.0
    return min(Y_LIMIT, math.log(score / base))


@_inlined
def _learn_level(n, level, spread, c, count, score):  # type: ignore[no-untyped-def]
    if score <= 0.0:
        return
    c[count] += 1
    step = score - n[level]
    if c[count] > LEVEL_POINTS:
        step = _clip(step, LEVEL_CLIP * max(n[spread], 0.05 * n[level]))
    n[level] += step / c[count]
    n[spread] += (abs(step) - n[spread]) / c[count]


@_inlined
def tail_quantile(c, histogram, share):  # type: ignore[no-untyped-def]
    """The value that this share of the combined scores so far exceeds, inside a histogram bin.

    Moves the pointer kept in c, so that a point costs a step or two. With one score or more and
    a share in (0, 1) the bin it stops at is never empty.
    """
    target = share * c[TAIL_POINTS]
    at, above = c[_POINTER], c[_ABOVE]
    while above > target:
        at += 1
        above -= histogram[at]
    while at > 0 and above + histogram[at] <= target:
        above += histogram[at]
        at -= 1
    c[_POINTER], c[_ABOVE] = at, above
    return (at + 1 - (target - above) / histogram[at]) / _BINS_PER_UNIT


@_inlined
def _budget(p, base, points):  # type: ignore[no-untyped-def]
    """Alarms a point allowed at this age."""
    allowed = base
    for i in range(p.warm_points.size):
        if points < p.warm_points[i]:
            allowed = max(allowed, p.warm_rates[i])
    return min(allowed, 1.0)


@_inlined
def tail_share(allowed):  # type: ignore[no-untyped-def]
    """Part of the points that make up the tail, for this many alarms a point."""
    return min(0.1, max(0.02, 8.0 * allowed))


@_inlined
def _tail_start(n, c, histogram, allowed):  # type: ignore[no-untyped-def]
    """Where the tail starts, and the mean excess of its clusters; prior and own past mixed."""
    own = tail_quantile(c, histogram, tail_share(allowed)) if c[TAIL_POINTS] > 0 else 0.0
    weight = n[PRIOR_POINTS]
    start = (weight * n[PRIOR_U] + c[TAIL_POINTS] * own) / (weight + c[TAIL_POINTS])
    excess = (n[_SUM] + n[PRIOR_CLUSTERS] * n[PRIOR_E]) / (c[CLUSTERS] + n[PRIOR_CLUSTERS])
    return start, max(excess, LEAST_EXCESS)


@_inlined
def _threshold(n, c, start, excess, allowed):  # type: ignore[no-untyped-def]
    weight = n[PRIOR_POINTS]
    clusters = (c[CLUSTERS] + weight * n[PRIOR_L]) / (c[TAIL_POINTS] + weight)
    return start + excess * max(LEAST_LOG_RATIO, math.log(clusters / allowed))


@_inlined
def _learn_tail(n, c, histogram, combined, start, excess):  # type: ignore[no-untyped-def]
    at = min(BINS - 1, int(combined * _BINS_PER_UNIT))
    histogram[at] += 1
    c[TAIL_POINTS] += 1
    if at > c[_POINTER]:
        c[_ABOVE] += 1
    if combined <= start:
        c[_SINCE] += 1
        return
    peak = min(combined, start + 2.0 * excess)
    if c[_SINCE] > CLUSTER_GAP:
        c[CLUSTERS] += 1
        n[_SUM] += peak - start
        n[_PEAK] = peak
    elif peak > n[_PEAK]:
        n[_SUM] += peak - n[_PEAK]
        n[_PEAK] = peak
    c[_SINCE] = 0


@_inlined
def _gated(p, x, expected, score):  # type: ignore[no-untyped-def]
    """The score, cut to 1 where the query's gates say that this deviation does not matter."""
    least = max(p.min_deviation, p.min_relative_deviation * abs(expected))
    off = x - expected
    matters = abs(off) >= least and ((p.above and off > 0) or (p.below and off < 0))
    return score if matters else min(score, 1.0)


@_inlined
def _follow_incident(c, score, up):  # type: ignore[no-untyped-def]
    if c[OPEN] == 0:
        if score > 1.0:
            c[OPEN] = 1 if up else 2
            c[_CALM] = 0
        return
    c[_CALM] = c[_CALM] + 1 if score < CALM_SCORE else 0
    if c[_CALM] >= CLUSTER_GAP:
        c[OPEN] = 0


@_compiled
def _remember_before(n, c):  # type: ignore[no-untyped-def]
    """Keep the averages as they were when an incident opens."""
    c[_BACK] = 0
    for i in range(EWMAS + 1):
        n[_BEFORE + i] = n[_E + i]


@_compiled
def _follow_return(n, c, x, floor, reach):  # type: ignore[no-untyped-def]
    """Count the points in a row that stand where they would have before the incident.

    At BACK_POINTS the averages go back to what they were: without that a burst leaves an image of
    itself in them, and normal values are told anomalous for as long as the averages remember.
    """
    for i in range(1, EWMAS + 1):
        if abs(x - n[_BEFORE + i]) > reach * max(n[_S + i], floor):
            c[_BACK] = 0
            return
    c[_BACK] += 1
    if c[_BACK] == BACK_POINTS:
        for i in range(1, EWMAS + 1):
            n[_E + i] = n[_BEFORE + i]


@_inlined
def _band(p, n, ref, points, floor, reach, has_profile):  # type: ignore[no-untyped-def]
    """Expected value and the interval in which no residual exceeds `reach` times its size."""
    best, lower, upper = 1, -math.inf, math.inf
    for j in range(_ABOUT_VALUE):
        half = reach * max(n[_S + j], floor)
        lower = max(lower, ref[j] - half)
        upper = min(upper, ref[j] + half)
        if j > 0 and n[_S + j] < n[_S + best] and (has_profile or j < _PROFILE):
            best = j
    for j in range(2):
        half = reach * max(n[_S + _FAST_PAIR + j], floor)
        rate = _rate(p.ewma[1 + j], points + 2)
        middle = ref[1 + j] + (ref[3 + j] - ref[1 + j]) / rate
        lower = max(lower, middle - half / rate)
        upper = min(upper, middle + half / rate)
    expected = ref[best]
    if lower <= upper:
        return min(max(expected, lower), upper), lower, upper
    half = reach * max(n[_S + best], floor)
    return expected, expected - half, expected + half


@_compiled
def _mixed(key):  # type: ignore[no-untyped-def]
    """A 32-bit hash that spreads near keys far apart, in products that fit 63 bits."""
    key = key & 0xFFFFFFFF
    for _ in range(2):
        key = (((key >> 16) ^ key) * 0x45D9F3B) & 0xFFFFFFFF
    return (key >> 16) ^ key


@_compiled
def _offer(p, sample, row, t_ms, z):  # type: ignore[no-untyped-def]
    """Keep this row of features if its key is among the smallest so far."""
    sample.sizes[1] += 1
    key = _mixed(t_ms + _mixed(row + _mixed(p.seed)))
    if key >= sample.limit[0]:
        return
    held = sample.sizes[0]
    if held == sample.keys.size:
        held = sample.keys.size // 2
        order = np.argsort(sample.keys)
        sample.keys[:] = sample.keys[order]
        sample.rows[:] = sample.rows[order]
        sample.limit[0] = sample.keys[held]
        if key >= sample.limit[0]:
            sample.sizes[0] = held
            return
    sample.keys[held] = key
    for j in range(RESIDUALS):
        sample.rows[held, j] = feature(z[j])
    sample.sizes[0] = held + 1


@_compiled
def feature(z):  # type: ignore[no-untyped-def]
    """What a fitted model sees of a residual: its log size, with its sign."""
    return np.float32(math.copysign(math.log(1.0 + abs(z)), z))


@_compiled
def isolation(forest, row):  # type: ignore[no-untyped-def]
    """Isolation score in (0, 1) of one row of features (Liu, Ting, Zhou 2008), higher = rarer."""
    total = 0.0
    for tree in range(forest.roots.size):
        at = forest.roots[tree]
        while forest.feature[at] >= 0:
            at = forest.left[at] + (row[forest.feature[at]] > forest.threshold[at])
        total += forest.depth[at]
    return 2.0 ** (-total / forest.scale)


@_compiled
def isolations(forest, rows):  # type: ignore[no-untyped-def]
    """float64[N]: the isolation score of each row of float32[N, F]."""
    scores = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        scores[i] = isolation(forest, rows[i])
    return scores


@_compiled
def surprise(forest, score):  # type: ignore[no-untyped-def]
    """-log of the share of fitted rows with a higher isolation score, straight beyond the last."""
    knots, values = forest.surprise[0], forest.surprise[1]
    last = knots.size - 1
    if score >= knots[last]:
        return values[last] + forest.tail * (score - knots[last])
    at = np.searchsorted(knots, score)
    if at == 0:
        return values[0]
    share = (score - knots[at - 1]) / (knots[at] - knots[at - 1])
    return values[at - 1] + share * (values[at] - values[at - 1])


@_compiled
def score_steps(p, base, forest, st, sample, values, times, first, last, out):  # type: ignore[no-untyped-def]
    """Score steps first..last-1 of every series in order, the state moving with them.

    base  alarms a point that the budget allows; values float64[S, T]; times int64[T]
    """
    ref, r, z = np.empty(_ABOUT_VALUE), np.empty(RESIDUALS), np.empty(RESIDUALS)
    row = np.empty(RESIDUALS, np.float32)
    bins = times % DAY_MS * st.profile.shape[1] // DAY_MS
    for s in range(values.shape[0]):
        n, c = st.numbers[s], st.counts[s]
        profile, histogram = st.profile[s], st.histogram[s]
        for t in range(first, last):
            raw, t_ms = values[s, t], times[t]
            absent = c[POINTS] > 0 and t_ms - c[LAST_MS] > GAP_STEPS * p.step_ms
            if absent:
                c[OPEN] = 0
            if not math.isfinite(raw):
                out.score[s, t] = math.nan
                out.expected[s, t] = math.nan
                out.lower[s, t] = math.nan
                out.upper[s, t] = math.nan
                out.kind[s, t] = c[OPEN]
                continue
            x = _clip(raw, VALUE_LIMIT)
            points = c[POINTS]
            if points == 0:
                _start(n, c, x)
            x -= n[_X0]
            if absent:
                _restart_short_memories(n, x)
            has_profile = _enter_bin(c, profile, bins[t])
            _references(p, n, profile, c, has_profile, ref)
            floor = _floor(n, points, x)
            largest = _residuals(p, n, ref, x, points, floor, r, z)
            member = math.log(1.0 + largest)
            warm = points >= SAMPLES_NEEDED
            y = _rise(member, n[_LEVEL], LEVEL_FLOOR) if warm else 0.0
            combined = y
            rarity = 0.0
            if forest.roots.size > 0:
                for j in range(RESIDUALS):
                    row[j] = feature(z[j])
                rarity = surprise(forest, isolation(forest, row))
                if warm and c[_FOREST_LEVELLED] >= LEVEL_POINTS:
                    other = _rise(rarity, n[_FOREST_LEVEL], LEVEL_FLOOR)
                    combined = (1.0 - p.forest_weight) * y + p.forest_weight * other
            allowed = _budget(p, base, points)
            start, excess = _tail_start(n, c, histogram, allowed)
            threshold = _threshold(n, c, start, excess, allowed)
            reach = math.exp(min(9.3, max(n[_LEVEL], LEVEL_FLOOR) * math.exp(threshold))) - 1.0
            reach = min(reach, Z_LIMIT)
            expected, lower, upper = _band(p, n, ref, points, floor, reach, has_profile)
            if points == 0:
                expected, lower, upper = x, x, x
            expected += n[_X0]
            score = _gated(p, x + n[_X0], expected, combined / threshold) if warm else 0.0
            out.score[s, t] = score
            out.expected[s, t] = expected
            out.lower[s, t] = min(lower + n[_X0], expected)
            out.upper[s, t] = max(upper + n[_X0], expected)
            was_open = c[OPEN] > 0
            _follow_incident(c, score, x + n[_X0] >= expected)
            out.kind[s, t] = c[OPEN]
            if c[OPEN] > 0 and not was_open:
                _remember_before(n, c)
            frozen = y > FLAG and c[_FROZEN] < FROZEN_POINTS
            if frozen:
                c[_FROZEN] += 1
            else:
                if y <= FLAG:
                    c[_FROZEN] = 0
                if points > 0:
                    _learn_scales(p, n, r, points, floor)
                if points > SAMPLES_NEEDED - LEVEL_POINTS:
                    _learn_level(n, _LEVEL, _SPREAD, c, _LEVELLED, member)
                    _learn_level(n, _FOREST_LEVEL, _FOREST_SPREAD, c, _FOREST_LEVELLED, rarity)
            if warm:
                _learn_tail(n, c, histogram, combined, start, excess)
                if sample.keys.size > 0 and y <= FLAG and score <= 1.0:
                    _offer(p, sample, s, t_ms, z)
            _learn_references(p, n, c, profile, x, points, has_profile, r)
            if p.undoes and was_open and c[OPEN] > 0:
                _follow_return(n, c, x, floor, reach)
            c[POINTS] += 1
            c[LAST_MS] = t_ms


@_compiled
def tail_quantiles(st, rows, share):  # type: ignore[no-untyped-def]
    """float64[len(rows)]: the value that this share of each row's combined scores exceeds."""
    found = np.empty(rows.size)
    for i in range(rows.size):
        found[i] = tail_quantile(st.counts[rows[i]], st.histogram[rows[i]], share)
    return found
