"""From the members' rises to one score, and an incident that opens and closes."""

from __future__ import annotations

import math

from detector.models.kernels import compiled, layout

OUTSIDE = 2.0
"""Least score of a value outside the valid range: it is wrong, however usual it may be."""
CALM_SCORE = 0.7
CALM_POINTS = 12
"""Points in a row below CALM_SCORE after which an incident has ended."""
FADE_RATE = 0.03
FADE_GAIN = 1.5
FADE_LIMIT = 0.69
"""What has just been anomalous stays suspicious: a score is at least FADE_GAIN times the running
mean of those before it, but by this alone never as high as CALM_SCORE, so that it neither raises an
alarm nor keeps an incident open."""


@compiled.part
def combined(weights, rise):  # type: ignore[no-untyped-def]
    """The weighted mean of the members' rises that are ready: not NaN."""
    total = weight = 0.0
    for k in range(weights.size):
        if weights[k] > 0.0 and not math.isnan(rise[k]):
            total += weights[k] * rise[k]
            weight += weights[k]
    return total / weight if weight > 0.0 else 0.0


@compiled.part
def own_threshold(p, rise, threshold):  # type: ignore[no-untyped-def]
    """The combined rise of all members but the group's at which that of all is the threshold."""
    own, others = _shares(p, rise)
    if own <= 0.0 or others <= 0.0:
        return threshold
    return (threshold * (own + others) - others * rise[p.group]) / own


@compiled.part
def whole_threshold(p, rise, threshold):  # type: ignore[no-untyped-def]
    """The other way round: of all members, where that of all but the group's is the threshold."""
    own, others = _shares(p, rise)
    if own <= 0.0 or others <= 0.0:
        return threshold
    return (threshold * own + others * rise[p.group]) / (own + others)


@compiled.part
def _shares(p, rise):  # type: ignore[no-untyped-def]
    """Weights of the members that are ready: all but the group's, and the group's."""
    own = others = 0.0
    for k in range(p.weights.size):
        if math.isnan(rise[k]):
            continue
        if k == p.group:
            others = p.weights[k]
        else:
            own += p.weights[k]
    return own, others


@compiled.part
def has_spoken(weights, rise):  # type: ignore[no-untyped-def]
    """Whether a member that counts is ready."""
    ready = False
    for k in range(weights.size):
        ready = ready or (weights[k] > 0.0 and not math.isnan(rise[k]))
    return ready


@compiled.part
def gated(gates, x, expected, score):  # type: ignore[no-untyped-def]
    """The score, cut to 1 where the gates say that this deviation does not matter, and raised to
    OUTSIDE where the value itself is out of its valid range."""
    if x < gates.low or x > gates.high:
        return max(score, OUTSIDE)
    off, size = x - expected, abs(expected)
    if off > 0:
        matters = gates.counts_above and off >= max(gates.least_above, gates.relative_above * size)
    else:
        matters = gates.counts_below and -off >= max(gates.least_below, gates.relative_below * size)
    return score if matters else min(score, 1.0)


@compiled.part
def faded(n, score):  # type: ignore[no-untyped-def]
    """The score with what remains of those before it."""
    recent = n[layout.RECENT]
    recent += FADE_RATE * (score - recent)
    n[layout.RECENT] = recent
    return max(score, min(FADE_LIMIT, FADE_GAIN * recent))


@compiled.part
def follow_incident(c, score, up):  # type: ignore[no-untyped-def]
    """Open at a score above 1, with its side as kind; close after CALM_POINTS calm points."""
    if c[layout.OPEN] == 0:
        if score > 1.0:
            c[layout.OPEN] = 1 if up else 2
            c[layout.CALM] = 0
        return
    c[layout.CALM] = c[layout.CALM] + 1 if score < CALM_SCORE else 0
    if c[layout.CALM] >= CALM_POINTS:
        c[layout.OPEN] = 0
