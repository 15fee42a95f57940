"""All queries read and scored now, because somebody asked."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from dataclasses import dataclass

from detector import errors
from detector.services import roster, scoring


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of one query.

    samples, scores  read and written: nothing where its newest step had been scored already
    error            empty if all went well
    """

    query: str
    samples: int
    scores: int
    series: int
    duration_s: float
    error: str


class Collecting:
    """Runs one cycle of all queries. Threads may share it; one cycle at a time."""

    def __init__(self, queries: roster.Roster, *, workers: int) -> None:
        self._queries, self._workers = queries, workers
        self._turn = threading.Lock()

    def collect(self) -> tuple[Collected, ...]:
        """What came in and went out, a row a query.

        A query that is being scored just then is waited for, and has nothing left to do. Raises
        ConflictError if a cycle is under way that somebody asked for.
        """
        if not self._turn.acquire(blocking=False):
            raise errors.ConflictError("a collection is under way: its answer will do")
        try:
            with concurrent.futures.ThreadPoolExecutor(
                self._workers, thread_name_prefix="collect"
            ) as pool:
                return tuple(pool.map(_collect, self._queries.runners()))
        finally:
            self._turn.release()


def _collect(runner: scoring.QueryRunner) -> Collected:
    began = time.monotonic()
    samples, scores, error = 0, 0, ""
    try:
        turn = runner.run()
    except errors.UpstreamError as exc:
        error = str(exc)
    else:
        samples, scores = turn.came_in, turn.went_out
    standing = runner.standing
    series = 0 if standing is None else len(standing.labels)
    duration_s = time.monotonic() - began
    return Collected(runner.spec.name, samples, scores, series, duration_s, error)
