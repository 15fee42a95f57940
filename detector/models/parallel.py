"""Rows of one array shared out between the processors: the kernels leave the interpreter free."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

T = TypeVar("T")

THREADS = min(os.cpu_count() or 1, 8)
"""Parts that work is cut into at most: more than a few wait for memory, not for a processor."""
LEAST_SAMPLES = 256
"""Of a part: half a millisecond, against the tenth of one that it takes to hand it over."""


def parts(rows: int, samples: int, *, threads: int = THREADS) -> list[tuple[int, int]]:
    """Ranges [first, last) of the rows, as equal as they go, for work on so many samples."""
    number = max(1, min(threads, rows, samples // LEAST_SAMPLES))
    edges = [rows * part // number for part in range(number + 1)]
    return list(itertools.pairwise(edges))


def over(work: Callable[[int, int], T], ranges: list[tuple[int, int]]) -> list[T]:
    """What work gives for each range, in their order, all at once; the first on this thread.

    Raises what the first that failed raised, when all have ended.
    """
    waiting = [_pool().submit(work, first, last) for first, last in ranges[1:]]
    try:
        mine = work(*ranges[0])
    finally:
        futures.wait(waiting)
    return [mine, *(done.result() for done in waiting)]


@functools.cache
def _pool() -> futures.ThreadPoolExecutor:
    return futures.ThreadPoolExecutor(max(1, THREADS - 1), thread_name_prefix="rows")
