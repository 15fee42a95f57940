"""What a person would have been told of: incidents, and alerts of the shipped rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from detector import frames

FOR, KEEP_FIRING_FOR = timedelta(seconds=15), timedelta(seconds=30)
"""Of AnomalyDetected in rules/anomalies.yml."""
LOOKBACK = timedelta(minutes=5)
"""How long a written score stands for later evaluations, as Prometheus is shipped."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One series with its scores; arrays have one entry a sample.

    name      as it is shown; labels () where the series comes from a file
    counted   the first sample that counts: what is before it was only learned from
    times_ms  int64[T], strictly rising; values and scores float64[T], NaN where there is no sample
    kind      int8[T], a frames.Kind
    """

    name: str
    labels: frames.Labels
    step: timedelta
    counted: int
    times_ms: frames.Ints
    values: frames.Floats
    score: frames.Floats
    expected: frames.Floats
    lower: frames.Floats
    upper: frames.Floats
    kind: frames.Bytes

    @property
    def days(self) -> float:
        """Days that the counted samples stand for."""
        samples = int(np.isfinite(self.values[self.counted :]).sum())
        return samples * (self.step / timedelta(days=1))


class Span(NamedTuple):
    """From start to end, both included, epoch milliseconds."""

    start_ms: int
    end_ms: int

    def meets(self, other: Span) -> bool:
        """Whether the two have an instant in common."""
        return self.start_ms <= other.end_ms and other.start_ms <= self.end_ms


class Incident(NamedTuple):
    """An anomaly from its opening to its close, with the highest score in it."""

    span: Span
    kind: frames.Kind
    peak: float


def incidents_of(series: Scored) -> tuple[Incident, ...]:
    """The incidents that opened while samples counted, oldest first."""
    kind = series.kind
    changes = np.flatnonzero(np.diff(kind, prepend=0, append=0))
    found = []
    for first, end in zip(changes[:-1].tolist(), changes[1:].tolist(), strict=True):
        if kind[first] and first >= series.counted:
            span = Span(int(series.times_ms[first]), int(series.times_ms[end - 1]))
            peak = float(np.nanmax(series.score[first:end]))
            found.append(Incident(span, frames.Kind(int(kind[first])), peak))
    return tuple(found)


def alerts_of(series: Scored, *, evaluated_every: timedelta) -> tuple[Span, ...]:
    """When AnomalyDetected would have fired, as Prometheus evaluates it: from its firing to its
    resolution. A score stands until the next step, or LOOKBACK; one that is missing ends it."""
    every_ms = max(1, round(evaluated_every / timedelta(milliseconds=1)))
    for_steps = math.ceil(FOR / timedelta(milliseconds=every_ms))
    keep_steps = math.ceil(KEEP_FIRING_FOR / timedelta(milliseconds=every_ms))
    spans: list[Span] = []
    fired, resolved = 0, -1
    for first, last in _bad_runs(series, every_ms):
        if first >= resolved:
            if resolved >= 0:
                spans.append(Span(fired * every_ms, resolved * every_ms))
                resolved = -1
            if last - first < for_steps:
                continue
            fired = first + for_steps
        resolved = last + 1 + keep_steps
    if resolved >= 0:
        spans.append(Span(fired * every_ms, resolved * every_ms))
    return tuple(span for span in spans if span.start_ms >= series.times_ms[series.counted])


def _bad_runs(series: Scored, every_ms: int) -> Iterator[tuple[int, int]]:
    """First and last of the evaluations in a row, in whole `every_ms` since 1970, that see a score
    above 1."""
    bad = np.flatnonzero(series.score > 1)
    if not bad.size or series.counted >= len(series.times_ms):
        return
    lookback_ms = round(LOOKBACK / timedelta(milliseconds=1))
    starts = series.times_ms[bad]
    step_ms = round(series.step / timedelta(milliseconds=1))
    later = np.append(series.times_ms[1:], series.times_ms[-1] + step_ms)[bad]
    firsts = -(-starts // every_ms)
    lasts = -(-np.minimum(later, starts + lookback_ms) // every_ms) - 1
    run: tuple[int, int] | None = None
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        if last < first:
            continue
        if run is not None and first <= run[1] + 1:
            run = run[0], last
            continue
        if run is not None:
            yield run
        run = first, last
    if run is not None:
        yield run
