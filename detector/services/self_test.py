"""The detector's own service level: does it find trouble that is put into copies of its series?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from detector import frames, loops, ports, telemetry
from detector.models import injecting
from detector.models import scoring as models_scoring
from detector.services import roster, scoring

logger = logging.getLogger(__name__)

SERIES = 8
"""Of a query, that are tried."""
SAMPLES_MOST = 4_000_000
"""Read at a time: a query of more series looks at less of its past."""
STEPS_MOST = 20_000
STEPS_LEAST = 240
"""Of the past, that a query needs: one of so many series that they cannot be read is not tried."""
AFTER_FAILURE = timedelta(minutes=10)


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
        self._due: dict[scoring.QueryRunner, float] = {}

    def turn(self) -> loops.Turn:
        """Try a query that is due and knows its series. Raises UpstreamError."""
        now_s = self._clock()
        runners = self._roster.runners()
        self._due = {runner: self._due.get(runner, now_s) for runner in runners}
        for runner in runners:
            standing = runner.standing
            if self._due[runner] > now_s or standing is None or not standing.labels:
                continue
            self._due[runner] = now_s + AFTER_FAILURE.total_seconds()
            tried = self._try(runner, standing)
            if tried:
                self._due[runner] = now_s + self._every_s
            return loops.Turn(tried, tried)
        return loops.Turn()

    def _try(self, runner: scoring.QueryRunner, standing: scoring.Standing) -> int:
        """How many series were tried; none while there is too little of a past."""
        steps = _steps_of_past(runner.spec, len(standing.labels))
        if not steps:
            return 0
        frame = self._past_of(runner.spec, standing, steps)
        head_steps = len(frame.times_ms) - injecting.TAIL_STEPS
        whole = np.isfinite(frame.values).mean(axis=0)
        rows = np.argsort(-whole, kind="stable")[:SERIES]
        rows = np.sort(rows[whole[rows] > injecting.USABLE])
        if not len(rows) or head_steps < STEPS_LEAST:
            return 0
        values = np.asfortranarray(frame.values[:, rows])
        scorer = runner.fresh_scorer()
        learnt = self._try_season(runner.spec, scorer, frame, values)
        scorer.score(_part(frame, values, slice(learnt, head_steps)))
        tail = injecting.tail_of(_part(frame, values, slice(head_steps, None)))
        for found in injecting.trials(scorer, tail):
            if not found.series:
                return 0
            self._tell(runner.spec, found)
        logger.debug("self-test done", extra={"query": runner.spec.name, "series": len(rows)})
        return len(rows)

    def _try_season(
        self,
        spec: scoring.Spec,
        scorer: models_scoring.QueryScorer,
        frame: frames.Frame,
        values: frames.Floats,
    ) -> int:
        """Take the season out of the newest part of a past that is long enough to have one; how
        many steps the scorer has learnt then."""
        week, steps = (
            round(each / spec.step) for each in (injecting.WEEK, injecting.SEASON_LOST_FOR)
        )
        begins = len(values) - max(steps, injecting.TAIL_STEPS)
        if begins < week:
            self._forget(spec, frames.Kind.LOST_SEASON)
            return 0
        scorer.score(_part(frame, values, slice(0, begins)))
        week_before = values[begins - week : len(values) - week]
        found = injecting.lost_season(
            scorer, week_before, _part(frame, values, slice(begins, None))
        )
        if found.series:
            self._tell(spec, found)
        else:
            self._forget(spec, frames.Kind.LOST_SEASON)
        return begins

    def _tell(self, spec: scoring.Spec, found: injecting.Found) -> None:
        labels = (spec.name, found.kind.name.lower(), f"{found.scales:g}")
        self._meters.self_test_detected.labels(*labels).set(found.found / found.series)
        self._meters.self_test_delay.labels(*labels).set(found.delay * spec.step.total_seconds())

    def _forget(self, spec: scoring.Spec, kind: frames.Kind) -> None:
        """What was told of a kind that is not tried any more."""
        labels = {"query": spec.name, "kind": kind.name.lower()}
        for metric in (self._meters.self_test_detected, self._meters.self_test_delay):
            metric.remove_by_labels(labels)

    def _past_of(self, spec: scoring.Spec, standing: scoring.Standing, steps: int) -> frames.Frame:
        step_ms = round(spec.step.total_seconds() * 1000)
        return self._reader.read_range(
            spec.expr,
            start_ms=standing.time_ms - (steps - 1) * step_ms,
            end_ms=standing.time_ms,
            step_ms=step_ms,
            table=frames.SeriesTable(),
        )


def _steps_of_past(spec: scoring.Spec, series: int) -> int:
    """How many steps are read; 0 if too few could be."""
    least = STEPS_LEAST + injecting.TAIL_STEPS
    most = min(STEPS_MOST, SAMPLES_MOST // series)
    return min(max(int(spec.history / spec.step), least), most) if most >= least else 0


def _part(frame: frames.Frame, values: frames.Floats, steps: slice) -> frames.Frame:
    return frames.Frame(frame.times_ms[steps], np.asfortranarray(values[steps]), frame.step_ms)
