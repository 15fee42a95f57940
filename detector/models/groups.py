"""Series that belong together corroborate each other: what one shows, the others may show too.

Which ones do is the owner's word: series with the same values of the labels that a query names
(`group_by`). Learnt from their correlation instead, it ranked worse. The mean rise of the others at
the same step becomes one more member of each series' ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector import frames
from detector.models.kernels import layout, steps

NAME = "group"
WEIGHT = 0.5
"""Of the others, as a part of what the streaming members weigh together."""
ALONE = -1


def groups_of(labels: Sequence[frames.Labels | None], by: Sequence[str]) -> frames.Ints:
    """int64[S]: the number of each row's group; ALONE for a row without a series, or whose series
    has none of the labels, or that has no other in its group."""
    numbers: dict[tuple[str, ...], int] = {}
    found = np.full(len(labels), ALONE, np.int64)
    for row, series in enumerate(labels):
        known = dict(series or ())
        values = tuple(known.get(name, "") for name in by)
        if any(values):
            found[row] = numbers.setdefault(values, len(numbers))
    together = np.bincount(found[found >= 0], minlength=len(numbers))
    found[(found >= 0) & (together[found] < 2)] = ALONE
    return found


def corroborate(
    trace: layout.Trace, groups: frames.Ints, *, place: int, weights: frames.Floats
) -> None:
    """Put the mean rise of the others of its group into column `place` of each row's rises.

    trace   of all rows of a frame, and some steps; groups int64[rows]
    weights of the members, of which the streaming ones are asked
    NaN where no other has spoken.
    """
    ready = (trace.points >= steps.SAMPLES_NEEDED) & ~trace.planned
    combined, weight = np.zeros(trace.points.shape), np.zeros(trace.points.shape)
    # One member after the other: a product of matrices has other last bits at other shapes.
    for member in range(layout.STREAMING):
        rise = trace.rise[:, :, member]
        speaks = ready & ~np.isnan(rise)
        combined += np.where(speaks, weights[member] * rise, 0.0)
        weight += np.where(speaks, weights[member], 0.0)
    combined /= np.maximum(weight, 1e-12)
    speaking = (weight > 0.0) & (groups >= 0)[:, np.newaxis]
    shape = (int(groups.max(initial=ALONE)) + 1, trace.points.shape[1])
    total, count = np.zeros(shape), np.zeros(shape)
    together = groups >= 0
    np.add.at(total, groups[together], np.where(speaking, combined, 0.0)[together])
    np.add.at(count, groups[together], speaking[together])
    others = np.full(trace.points.shape, np.nan)
    number = count[groups[together]] - speaking[together]
    rest = total[groups[together]] - np.where(speaking, combined, 0.0)[together]
    others[together] = np.where(number > 0, rest / np.maximum(number, 1), np.nan)
    trace.rise[:, :, place] = others
