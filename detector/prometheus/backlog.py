"""Samples that wait to be sent: lanes of their own order, one bound for all of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from detector import frames
from detector.prometheus import blocks

REQUEST_SAMPLES = 10_000
"""Small items are sent together up to so many samples, as Prometheus' own sender does at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """Samples of one block, one per series at most.

    values, times_ms  float64[series], int64[series]; NaN is left out, the stale marker is not
    count             how many are sent
    since_s           clock when it was queued
    """

    block: blocks.Block
    values: frames.Floats
    times_ms: frames.Ints
    count: int
    since_s: float


@dataclass(slots=True)
class _Lane:
    items: deque[tuple[int, Item]] = field(default_factory=deque)
    in_flight: int = 0


class Backlog:
    """A bounded queue in lanes; the oldest items of all go when there are too many samples.

    on_drop   called with the number of samples that were given up for newer ones
    on_count  called with the number of samples that wait or are under way
    """

    def __init__(
        self,
        *,
        lanes: int,
        capacity: int,
        on_drop: Callable[[int], None],
        on_count: Callable[[int], None],
    ) -> None:
        self._lanes = [_Lane() for _ in range(lanes)]
        self._capacity = capacity
        self._on_drop, self._on_count = on_drop, on_count
        self._numbers = itertools.count()
        self._samples = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, lane: int, item: Item) -> None:
        """Queue an item behind those of its lane."""
        with self._changed:
            self._lanes[lane].items.append((next(self._numbers), item))
            self._samples += item.count
            while self._samples > self._capacity and self._drop_oldest():
                pass
            self._on_count(self._samples)
            self._changed.notify_all()

    def take(self, lane: int) -> list[Item]:
        """The oldest items of a lane that fit one request; waits for one, [] once closed."""
        mine = self._lanes[lane]
        with self._changed:
            while not mine.items and not self._closed:
                self._changed.wait()
            taken: list[Item] = []
            while mine.items and _fits(taken, mine.items[0][1]):
                taken.append(mine.items.popleft()[1])
            mine.in_flight = sum(item.count for item in taken)
            return taken

    def done(self, lane: int) -> None:
        """What the lane took last is settled."""
        with self._changed:
            self._samples -= self._lanes[lane].in_flight
            self._lanes[lane].in_flight = 0
            self._on_count(self._samples)
            self._changed.notify_all()

    def wait_empty(self, timeout: timedelta) -> bool:
        """Whether everything is settled before the timeout."""
        deadline_s = time.monotonic() + timeout.total_seconds()
        with self._changed:
            return self._changed.wait_for(
                lambda: self._samples == 0, max(deadline_s - time.monotonic(), 0)
            )

    def close(self) -> int:
        """Empty the lanes and wake their takers; the number of samples given up."""
        with self._changed:
            given_up = 0
            for lane in self._lanes:
                given_up += sum(item.count for _, item in lane.items)
                lane.items.clear()
            self._samples -= given_up
            self._closed = True
            self._on_count(self._samples)
            self._changed.notify_all()
            return given_up

    def _drop_oldest(self) -> bool:
        waiting = [lane.items for lane in self._lanes if lane.items]
        if not waiting:
            return False
        _, item = min(waiting, key=lambda items: items[0][0]).popleft()
        self._samples -= item.count
        self._on_drop(item.count)
        return True


def _fits(taken: list[Item], item: Item) -> bool:
    """Whether the item may go with these: not too much, and no series twice in a request."""
    if not taken:
        return True
    total = sum(each.count for each in taken) + item.count
    return total <= REQUEST_SAMPLES and all(each.block.key != item.block.key for each in taken)
