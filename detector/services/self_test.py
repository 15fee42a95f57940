"""The detector's own service level: does it find trouble that is put into copies of its series?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import frames, loops, ports, telemetry
from detector.models import injecting
from detector.services import roster, scoring

logger = logging.getLogger(__name__)

SERIES = 8
"""Of a query, that are tried."""
SAMPLES_MOST = 4_000_000
"""Read at a time: a query of more series looks at less of its past."""
STEPS_MOST = 20_000
STEPS_LEAST = 240
"""Of the past, that a query needs."""
AFTER_FAILURE = timedelta(minutes=10)


@dataclass(slots=True)
class _Due:
    runner: scoring.QueryRunner
    at_s: float


class SelfTest:
    """Tries one query a turn, each once in `every`; nothing of it reaches Prometheus or the store,
    but the figures on /metrics."""

    def __init__(
        self,
        queries: roster.Roster,
        *,
        reader: ports.SeriesReader,
        every: timedelta,
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._roster, self._reader, self._every_s = queries, reader, every.total_seconds()
        self._meters, self._clock = meters, clock
        self._due: dict[str, _Due] = {}

    def turn(self) -> loops.Turn:
        """Try a query that is due and knows its series. Raises UpstreamError."""
        now_s = self._clock()
        for runner in self._roster.runners():
            name = runner.spec.name
            due = self._due.get(name)
            if due is None or due.runner is not runner:
                due = self._due[name] = _Due(runner, now_s)
            if due.at_s > now_s or runner.standing is None or not runner.standing.labels:
                continue
            due.at_s = now_s + AFTER_FAILURE.total_seconds()
            tried = self._try(runner)
            if tried:
                due.at_s = now_s + self._every_s
            return loops.Turn(tried, tried)
        return loops.Turn()

    def _try(self, runner: scoring.QueryRunner) -> int:
        """How many series were tried; none while there is too little of a past."""
        frame = self._past_of(runner)
        head_steps = len(frame.times_ms) - injecting.TAIL_STEPS
        whole = np.isfinite(frame.values).mean(axis=0)
        rows = np.argsort(-whole, kind="stable")[:SERIES]
        rows = np.sort(rows[whole[rows] > 0.9])
        if not len(rows) or head_steps < STEPS_LEAST:
            return 0
        values = np.asfortranarray(frame.values[:, rows])
        scorer = runner.fresh_scorer()
        scorer.score(_part(frame, values, slice(0, head_steps)))
        name, step_s = runner.spec.name, runner.spec.step.total_seconds()
        for found in injecting.trials(scorer, _part(frame, values, slice(head_steps, None))):
            if not found.series:
                return 0
            labels = (name, found.kind.name.lower(), f"{found.scales:g}")
            self._meters.self_test_detected.labels(*labels).set(found.found / found.series)
            self._meters.self_test_delay.labels(*labels).set(found.delay * step_s)
        logger.debug("self-test done", extra={"query": name, "series": len(rows)})
        return len(rows)

    def _past_of(self, runner: scoring.QueryRunner) -> frames.Frame:
        assert runner.standing is not None  # noqa: S101 - seen by the caller
        spec, standing = runner.spec, runner.standing
        step_ms = round(spec.step.total_seconds() * 1000)
        most = min(STEPS_MOST, SAMPLES_MOST // len(standing.labels))
        steps = min(max(int(spec.history / spec.step), STEPS_LEAST + injecting.TAIL_STEPS), most)
        return self._reader.read_range(
            spec.expr,
            start_ms=standing.time_ms - (steps - 1) * step_ms,
            end_ms=standing.time_ms,
            step_ms=step_ms,
            table=frames.SeriesTable(),
        )


def _part(frame: frames.Frame, values: frames.Floats, steps: slice) -> frames.Frame:
    return frames.Frame(frame.times_ms[steps], np.asfortranarray(values[steps]), frame.step_ms)
