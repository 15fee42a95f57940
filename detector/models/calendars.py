"""When a query's owner expects the unusual: planned time, as a mask over instants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np

from detector import frames, wall_clock

CHUNK = timedelta(days=28)
"""Planned time is worked out for so long at once: a cycle needs one, a year of back-fill 14."""
LOOK_AHEAD_CHUNKS = 26
"""How far next_change looks: two years."""
_MS = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK_MS = CHUNK // _MS
_FIRST_CHUNK = (wall_clock.FIRST - _EPOCH) // CHUNK
_LAST_CHUNK = (wall_clock.LAST - _EPOCH) // CHUNK
_NO_EDGES = np.zeros(0, np.int64)


class Plan(Protocol):
    """A source of planned time."""

    def spans(self, first: datetime, last: datetime) -> Iterable[wall_clock.Span]:
        """Every [start, end) that touches [first, last), in any order; others may be among them."""
        ...


@dataclass(frozen=True, slots=True)
class Calendar:
    """The time that at least one of the plans covers; without plans nothing is planned.

    Two calendars make one as Calendar((*one.plans, *other.plans)). Safe from threads.
    """

    plans: tuple[Plan, ...] = ()
    _chunks: dict[int, frames.Ints] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Edges by chunk; never more than the chunks of the range that wall_clock knows."""

    def is_planned(self, times_ms: frames.Ints) -> frames.Bools:
        """bool[T]: which of these instants (int64[T] of epoch milliseconds) lie in planned time.

        A span's start belongs to it, its end does not. Any order is allowed, rising is fastest.
        """
        if not self.plans or not len(times_ms):
            return np.zeros(len(times_ms), np.bool_)
        found = [self._edges(int(chunk)) for chunk in np.unique(times_ms // _CHUNK_MS)]
        begun = np.searchsorted(np.concatenate(found), times_ms, side="right")
        return (begun & 1).astype(np.bool_)

    def next_change(self, after: datetime) -> datetime | None:
        """When planned time next begins or ends after this instant; None if not in two years."""
        after_ms = (after - _EPOCH) // _MS
        first = after_ms // _CHUNK_MS
        edges = _NO_EDGES
        for chunk in range(first, first + LOOK_AHEAD_CHUNKS):
            edges = _joined(edges, self._edges(chunk))
            # An edge at the very end of the chunk is none if the next chunk goes on from it.
            known = edges[(edges > after_ms) & (edges < (chunk + 1) * _CHUNK_MS)]
            if len(known):
                return _EPOCH + int(known[0]) * _MS
        return None

    def _edges(self, chunk: int) -> frames.Ints:
        """int64[2N], strictly rising: where planned time begins (even) and ends (odd) in it."""
        if not _FIRST_CHUNK <= chunk <= _LAST_CHUNK:
            return _NO_EDGES
        edges = self._chunks.get(chunk)
        if edges is None:
            first = _EPOCH + chunk * CHUNK
            spans = (span for plan in self.plans for span in plan.spans(first, first + CHUNK))
            in_ms = [((start - _EPOCH) // _MS, (end - _EPOCH) // _MS) for start, end in spans]
            edges = _edges_from_spans(
                np.array(in_ms, np.int64).reshape(-1, 2),
                np.int64(chunk * _CHUNK_MS),
                np.int64((chunk + 1) * _CHUNK_MS),
            )
            self._chunks[chunk] = edges
        return edges


NOTHING_PLANNED = Calendar()


def _joined(edges: frames.Ints, more: frames.Ints) -> frames.Ints:
    """The edges of two chunks in a row, without that at which planned time only goes on."""
    if len(edges) and len(more) and edges[-1] == more[0]:
        return np.concatenate([edges[:-1], more[1:]])
    return np.concatenate([edges, more])


def _edges_from_spans(spans: frames.Ints, least: np.int64, most: np.int64) -> frames.Ints:
    """int64[2M], strictly rising: the union of spans int64[N, 2] within [least, most]."""
    spans = np.clip(spans, least, most)
    spans = spans[spans[:, 0] < spans[:, 1]]
    if not len(spans):
        return _NO_EDGES
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    starts, reach = spans[:, 0], np.maximum.accumulate(spans[:, 1])
    apart = np.flatnonzero(starts[1:] > reach[:-1])
    begins = np.concatenate([starts[:1], starts[apart + 1]])
    ends = np.concatenate([reach[apart], reach[-1:]])
    return np.column_stack([begins, ends]).ravel()
