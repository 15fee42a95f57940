"""What people said of the anomalies of one query, row by row as its scorer wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

import numpy as np

from detector import frames, judgements, wall_clock

T = TypeVar("T")
Judged: TypeAlias = Mapping[frames.Labels, tuple[judgements.Judgement, ...]]
"""Of series by their labels."""
NOTHING_JUDGED: Judged = {}


class Heeded:
    """What is heeded of a query's series, and what of it a scorer has learnt with.

    memory  how long a false alarm counts
    """

    def __init__(self, judged: Judged, *, memory: timedelta) -> None:
        self._memory = memory
        self._judged = judged
        self._masks = {
            labels: spans for labels, told in judged.items() if (spans := judgements.masked(told))
        }

    def raises(self, labels: Sequence[frames.Labels | None], *, at: datetime) -> dict[int, float]:
        """Row -> times that its threshold is raised; those that are not left out."""
        return {
            row: times
            for row, told in _rows(labels, self._judged)
            if (times := judgements.raise_of(told, now=at, memory=self._memory)) > 1.0
        }

    def planned(
        self, labels: Sequence[frames.Labels | None], times_ms: frames.Ints, planned: frames.Bools
    ) -> frames.Bools:
        """bool[T] as given or, where spans of single series touch these times, bool[T, S]."""
        touched = [
            (row, spans)
            for row, spans in _rows(labels, self._masks)
            if any(_ms(begin) <= times_ms[-1] and times_ms[0] <= _ms(end) for begin, end in spans)
        ]
        if not touched:
            return planned
        whole = np.repeat(planned[:, None], len(labels), axis=1)
        for row, spans in touched:
            for begin, end in spans:
                whole[(_ms(begin) <= times_ms) & (times_ms <= _ms(end)), row] = True
        return whole

    def is_news(self, before: Heeded, *, since: datetime) -> bool:
        """Whether spans later than `since` are masked here that were not before, or the other way
        round: what was learnt with the others is to be learnt anew."""
        return _later(self._masks, since) != _later(before._masks, since)


def _rows(
    labels: Sequence[frames.Labels | None], of: Mapping[frames.Labels, T]
) -> list[tuple[int, T]]:
    if not of:
        return []
    return [(row, of[each]) for row, each in enumerate(labels) if each is not None and each in of]


def _later(
    masks: Mapping[frames.Labels, tuple[wall_clock.Span, ...]], since: datetime
) -> set[tuple[frames.Labels, wall_clock.Span]]:
    return {(labels, span) for labels, spans in masks.items() for span in spans if span[1] > since}


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
