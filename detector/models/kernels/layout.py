"""Where each number of a series' state stands, and what kernels are given and give back.

Axes: S series, T steps, K members, R rows of a reservoir, F numbers of a row.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from detector import frames

Singles: TypeAlias = npt.NDArray[np.float32]

# The streaming members, in the order of their columns; fitted ones come behind.
RESIDUAL, NEAR, WIDE, GAUSSIAN = 0, 1, 2, 3
STREAMING = 4
STREAMING_NAMES = ("residual", "near", "wide", "gaussian")

# Residuals: value minus five EWMAs, slow mean, daily profile, drifted profile; two EWMA pairs.
EWMAS = 5
RESIDUALS = 10
ABOUT_VALUE = 8
SLOW, PROFILE, DRIFTED, FAST_PAIR, WIDE_PAIR = 5, 6, 7, 8, 9

# Columns of State.numbers.
E, G, D, S, X0, MEAN, M2 = 0, 5, 6, 7, 17, 18, 19  # G right behind the EWMAs
TAIL_SUM, TAIL_PEAK = 20, 21
PRIOR_U, PRIOR_E, PRIOR_L, PRIOR_POINTS, PRIOR_CLUSTERS = 22, 23, 24, 25, 26
BEFORE = 27  # EWMAs and slow mean as an excursion found them
SPREAD_MEAN, SPREAD_VAR = 33, 34
DISTANCE = 35  # running mean distance: near, wide
RECENT = 37
SUMS, LATE_SUMS = 38, 46
LIMIT = 54  # of an excursion, as the last look at the siblings left it
WEEK_ERRORS = 55  # two, as offsets has them
REACH = 57  # log of the band's last reach, 0 before the first
MONTH_ERRORS = 58
RAISE = 60  # of the threshold, as a share of it, by what people said of alarms
NUMBERS = 61

# Columns of State.counts.
POINTS, LAST_MS, FROZEN = 0, 1, 2
TAIL_POINTS, CLUSTERS, SINCE, POINTER, ABOVE = 3, 4, 5, 6, 7
OPEN, CALM, BIN, BIN_VISITS, BIN_NEW = 8, 9, 10, 11, 12
AT = 13  # where in State.past the newest value stands
HELD, OFFERED, DISTANCES, FLAGGED_RUN, FLAGS = 14, 16, 18, 20, 22  # near and wide each
ROWS = 24  # rows the Gaussian has learnt
SINCE_FACTORED = 25
AWAY, AWAY_CALM, AWAY_BACK = 26, 27, 28  # points of the excursion under way, and of its end
WEEK, MONTH = 29, 34  # five each, as offsets has them
COUNTS = 39

RESERVOIR_ROWS = 64
"""Rows of each reservoir: twice or four times as many win .003 of rank quality, less than noise."""
NEAR_POINTS = 4
"""Values of a row of the near reservoir: the last ones, as they are."""
SCALES = 8
"""Values of a row of the wide reservoir: means of the last 1, 2, 4 ... 128 points, end to end."""
GAUSS_POINTS = 8
WIDE_LATE = 32
"""Points that a row of the wide reservoir is older than the newest value when it is offered."""
PAST = 288
"""Values kept: 255 that the wide row spans, and as many as it comes late."""
SHORT_PAST = 16
"""Values kept without reservoirs: those of the Gaussian's row, and as many as it comes late."""
TRIANGLE = GAUSS_POINTS * (GAUSS_POINTS + 1) // 2

# Columns of State.gauss.
GAUSS_MEAN, GAUSS_COVARIANCE, GAUSS_FACTOR = 0, GAUSS_POINTS, GAUSS_POINTS + TRIANGLE
GAUSS_SCORES = GAUSS_POINTS + 2 * TRIANGLE
GAUSS_NEWEST = GAUSS_SCORES + GAUSS_POINTS  # inverse variance of the newest value, given the rest
GAUSS = GAUSS_NEWEST + 1

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HOURS = 168
"""Of a week."""
EDGE_PARTS = 8
EDGES = 6 * EDGE_PARTS
"""Parts of the first and last three days of a month."""

BINS = 160
"""Of the histogram of combined scores; the last one takes all beyond."""


class Gates(NamedTuple):
    """What the query's owner does not call an anomaly; each pair is (below, above) expected."""

    counts_below: bool
    counts_above: bool
    least_below: float
    least_above: float
    relative_below: float
    relative_above: float
    scale_below: float
    scale_above: float
    low: float
    high: float
    samples: int


class Params(NamedTuple):
    """What does not change while a scorer lives.

    weekly, monthly
                 rates at which an hour of the week and a part of a month's edge learn
    week_points, month_points
                 steps in a week, and in the edges of a month
    weights      float64[K] of the members in the combined score, 0 for one that is left out
    back_points  points in a row back at what was usual, after which an excursion is undone
    drift_block_ms, drift_block_points
                 length of a block of the drift's window
    drift_ms     grid of the steps at which the drift is told
    group        place of the member that says what the others of a group show, -1 for none
    smoothers    float64[M, smoothers.SETTINGS], forecasts of their own, members behind the
                 streaming ones
    """

    step_ms: int
    ewma: frames.Floats
    slow: float
    scale: float
    drift: float
    profile: float
    weekly: float
    week_points: int
    monthly: float
    month_points: int
    warm_points: frames.Ints
    warm_rates: frames.Floats
    gates: Gates
    weights: frames.Floats
    seed: int
    back_points: int
    drift_block_ms: int
    drift_block_points: int
    drift_ms: int
    group: int
    smoothers: frames.Floats


class State(NamedTuple):
    """All that is remembered of each series, a row each; or, in a kernel, of one.

    numbers    float64[S, NUMBERS], counts int64[S, COUNTS]
    profile    float32[S, bins of a day]
    weekly     float32[S, HOURS], what an hour of the week adds to the profile
    monthly    float32[S, EDGES], what a part of a month's edge adds
    histogram  uint32[S, BINS] of combined scores
    levels     float64[S, 2, K], running mean and spread of each member's score
    levelled   int64[S, K], scores in them
    past       float32[S, PAST], a ring of the last values; [S, SHORT_PAST] without reservoirs
    near       float32[S, NEAR_POINTS, RESERVOIR_ROWS], wide float32[S, SCALES, RESERVOIR_ROWS];
               [S, .., 0] without
    gauss      float64[S, GAUSS], mean, covariance and its factor of the last eight points
    drift      float64[S, drift.SIZE], window and reference
    kinds      float64[S, lost.SIZE], runs, sums since an anomaly opened, and the season's
    smoothed   float64[S, M, smoothers.SIZE], of forecasts of their own
    seasons    float32[S, M, bins of a day, 2], likewise
    """

    numbers: frames.Floats
    counts: frames.Ints
    profile: Singles
    weekly: Singles
    monthly: Singles
    histogram: npt.NDArray[np.uint32]
    levels: frames.Floats
    levelled: frames.Ints
    past: Singles
    near: Singles
    wide: Singles
    gauss: frames.Floats
    drift: frames.Floats
    kinds: frames.Floats
    smoothed: frames.Floats
    seasons: Singles


class Scratch(NamedTuple):
    """Room that the members need for a sample; what it held does not matter."""

    residuals: frames.Floats
    z: frames.Floats
    scores: frames.Floats
    solved: frames.Floats
    row: Singles
    distances: Singles


class Kept(NamedTuple):
    """States of series as they were before a sample that may be anomalous or opens an anomaly.

    before  state of one series, room to work in; room  float64[lost.SIZE], likewise for its kinds
    states  of as many as there is room for; rows int64[N], of the frame, whose they are
    size    int64[1], how many are kept
    """

    before: State
    room: frames.Floats
    states: State
    rows: frames.Ints
    size: frames.Ints


class Trace(NamedTuple):
    """What members say of a sample, for the verdict: [rows, steps] of a block and more.

    points        int64, samples of the series before this one; -1 where there is no sample
    absent        bool, the series has been away for long
    planned       bool, the sample lies in planned time: it neither alarms nor teaches
    centre, size  float64[.., RESIDUALS + M]: a residual is a multiple of size from centre
    best          int64, the reference that foresees best; the smoother's if it speaks alone
    level         float64, of the member that the reference belongs to
    units         float64[.., STREAMING], deviation of one value that doubles the square of a
                  member's usual score, NaN where it is not ready and for the residual member
    rise          float64[.., K], how far each member stands above its level, NaN where not ready
    frozen        bool, the sample teaches no level
    profiled      bool, the daily profile holds an older day here
    least         float64, the size below which a residual is no news
    drift         float64, how far the recent past has drifted
    z             float32[.., RESIDUALS] features of a fitted model, [0, 0, ..] where none is
    """

    points: frames.Ints
    absent: npt.NDArray[np.bool_]
    planned: npt.NDArray[np.bool_]
    centre: frames.Floats
    size: frames.Floats
    best: frames.Ints
    level: frames.Floats
    units: frames.Floats
    rise: frames.Floats
    frozen: npt.NDArray[np.bool_]
    profiled: npt.NDArray[np.bool_]
    least: frames.Floats
    drift: frames.Floats
    z: Singles


class Forest(NamedTuple):
    """Isolation trees end to end; no trees where nothing is fitted.

    feature    int32[nodes], -1 at a leaf
    threshold  float64[nodes], go left at <=
    left       int32[nodes], the right child stands next to it
    depth      float64[nodes], path length that a leaf stands for
    roots      int32[trees]
    scale      path length of the average sample times the number of trees
    """

    feature: npt.NDArray[np.int32]
    threshold: frames.Floats
    left: npt.NDArray[np.int32]
    depth: frames.Floats
    roots: npt.NDArray[np.int32]
    scale: float


class Sample(NamedTuple):
    """A uniform sample of feature rows: those with the smallest keys of all that were offered.

    keys   int64[C], rows float32[C, F]; room for more than the sample, cut back between blocks
    sizes  int64[2]: rows held, rows offered
    limit  int64[1]: a row with a larger key is not in the sample
    """

    keys: frames.Ints
    rows: Singles
    sizes: frames.Ints
    limit: frames.Ints


class Out(NamedTuple):
    """Results, each [S, T]; members [S, T, K] or [S, T, 0]: rise over threshold of each."""

    score: frames.Floats
    expected: frames.Floats
    lower: frames.Floats
    upper: frames.Floats
    drift: frames.Floats
    kind: frames.Bytes
    members: frames.Floats
