"""What the members do not learn for good: values far off that go back to what was usual.

An average that spans many points keeps an image of a burst, as do the values kept; without this,
normal values are told anomalous for as long as the burst is remembered. An excursion begins when
the members' combined rise passes LIMIT, the threshold when the siblings were last looked at: so
that members never ask the verdict about a sample, nor the gates, nor fitted models.
"""

from __future__ import annotations

from detector.models.kernels import compiled, layout, past

CALM = 0.7
"""Part of the limit below which a point is calm."""
CALM_POINTS = 12
"""Calm points in a row after which the excursion is over and what it taught is kept."""
BACK_SIZES = 25.0
"""Usual residuals from the references of before, within which a value is back: wide, since a
burst's image has to be told from a return, not an anomaly from the normal."""
ACCEPTED_AFTER = 100
"""Points after which an excursion is a new normal, and is learnt."""
USUAL = 3
"""The average that stands for what was usual before."""


@compiled.part
def remember_before(n):  # type: ignore[no-untyped-def]
    """Keep the averages as they are, in case this sample begins an excursion."""
    for i in range(layout.EWMAS + 1):
        n[layout.BEFORE + i] = n[layout.E + i]


@compiled.part
def follow(n, c, level):  # type: ignore[no-untyped-def]
    """Begin where the combined rise passes the limit, end after CALM_POINTS calm points."""
    if c[layout.AWAY] == 0:
        if level > n[layout.LIMIT]:
            c[layout.AWAY] = 1
            c[layout.AWAY_CALM] = 0
            c[layout.AWAY_BACK] = 0
        return
    c[layout.AWAY] += 1
    c[layout.AWAY_CALM] = c[layout.AWAY_CALM] + 1 if level < CALM * n[layout.LIMIT] else 0
    if c[layout.AWAY_CALM] >= CALM_POINTS:
        c[layout.AWAY] = 0


@compiled.part
def follow_return(p, n, c, ring, x, size):  # type: ignore[no-untyped-def]
    """Count the points in a row that stand within BACK_SIZES of what was before; then undo.

    At each p.back_points the averages go back to what they were, and the values kept become what
    was usual. The excursion goes on until it is calm.
    """
    for i in range(1, layout.EWMAS + 1):
        if abs(x - n[layout.BEFORE + i]) > BACK_SIZES * size[i]:
            c[layout.AWAY_BACK] = 0
            return
    c[layout.AWAY_BACK] += 1
    if c[layout.AWAY_BACK] % p.back_points == 0 and c[layout.AWAY] < ACCEPTED_AFTER:
        for i in range(1, layout.EWMAS + 1):
            n[layout.E + i] = n[layout.BEFORE + i]
        usual = n[layout.BEFORE + USUAL]
        past.replace(n, c, ring, p.back_points, c[layout.AWAY], usual)
