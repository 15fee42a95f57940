"""A scrape: every collector run once, each within its own boundary and deadline.

Collectors run on worker threads one after the other. As soon as one keeps a worker busy the rest
moves on to another worker, so what is slow or hung costs the scrape its own deadline at most, and
costs later scrapes nothing: a run that has not come back is not started a second time, it is
reported as failed until it does, and what it brings then is thrown away.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from exporter import exposition, procfs
from exporter.collectors import contract

IDLE_WORKERS_KEPT: Final = 1
logger = logging.getLogger(__name__)


class Status(StrEnum):
    """How a collector fared in a scrape."""

    OK = "ok"
    NO_DATA = "no_data"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a collector brought to a scrape; block is empty unless the status is OK."""

    status: Status
    block: exposition.Block
    duration_s: float
    reason: str = ""


class Run:
    """One execution of one collector."""

    def __init__(self, name: str, collector: contract.Collector, deadline_s: float) -> None:
        self.name = name
        self.deadline_s = deadline_s
        self.started_at: float | None = None
        self.outcome: Outcome | None = None
        self._collector = collector

    def execute(self, monotonic: Callable[[], float]) -> None:
        """Collect; nothing that the collector raises gets any further."""
        self.started_at = started = monotonic()
        block: exposition.Block = ()
        try:
            block, status, reason = self._collector.collect(), Status.OK, ""
        except procfs.NoData as absent:
            status, reason = Status.NO_DATA, str(absent)
        except Exception as error:  # noqa: BLE001 - a collector in a scrape must not sink the rest
            status, reason = Status.FAILED, f"{type(error).__name__}: {error}"
        self.outcome = Outcome(status, block, monotonic() - started, reason)

    def is_over(self, now: float) -> bool:
        """Whether there is nothing more to wait for."""
        if self.outcome is not None:
            return True
        return self.started_at is not None and now - self.started_at >= self.deadline_s

    def outcome_at(self, now: float) -> Outcome:
        """Its outcome, or the failure of not having come back in time."""
        outcome = self.outcome
        if outcome is not None and outcome.duration_s < self.deadline_s:
            return outcome
        waited = outcome.duration_s if outcome else now - (self.started_at or now)
        return Outcome(Status.FAILED, (), waited, f"past its deadline of {self.deadline_s:g} s")


class Batch:
    """The runs that one scrape started: workers take them from `todo`, and say when it is empty."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.todo = deque(runs)
        self.emptied: queue.SimpleQueue[None] = queue.SimpleQueue()


class Workers:
    """Daemon threads that work off batches; one waits idle, more come while some are stuck."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    def put(self, batch: Batch) -> None:
        """Have a worker, an idle or a new one, help with this batch."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            else:
                self._count += 1
                name = f"collector-{self._count}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        self._batches.put(batch)

    def stop(self) -> None:
        """Let the idle workers end; one that is stuck ends with the process."""
        with self._lock:
            idle, self._idle = self._idle, -1_000_000
        for _ in range(max(0, idle)):
            self._batches.put(None)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            while batch.todo:
                try:
                    run = batch.todo.popleft()
                except IndexError:
                    break  # another worker was faster
                run.execute(self._monotonic)
            with self._lock:
                is_needed = 0 <= self._idle < IDLE_WORKERS_KEPT
                self._idle += is_needed
            batch.emptied.put(None)
            if not is_needed:
                return


class Scrape:
    """The runs of one scrape, some of them perhaps shared with a scrape before it."""

    def __init__(
        self, runs: list[Run], batch: Batch, workers: Workers, monotonic: Callable[[], float]
    ) -> None:
        self.runs = runs
        self._batch = batch
        self._workers = workers
        self._monotonic = monotonic

    def wait(self, timeout_s: float) -> bool:
        """Whether all is over; waits no longer than this for the workers to get there."""
        if self._is_over():
            return True
        try:
            self._batch.emptied.get(timeout=timeout_s)
        except queue.Empty:
            if self._batch.todo:
                self._workers.put(self._batch)
        return self._is_over()

    def _is_over(self) -> bool:
        now = self._monotonic()
        return all(run.is_over(now) for run in self.runs)

    def outcomes(self) -> dict[str, Outcome]:
        """Each collector's outcome by name, as of now."""
        now = self._monotonic()
        return {run.name: run.outcome_at(now) for run in self.runs}


class Scraper:
    """Starts scrapes, and keeps each collector to one run at a time."""

    def __init__(
        self,
        collectors: Mapping[str, contract.Collector],
        deadlines_s: Mapping[str, float],
        monotonic: Callable[[], float],
    ) -> None:
        self.names = tuple(collectors)
        self._collectors = collectors
        self._deadlines_s = deadlines_s
        self._monotonic = monotonic
        self._workers = Workers(monotonic)
        self._live: dict[str, Run] = {}
        self._last: dict[str, Status] = {}

    def begin(self, names: Iterable[str]) -> Scrape:
        """A scrape of these collectors; one that still runs is joined, not started again."""
        runs, new = [], []
        for name in names:
            run = self._live.get(name)
            if run is None or run.outcome is not None:
                run = Run(name, self._collectors[name], self._deadlines_s[name])
                self._live[name] = run
                new.append(run)
            runs.append(run)
        batch = Batch(new)
        if new:
            self._workers.put(batch)
        return Scrape(runs, batch, self._workers, self._monotonic)

    def finish(self, scrape: Scrape) -> dict[str, Outcome]:
        """The outcomes; a collector whose status changed since its last one is logged."""
        outcomes = scrape.outcomes()
        for name, outcome in outcomes.items():
            if self._last.get(name, Status.OK) != outcome.status:
                self._log(name, outcome)
            self._last[name] = outcome.status
        return outcomes

    def stop(self) -> None:
        """End the workers that are not stuck."""
        self._workers.stop()

    def _log(self, name: str, outcome: Outcome) -> None:
        fields = {"collector": name, "reason": outcome.reason}
        if outcome.status is Status.FAILED:
            logger.error("collector failed", extra=fields)
        elif outcome.status is Status.NO_DATA:
            logger.debug("collector has no data", extra=fields)
        else:
            logger.info("collector works again", extra=fields)
