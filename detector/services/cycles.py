"""All queries, each at its own step, on a bounded pool; and the fits behind them."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from detector import errors, loops, ports, telemetry
from detector.models import fits as models_fits
from detector.models import scoring as models_scoring
from detector.services import roster, scoring

logger = logging.getLogger(__name__)

RETRY_AT_LEAST_S = 1.0
"""A query that failed is tried again after so long, doubled up to its step."""


@dataclass(frozen=True, slots=True)
class _Failures:
    """How often a query has failed since it last worked, and how the last time."""

    count: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Run:
    """A run under way."""

    runner: scoring.QueryRunner
    done: concurrent.futures.Future[loops.Turn]


class Cycles:
    """Runs the queries that are due; one that fails or hangs does not hold up the others."""

    def __init__(
        self,
        queries: roster.Roster,
        *,
        workers: int,
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._roster, self._meters, self._clock = queries, meters, clock
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="query")
        self._running: dict[str, _Run] = {}
        self._ending: dict[str, concurrent.futures.Future[None]] = {}
        self._failures: dict[str, _Failures] = {}
        self._not_before: dict[str, float] = {}
        self._blocks_learned = 0

    @property
    def runners(self) -> tuple[scoring.QueryRunner, ...]:
        """What runs now."""
        return self._roster.runners()

    def due_in(self) -> timedelta:
        """How long until the next query is due."""
        now = self._clock()
        waits = [
            max(runner.due_in(), self._not_before.get(runner.spec.name, 0.0) - now)
            for runner in self.runners
            if not self._is_busy(runner.spec.name)
        ]
        return timedelta(seconds=min(max(min(waits, default=1.0), 0.02), 60.0))

    def turn(self) -> loops.Turn:
        """Run what is due and take in what has finished; idle if that is nothing.

        A query that still learns its history has worked when it has come further.
        Raises the last UpstreamError if queries finished and none of them worked.
        """
        runners = self.runners
        self._part_with(self._roster.take_leaving())
        now = self._clock()
        for runner in runners:
            name = runner.spec.name
            if self._is_busy(name) or self._not_before.get(name, 0.0) > now:
                continue
            if runner.due_in() <= 0:
                self._running[name] = _Run(runner, self._pool.submit(runner.run))
        patience_s = min((runner.spec.step.total_seconds() for runner in runners), default=1.0)
        concurrent.futures.wait([run.done for run in self._running.values()], timeout=patience_s)
        return self._take_in()

    def is_failing(self, name: str) -> bool:
        """Whether the query's last cycle failed."""
        return name in self._failures

    def stop(self) -> None:
        """Let no further query start."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def unfinished(self) -> list[str]:
        """The queries under way."""
        return [name for name, run in self._running.items() if not run.done.done()]

    def _is_busy(self, name: str) -> bool:
        """Whether a query of this name runs, or one is being ended."""
        return name in self._running or name in self._ending

    def _part_with(self, leaving: Sequence[scoring.QueryRunner]) -> None:
        """End what is not run any more, behind the caller's back: it may be under way."""
        for runner in leaving:
            self._failures.pop(runner.spec.name, None)
            self._not_before.pop(runner.spec.name, None)
            self._ending[runner.spec.name] = self._pool.submit(runner.end)
        for name, ended in [each for each in self._ending.items() if each[1].done()]:
            del self._ending[name]
            if ended.exception() is not None:
                logger.error("query not ended", extra={"query": name}, exc_info=ended.exception())

    def _take_in(self) -> loops.Turn:
        finished = {name: run for name, run in self._running.items() if run.done.done()}
        came_in = went_out = worked = 0
        last_error: errors.UpstreamError | None = None
        for name, run in finished.items():
            del self._running[name]
            if run.runner not in self.runners:
                continue  # replaced meanwhile: how it fared says nothing of the new one
            try:
                turn = run.done.result()
            except errors.UpstreamError as error:
                last_error = error
                self._failed(run.runner, error.kind, str(error), trace=False)
            except Exception as error:  # noqa: BLE001 - a query in a cycle must not sink the rest
                self._failed(run.runner, "bug", repr(error), trace=True)
            else:
                worked += 1
                came_in, went_out = came_in + turn.came_in, went_out + turn.went_out
                if self._failures.pop(name, None):
                    logger.info("query works again", extra={"query": name})
                self._not_before.pop(name, None)
        if last_error is not None and not worked:
            raise last_error
        has_nothing_to_do = not self.runners  # which is done well
        is_idle = not (self._has_learned() or worked or has_nothing_to_do)
        return loops.Turn(came_in, went_out, is_idle=is_idle)

    def _has_learned(self) -> bool:
        before = self._blocks_learned
        self._blocks_learned = sum(runner.blocks_learned for runner in self.runners)
        return self._blocks_learned != before

    def _failed(self, runner: scoring.QueryRunner, kind: str, reason: str, *, trace: bool) -> None:
        """Count it, let it wait, and log it if it did not fail in the same way before."""
        name, step_s = runner.spec.name, runner.spec.step.total_seconds()
        self._meters.query_failures.labels(name, kind).inc()
        before = self._failures.get(name, _Failures(0, ""))
        wait_s = RETRY_AT_LEAST_S * 2.0 ** min(before.count, 12)
        self._not_before[name] = self._clock() + min(wait_s, max(step_s, RETRY_AT_LEAST_S))
        if kind != before.kind:
            logger.error("query failed", extra={"query": name, "reason": reason}, exc_info=trace)
        self._failures[name] = _Failures(before.count + 1, kind)


class Refits:
    """Fits the models that have grown out of their last fit, one query after the other."""

    def __init__(
        self,
        queries: roster.Roster,
        *,
        log: ports.FitLog,
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._roster, self._log, self._clock = queries, log, clock
        self._unrecorded: list[ports.Fit] = []
        self._failed = meters.loop_dropped.labels("refits", "failed")

    def turn(self) -> loops.Turn:
        """Fit what is due; the scorers take the fitted models up between two steps.

        Raises StoreError when a fit cannot be recorded; the model is in use all the same, and its
        row is written by a later turn.
        """
        fits = 0
        for runner in self._roster.runners():
            with runner.lock:
                scorer = runner.scorer
                jobs = scorer.refit_jobs()
            for job in jobs:
                try:
                    fit = self._fit(runner, scorer, job)
                except Exception:  # a query in a cycle must not sink the rest
                    extra = {"query": runner.spec.name, "model": job.model.name}
                    logger.exception("fit failed", extra=extra)
                    self._failed.inc()
                    continue
                fits += 1
                if not job.unit:  # those of each series are too many to be kept for ever
                    self._unrecorded.append(fit)
        while self._unrecorded:
            self._log.record_fit(self._unrecorded[0])
            del self._unrecorded[0]
        return loops.Turn(fits, fits)

    def _fit(
        self,
        runner: scoring.QueryRunner,
        scorer: models_scoring.QueryScorer,
        job: models_fits.RefitJob,
    ) -> ports.Fit:
        """Fit one of a query's models, and let its scorer use it."""
        began = self._clock()
        fitted = job.run()
        ended = self._clock()
        with runner.lock:
            if runner.scorer is scorer:
                scorer.adopt(fitted)
        return ports.Fit(
            query=runner.spec.name,
            model=fitted.path,
            parameters=dict(fitted.parameters),
            seed=fitted.seed,
            rows=fitted.rows,
            features=fitted.features,
            window_start=datetime.fromtimestamp(fitted.window_start_ms / 1000, UTC),
            window_end=datetime.fromtimestamp(fitted.window_end_ms / 1000, UTC),
            quantiles=fitted.quantiles,
            fitted_at=datetime.fromtimestamp(ended, UTC),
            duration_s=ended - began,
        )
