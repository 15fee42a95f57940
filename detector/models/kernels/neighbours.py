"""Members K4 and KB: how far the last values are from any that came before.

Each keeps a uniform sample of all earlier rows (reservoir sampling, Vitter 1985, algorithm R); the
score is the mean distance to the two nearest. Near rows are the last four values, wide rows the
means of the last 1, 2, 4 ... 128. A row is offered late, so that an anomaly does not become its own
neighbour, and not at all if it was far from everything when it was new.
"""

from __future__ import annotations

import math

import numpy as np

from detector.models.kernels import compiled, layout, numbers, past

NEIGHBOURS = 2
FAR = 6.0
"""Running means of the distance beyond which a row is left out of the reservoir ..."""
ACCEPTED_AFTER = 100
"""... unless so many in a row were: then that is the new normal."""
DISTANCE_RATE = 1e-3
YOUNG = 20
MOST = np.float32(1e38)
"""A squared distance beyond it is infinite in float32."""
_ROWS = layout.RESERVOIR_ROWS


@compiled.part
def near_row(ring, at, points, row):  # type: ignore[no-untyped-def]
    """The NEAR_POINTS values that ended so many points ago."""
    for j in range(layout.NEAR_POINTS):
        row[j] = past.back(ring, at, points + j)


@compiled.part
def wide_row(n, column, row):  # type: ignore[no-untyped-def]
    """The means of the blocks whose sums stand in these columns."""
    share = 1.0
    for j in range(layout.SCALES):
        row[j] = n[column + j] * share
        share *= 0.5


@compiled.part
def distance(store, held, row, scratch):  # type: ignore[no-untyped-def]
    """Mean Euclidean distance to the two nearest of the rows held, 0 while there are fewer.

    store float32[F, R], a row a column, F a multiple of 4; scratch float32[2 R].
    """
    if held < NEIGHBOURS:
        return 0.0
    _squares(store, row, scratch)
    for i in range(held, _ROWS):
        scratch[i] = MOST
    first, second = _two_least(scratch)
    return 0.5 * (math.sqrt(first) + math.sqrt(second))


@compiled.reducing_part
def _squares(store, row, scratch):  # type: ignore[no-untyped-def]
    """Squared distances of the row to all, four numbers of a row at a time."""
    for j in range(0, store.shape[0], 4):
        r0, r1, r2, r3 = row[j], row[j + 1], row[j + 2], row[j + 3]
        s0, s1, s2, s3 = store[j], store[j + 1], store[j + 2], store[j + 3]
        for i in range(_ROWS):
            a, b, c, d = r0 - s0[i], r1 - s1[i], r2 - s2[i], r3 - s3[i]
            before = scratch[i] if j > 0 else np.float32(0.0)
            scratch[i] = before + a * a + b * b + c * c + d * d


@compiled.reducing_part
def _two_least(s):  # type: ignore[no-untyped-def]
    """The two least of the first R numbers, as in a cup: losers wait in the second R numbers.

    Rounds of fixed lengths, without a branch, so that many pairs meet at a time.
    """
    for i in range(_ROWS // 2):
        one, other = s[i], s[_ROWS // 2 + i]
        s[i], s[_ROWS + i] = min(one, other), max(one, other)
    _meet(s, 16)
    _meet(s, 8)
    _meet(s, 4)
    _meet(s, 2)
    _meet(s, 1)
    return min(s[0], MOST), min(s[_ROWS], MOST)


@compiled.reducing_part
def _meet(s, pairs):  # type: ignore[no-untyped-def]
    """A round: of two winners and the best who lost to each, the two least."""
    for i in range(pairs):
        one, other = s[i], s[pairs + i]
        lost = min(s[_ROWS + i], s[_ROWS + pairs + i])
        s[i], s[_ROWS + i] = min(one, other), min(max(one, other), lost)


@compiled.part
def note(n, c, which, far):  # type: ignore[no-untyped-def]
    """Remember whether this distance is far beyond the usual; then let it into the usual."""
    usual, seen = n[layout.DISTANCE + which], c[layout.DISTANCES + which]
    flag = 0
    if seen >= YOUNG and usual > 0.0 and far > FAR * usual:
        if c[layout.FLAGGED_RUN + which] < ACCEPTED_AFTER:
            flag = 1
        c[layout.FLAGGED_RUN + which] += 1
    else:
        c[layout.FLAGGED_RUN + which] = 0
    c[layout.FLAGS + which] = ((c[layout.FLAGS + which] << 1) | flag) & 0x1FFFFFFFF
    seen += 1
    c[layout.DISTANCES + which] = seen
    if seen > YOUNG and usual > 0.0:
        far = min(far, FAR * usual)
    n[layout.DISTANCE + which] += numbers.rate(DISTANCE_RATE, seen) * (far - usual)


@compiled.part
def offered_slot(c, which, late, seed):  # type: ignore[no-untyped-def]
    """Where the row of `late` points ago goes in the reservoir, -1 if it is not let in: one that
    was flagged then never is."""
    if (c[layout.FLAGS + which] >> late) & 1:
        return -1
    offered = c[layout.OFFERED + which] + 1
    c[layout.OFFERED + which] = offered
    slot = c[layout.HELD + which]
    if slot < _ROWS:
        c[layout.HELD + which] = slot + 1
        return slot
    slot = numbers.mixed(numbers.mixed(offered) + seed + which) % offered
    return slot if slot < _ROWS else -1


@compiled.part
def put(store, slot, row):  # type: ignore[no-untyped-def]
    """Let a row into the reservoir."""
    for j in range(store.shape[0]):
        store[j, slot] = row[j]
