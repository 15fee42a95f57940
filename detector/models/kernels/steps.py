"""The loops over series and steps: members look and learn, then the verdict is found.

The members never ask the verdict, so a block of samples can go through the members (`look_steps`),
then through models that were fitted elsewhere, then through the verdict (`judge_steps`).
"""

from __future__ import annotations

import math

import numpy as np

from detector.models.kernels import (
    bands,
    compiled,
    drift,
    excursions,
    gaussian,
    keeping,
    kinds,
    layout,
    levels,
    neighbours,
    numbers,
    offsets,
    past,
    residuals,
    smoothers,
    tail,
    trees,
    unscored,
    verdict,
)

VALUE_LIMIT = 1e37
"""Larger values are cut to this: a difference of two still fits a float32."""
SAMPLES_NEEDED = 24
"""Samples before the first score: a few for the scales, LEVEL_POINTS for the level."""
LEVEL_FLOOR = 0.3
"""Of the residual member, and of the surprise of a fitted model."""
FLOOR_OF_SPREAD = 0.02
"""Distances below this part of the series' spread are no news."""
GAP_STEPS = 12
"""Absent steps after which the short memories start anew and an open incident ends."""
FLAG = 0.6
"""Rise of the residual member above which a sample is left out of what is learnt of the normal."""
FROZEN_POINTS = 36
"""Flagged samples in a row after which the new normal is learnt: three minutes at 5 s."""


@compiled.part
def _row(st, s):  # type: ignore[no-untyped-def]
    """The state of one series."""
    return layout.State(
        st.numbers[s],
        st.counts[s],
        st.profile[s],
        st.weekly[s],
        st.monthly[s],
        st.histogram[s],
        st.levels[s],
        st.levelled[s],
        st.past[s],
        st.near[s],
        st.wide[s],
        st.gauss[s],
        st.drift[s],
        st.kinds[s],
        st.smoothed[s],
        st.seasons[s],
    )


@compiled.part
def _look(p, base, st, raw, t_ms, wall_ms, planned, w, trace, i, k):  # type: ignore[no-untyped-def]
    """What each member says of this sample, into trace[i, k]; then let it teach them."""
    n, c = st.numbers, st.counts
    here = wall_ms % layout.DAY_MS * st.profile.size // layout.DAY_MS
    points = c[layout.POINTS]
    trace.absent[i, k] = points > 0 and t_ms - c[layout.LAST_MS] > GAP_STEPS * p.step_ms
    trace.planned[i, k] = planned
    if not math.isfinite(raw):
        trace.points[i, k] = -1
        return
    trace.points[i, k] = points
    trace.drift[i, k] = st.drift[drift.SCORE]
    x = numbers.clip(raw, VALUE_LIMIT)
    if points == 0:
        n[layout.X0] = x
        c[layout.BIN] = c[layout.WEEK] = c[layout.MONTH] = -1
        c[layout.SINCE] = tail.CLUSTER_GAP + 1
        _set_limit(p, base, st)
    x -= n[layout.X0]
    if planned:
        _foresee(p, st, x, here, wall_ms, w, trace, i, k)
        return
    if trace.absent[i, k]:
        residuals.restart_short_memories(n, x)
    was_away = c[layout.AWAY] > 0
    if not was_away:
        excursions.remember_before(n)
    has_profile = residuals.enter_bin(c, st.profile, here)
    added = offsets.enter(p, n, c, st.weekly, st.monthly, wall_ms)
    least = residuals.floor(n, points, x)
    trace.profiled[i, k], trace.least[i, k] = has_profile, least
    r, z, scores = w.residuals, w.z, w.scores
    centre, size = trace.centre[i, k], trace.size[i, k]
    largest = residuals.look(
        p, n, c, st.profile, added, x, points, least, has_profile, r, z, centre, size
    )
    smoothers.look(p, st, x, here, least, centre, size)
    _choose_reference(p, st, has_profile, trace, i, k)
    if has_profile:
        usual = n[layout.S + layout.PROFILE]
        drift.take(p, base, st.drift, t_ms, r[layout.PROFILE], usual, least)
        trace.drift[i, k] = st.drift[drift.SCORE]
    if trace.z.shape[0] > 0:
        for j in range(layout.RESIDUALS):
            trace.z[i, k, j] = trees.feature(z[j])
    scores[layout.RESIDUAL] = math.log(1.0 + largest)
    past.push(n, c, st.past, np.float32(x))
    spread = past.learn_spread(n, points, x)
    scores[layout.GAUSSIAN] = gaussian.score(c, st.past, st.gauss, w.solved)
    gaussian.learn(c, st.past, st.gauss, points, scores[layout.GAUSSIAN], w.solved)
    scores[layout.NEAR] = scores[layout.WIDE] = 0.0
    if st.near.shape[1] > 0:
        _look_around(p, st, points, scores, w)
    rise = trace.rise[i, k]
    for member in range(layout.STREAMING):
        floor = FLOOR_OF_SPREAD * spread
        if member == layout.GAUSSIAN:
            floor = 0.0
        elif member == layout.RESIDUAL:
            floor = LEVEL_FLOOR
        rise[member] = trace.units[i, k, member] = math.nan
        if st.levelled[member] >= levels.LEVEL_POINTS or member == layout.RESIDUAL:
            level = max(st.levels[0, member], floor)
            rise[member] = levels.rise(scores[member], level)
            if member == layout.GAUSSIAN:
                level = gaussian.unit(st.gauss, level)
            if member != layout.RESIDUAL and level > 0.0:
                trace.units[i, k, member] = level
    _rise_of_smoothers(p, st, x, trace, i, k)
    if points < SAMPLES_NEEDED:
        rise[layout.RESIDUAL] = 0.0
    else:
        excursions.follow(n, c, verdict.combined(p.weights[: layout.STREAMING], rise))
    frozen = rise[layout.RESIDUAL] > FLAG and c[layout.FROZEN] < FROZEN_POINTS
    trace.frozen[i, k] = frozen
    if frozen:
        c[layout.FROZEN] += 1
    else:
        if rise[layout.RESIDUAL] <= FLAG:
            c[layout.FROZEN] = 0
        if points > 0:
            residuals.learn_scales(p, n, r, points, least)
        if points > SAMPLES_NEEDED - levels.LEVEL_POINTS:
            for member in range(layout.STREAMING):
                levels.learn(st.levels, st.levelled, member, scores[member])
    _teach_smoothers(p, st, x, here, trace, i, k)
    residuals.learn_references(
        p, n, c, st.profile, st.weekly, st.monthly, x, points, has_profile, r
    )
    if was_away and c[layout.AWAY] > 0:
        excursions.follow_return(p, n, c, st.past, x, size)
    c[layout.POINTS] = points + 1
    c[layout.LAST_MS] = t_ms


@compiled.part
def _foresee(p, st, x, here, wall_ms, w, trace, i, k):  # type: ignore[no-untyped-def]
    """Only what would have been expected; nothing is learnt, but which bin of the day it is."""
    n, c = st.numbers, st.counts
    points = c[layout.POINTS]
    has_profile = residuals.enter_bin(c, st.profile, here)
    added = offsets.enter(p, n, c, st.weekly, st.monthly, wall_ms)
    least = residuals.floor(n, points, x)
    centre, size = trace.centre[i, k], trace.size[i, k]
    r, z = w.residuals, w.z
    residuals.look(p, n, c, st.profile, added, x, points, least, has_profile, r, z, centre, size)
    smoothers.look(p, st, x, here, least, centre, size)
    _choose_reference(p, st, has_profile, trace, i, k)


@compiled.part
def _choose_reference(p, st, has_profile, trace, i, k):  # type: ignore[no-untyped-def]
    """Which forecast is the expected value, and the level of the member it belongs to."""
    trace.best[i, k] = residuals.best_reference(st.numbers, has_profile)
    trace.level[i, k] = st.levels[0, layout.RESIDUAL]
    own = layout.RESIDUALS
    if (
        p.smoothers.shape[0] == 1
        and p.weights[0] <= 0.0
        and not math.isnan(trace.centre[i, k, own])
    ):
        trace.best[i, k] = own
        trace.level[i, k] = st.levels[0, layout.STREAMING]


@compiled.part
def _rise_of_smoothers(p, st, x, trace, i, k):  # type: ignore[no-untyped-def]
    """How far each stands above its level, into trace[i, k]."""
    for m in range(p.smoothers.shape[0]):
        member, at = layout.STREAMING + m, layout.RESIDUALS + m
        error = x - trace.centre[i, k, at]
        trace.rise[i, k, member] = math.nan
        if not math.isnan(error) and st.levelled[member] >= levels.LEVEL_POINTS:
            found = smoothers.score(error, trace.size[i, k, at])
            level = max(st.levels[0, member], LEVEL_FLOOR)
            trace.rise[i, k, member] = levels.rise(found, level)


@compiled.part
def _teach_smoothers(p, st, x, here, trace, i, k):  # type: ignore[no-untyped-def]
    """Let a sample into them; a frozen one teaches no usual error and no level."""
    for m in range(p.smoothers.shape[0]):
        member, at = layout.STREAMING + m, layout.RESIDUALS + m
        error = x - trace.centre[i, k, at]
        if not math.isnan(error) and not trace.frozen[i, k]:
            if st.smoothed[m, smoothers.ERRORS] > 0.0:
                found = smoothers.score(error, trace.size[i, k, at])
                levels.learn(st.levels, st.levelled, member, found)
            smoothers.learn_size(p, st.smoothed[m], error, trace.least[i, k])
        smoothers.learn(p.smoothers[m], st.smoothed[m], st.seasons[m], here, x)


@compiled.part
def _look_around(p, st, points, scores, w):  # type: ignore[no-untyped-def]
    """The two reservoirs: distances of the newest rows, and the rows that are due offered."""
    n, c, near, wide = st.numbers, st.counts, st.near, st.wide
    row, distances = w.row, w.distances
    at = c[layout.AT]
    neighbours.near_row(st.past, at, 0, row)
    scores[layout.NEAR] = neighbours.distance(near, c[layout.HELD], row, distances)
    if c[layout.HELD] >= neighbours.NEIGHBOURS:
        neighbours.note(n, c, 0, scores[layout.NEAR])
    if points >= layout.NEAR_POINTS:
        slot = neighbours.offered_slot(c, 0, layout.NEAR_POINTS, p.seed)
        if slot >= 0:
            neighbours.near_row(st.past, at, layout.NEAR_POINTS, row)
            neighbours.put(near, slot, row)
    neighbours.wide_row(n, layout.SUMS, row)
    scores[layout.WIDE] = neighbours.distance(wide, c[layout.HELD + 1], row, distances)
    if c[layout.HELD + 1] >= neighbours.NEIGHBOURS:
        neighbours.note(n, c, 1, scores[layout.WIDE])
    if points >= layout.WIDE_LATE:
        slot = neighbours.offered_slot(c, 1, layout.WIDE_LATE, p.seed)
        if slot >= 0:
            neighbours.wide_row(n, layout.LATE_SUMS, row)
            neighbours.put(wide, slot, row)


@compiled.part
def _judge(p, base, st, sample, series, raw, t_ms, trace, i, k, out, s, t):  # type: ignore[no-untyped-def]
    """The verdict on this sample from trace[i, k], into out[s, t]; then learn its tail."""
    n, c = st.numbers, st.counts
    if trace.absent[i, k]:
        c[layout.OPEN] = 0
    points = trace.points[i, k]
    if points < 0:
        if not trace.planned[i, k] and kinds.missing(p, base, st.kinds, t_ms):
            c[layout.OPEN] = kinds.MISSING
        out.score[s, t] = math.nan
        out.expected[s, t] = math.nan
        out.lower[s, t] = math.nan
        out.upper[s, t] = math.nan
        out.drift[s, t] = math.nan
        out.kind[s, t] = c[layout.OPEN]
        for member in range(out.members.shape[2]):
            out.members[s, t, member] = math.nan
        return
    x, planned = numbers.clip(raw, VALUE_LIMIT), trace.planned[i, k]
    warm = points >= SAMPLES_NEEDED and not planned
    speaks = warm and verdict.has_spoken(p.weights, trace.rise[i, k])
    level = verdict.combined(p.weights, trace.rise[i, k]) if warm else 0.0
    allowed = tail.allowed_at(p, base, points)
    begins, excess = tail.start(n, c, st.histogram, allowed, base)
    threshold = tail.threshold(n, c, begins, excess, allowed, base) * (1.0 + n[layout.RAISE])
    centre, size = trace.centre[i, k], trace.size[i, k]
    usual, units = max(trace.level[i, k], LEVEL_FLOOR), trace.units[i, k]
    best = trace.best[i, k]
    least = residuals.smallest(size) if best < layout.RESIDUALS else size[best]
    own = verdict.own_threshold(p, trace.rise[i, k], threshold)
    log_reach = bands.reach(p.weights, units, usual, least, own, n[layout.REACH])
    n[layout.REACH] = log_reach
    reach = math.exp(log_reach)
    below, above = reach * p.gates.scale_below, reach * p.gates.scale_above
    expected, lower, upper = bands.band(centre[best], least, below, above)
    if points == 0:
        expected, lower, upper = x - n[layout.X0], x - n[layout.X0], x - n[layout.X0]
    expected = min(max(expected + n[layout.X0], p.gates.low), p.gates.high)
    scale = p.gates.scale_above if x >= expected else p.gates.scale_below
    if scale != 1.0:
        own = bands.rescaled(p.weights, units, usual, least, own, log_reach, scale)
        threshold = verdict.whole_threshold(p, trace.rise[i, k], own)
    for member in range(out.members.shape[2]):
        rise = trace.rise[i, k, member]
        out.members[s, t, member] = rise / threshold if warm else math.nan
    score = 0.0
    if warm and points >= p.gates.samples:
        score = verdict.gated(p.gates, x, expected, level / threshold)
    flat = zero = gone = False
    if not planned:
        flat, zero, gone = unscored.follow(
            p, base, st.kinds, x, t_ms, n[layout.X0], centre[layout.PROFILE],
            trace.profiled[i, k], warm and points >= p.gates.samples,
        )  # fmt: skip
    out.score[s, t] = 0.0 if planned else verdict.faded(n, score)
    out.expected[s, t] = expected
    out.lower[s, t] = min(max(lower + n[layout.X0], p.gates.low), expected)
    out.upper[s, t] = max(min(upper + n[layout.X0], p.gates.high), expected)
    out.drift[s, t] = trace.drift[i, k] if t_ms % p.drift_ms == 0 else math.nan
    if planned:
        c[layout.OPEN] = 0
    verdict.follow_incident(c, verdict.OUTSIDE if flat or zero or gone else score, x >= expected)
    if not planned:
        _name(c, st.kinds, x - n[layout.X0], trace, i, k, flat, zero, gone)
    out.kind[s, t] = c[layout.OPEN]
    if speaks:
        tail.learn(n, c, st.histogram, level, begins, excess)
    is_calm = trace.rise[i, k, layout.RESIDUAL] <= FLAG and score <= 1.0
    if warm and is_calm and sample.keys.size > 0:
        trees.offer(p.seed, sample, series, t_ms, trace.z[i, k])


@compiled.part
def _name(c, known, x, trace, i, k, flat, zero, gone):  # type: ignore[no-untyped-def]
    """Follow what the kind of an anomaly is told by, and name the one that is open."""
    profile = trace.centre[i, k, layout.PROFILE]
    if c[layout.OPEN] == 0:
        ways = kinds.takes_profile_off(trace.profiled[i, k], trace.size[i, k])
        kinds.follow_level(known, x, profile, ways)
        return
    kinds.follow_open(known, x, profile, trace.least[i, k])
    c[layout.OPEN] = kinds.kind_of(known, c[layout.OPEN], flat, zero, gone, trace.least[i, k])


@compiled.part
def _set_limit(p, base, st):  # type: ignore[no-untyped-def]
    """Where an excursion of this series begins from now on."""
    n, c = st.numbers, st.counts
    allowed = tail.allowed_at(p, base, c[layout.POINTS])
    begins, excess = tail.start(n, c, st.histogram, allowed, base)
    n[layout.LIMIT] = tail.threshold(n, c, begins, excess, allowed, base)


@compiled.kernel
def set_limits(p, base, st):  # type: ignore[no-untyped-def]
    """Bring every series' excursion limit up to date: at fixed steps of the grid."""
    for s in range(st.counts.shape[0]):
        if st.counts[s, layout.POINTS] > 0:
            _set_limit(p, base, _row(st, s))


@compiled.kernel
def look_steps(p, base, st, row0, values, times, walls, planned, first, first_step, trace, w, kept):  # type: ignore[no-untyped-def]
    """What members say of a block, as large as the trace, the state moving with it.

    base    alarms a point that the budget allows
    values  float64[S, T], of the rows of the state from row0 on; times, walls int64[T]: instants,
            and what the clocks show then
    first, first_step
            row of values and step at which the block begins
    planned bool[S, T], samples that lie in planned time; [1, T] where they do of all series alike
    kept    where states from before a sample are put; with room for none, none is. They are those
            from before the verdict too where the trace is of one step
    """
    for i in range(trace.points.shape[0]):
        row = _row(st, row0 + first + i)
        for k in range(trace.points.shape[1]):
            t = first_step + k
            raw = values[first + i, t]
            is_planned = planned[0 if planned.shape[0] == 1 else first + i, t]
            has_room = kept.size[0] < kept.rows.size and not is_planned
            if has_room:
                keeping.copy_row(kept.before, 0, row)
            _look(p, base, row, raw, times[t], walls[t], is_planned, w, trace, i, k)
            if has_room and (
                keeping.may_be_anomalous(
                    p, row.numbers[layout.LIMIT], raw, trace.points[i, k], trace.rise[i, k],
                    SAMPLES_NEEDED,
                )
                or unscored.opens(
                    p, base, row, kept.room, raw, times[t], trace, i, k, SAMPLES_NEEDED,
                    VALUE_LIMIT,
                )
            ):  # fmt: skip
                keeping.copy_row(kept.states, kept.size[0], _row(kept.before, 0))
                kept.rows[kept.size[0]] = first + i
                kept.size[0] += 1


@compiled.kernel
def judge_steps(p, base, st, sample, row0, values, times, first, first_step, trace, surprises, out):  # type: ignore[no-untyped-def]
    """The verdict on that block. surprises float64[models, rows, steps]: of the fitted models."""
    for i in range(trace.points.shape[0]):
        s = first + i
        row = _row(st, row0 + s)
        for k in range(trace.points.shape[1]):
            t = first_step + k
            _join(p, row, trace, i, k, surprises)
            raw, t_ms = values[s, t], times[t]
            _judge(p, base, row, sample, row0 + s, raw, t_ms, trace, i, k, out, s, t)


@compiled.part
def _join(p, st, trace, i, k, surprises):  # type: ignore[no-untyped-def]
    """Put the fitted models beside the other members, and let their levels learn."""
    points = trace.points[i, k]
    for model in range(surprises.shape[0]):
        member = layout.STREAMING + p.smoothers.shape[0] + model
        score = surprises[model, i, k]
        trace.rise[i, k, member] = math.nan
        if points < 0 or trace.planned[i, k] or math.isnan(score):
            continue
        if st.levelled[member] >= levels.LEVEL_POINTS:
            level = max(st.levels[0, member], LEVEL_FLOOR)
            trace.rise[i, k, member] = levels.rise(score, level)
        if not trace.frozen[i, k] and points > SAMPLES_NEEDED - levels.LEVEL_POINTS:
            levels.learn(st.levels, st.levelled, member, score)
