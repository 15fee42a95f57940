"""Which features spoke: what anomalous samples were compared with, and who rose.

Scoring leaves behind, for the few samples above 1, what the members said of them; it is put into
words for those that somebody asks about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from detector import anomalies, frames
from detector.models import groups, smoothing
from detector.models.kernels import layout, residuals

SAMPLES_KEPT = 20_000
"""Of one frame: some 5 MB. What is beyond stays unexplained."""
RESIDUALS_TOLD = 3


class _Part(NamedTuple):
    """Anomalous samples of one block; rows and steps int64[N], the rest [N, ..] as in a Trace."""

    rows: frames.Ints
    steps: frames.Ints
    points: frames.Ints
    centre: frames.Floats
    size: frames.Floats
    rise: frames.Floats


class Evidence:
    """What the members said of the anomalous samples of the frame scored last."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._kept = 0
        self._places: dict[tuple[int, int], tuple[_Part, int]] | None = None

    def clear(self) -> None:
        """Forget all: another frame comes."""
        self._parts, self._kept, self._places = [], 0, None

    def keep(
        self, trace: layout.Trace, scores: frames.Floats, *, first_row: int, first_step: int
    ) -> None:
        """Copy from the trace of a block what belongs to its scores [rows, steps] above 1."""
        rows, steps = np.nonzero(scores > 1.0)
        room = SAMPLES_KEPT - self._kept
        if not len(rows) or room <= 0:
            return
        at = (rows[:room], steps[:room])
        self._kept += len(at[0])
        self._parts.append(
            _Part(
                rows=at[0] + first_row,
                steps=at[1] + first_step,
                points=trace.points[at],
                centre=trace.centre[at],
                size=trace.size[at],
                rise=trace.rise[at],
            )
        )

    def take(self, other: Evidence) -> None:
        """Add what another one kept of the same frame."""
        if self._kept < SAMPLES_KEPT:
            self._parts += other._parts
            self._kept += other._kept

    def explain(
        self, row: int, step: int, x: float, *, origin: float, params: layout.Params
    ) -> anomalies.Explanation:
        """Of the sample x of this row and step of the frame; UNEXPLAINED if its score was not
        above 1. origin: what the row's state counts from."""
        if self._places is None:
            self._places = dict(self._found())
        if (row, step) not in self._places:
            return anomalies.UNEXPLAINED
        part, n = self._places[row, step]
        return anomalies.Explanation(
            residuals=_largest(part, n, x - origin, origin, params),
            rises=rises_by_name(part.rise[n].tolist(), params),
        )

    def _found(self) -> Iterator[tuple[tuple[int, int], tuple[_Part, int]]]:
        for part in self._parts:
            places = zip(part.rows.tolist(), part.steps.tolist(), strict=True)
            for n, place in enumerate(places):
                yield place, (part, n)


def _largest(
    part: _Part, n: int, x: float, origin: float, params: layout.Params
) -> tuple[anomalies.Residual, ...]:
    centre, size = part.centre[n].tolist(), part.size[n].tolist()
    references = _references(params, int(part.points[n]))
    if centre[layout.PROFILE] == centre[layout.EWMAS - 1] == centre[layout.DRIFTED]:
        references[layout.PROFILE] = references[layout.DRIFTED] = references[layout.EWMAS - 1]
    told: dict[str, anomalies.Residual] = {}
    for j, reference in enumerate(references):
        if math.isnan(centre[j]):
            continue
        times = (x - centre[j]) / size[j]
        times = max(-residuals.Z_LIMIT, min(times, residuals.Z_LIMIT))
        if reference not in told or abs(times) > abs(told[reference].times):
            told[reference] = anomalies.Residual(reference, times, centre[j] + origin)
    largest = sorted(told.values(), key=lambda each: -abs(each.times))
    return tuple(largest[:RESIDUALS_TOLD])


def _references(params: layout.Params, points: int) -> list[str]:
    """What each residual compares with, in their order; a young series has short averages."""
    spans = [_span(rate, points) for rate in (*params.ewma.tolist(), params.slow)]
    averages = [
        "last value" if span <= 1 else f"average of the last {span} points" for span in spans
    ]
    averages[-1] = f"slow average of the last {spans[-1]} points"
    pairs = [
        f"value at which the averages of the last {spans[1 + j]} and {spans[3 + j]} points agree"
        for j in range(2)
    ]
    return [
        *averages,
        "usual value at this time",
        "usual value at this time, moved by its drift",
        *pairs,
        *(smoothing.REFERENCES[name] for name in smoothing.names_of(params.smoothers)),
    ]


def _span(rate: float, points: int) -> int:
    return max(1, min(round(1.0 / rate), points))


def rises_by_name(rises: Sequence[float], params: layout.Params) -> dict[str, float]:
    """What the members say that are ready: not NaN."""
    others = smoothing.names_of(params.smoothers)
    fitted = len(rises) - layout.STREAMING - len(others)
    names = [*layout.STREAMING_NAMES, *others, *(f"fitted {n + 1}" for n in range(fitted))]
    if params.group >= 0:
        names[params.group] = groups.NAME
    return {name: rise for name, rise in zip(names, rises, strict=True) if not math.isnan(rise)}
