"""The state of the whole, gathered from those who know a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from detector import errors, loops, telemetry
from detector.services import cycles, scoring
from detector.services import status as statuses

TOP = 3
"""So many of a query's highest scores are told."""

STORE_SILENT_AFTER = timedelta(seconds=10)
"""When PostgreSQL has said nothing for so long, good or bad, it is taken to hang."""

DISABLED = "anomaly detection is turned off (ANOMALY_DETECTION_ENABLED=false): nothing is scored"


@dataclass(frozen=True, slots=True)
class _Heard:
    """What PostgreSQL said when it was asked last; fault is None when all was well."""

    at_s: float
    fault: str | None


class Overview:
    """statuses.StatusSource over the running queries, loops and the store.

    Only refresh() asks PostgreSQL; all else is told from memory, so that it is told at once even
    while PostgreSQL hangs.

    check_store  raises StoreError when PostgreSQL does not answer
    scoring      None when detection is turned off
    """

    def __init__(
        self,
        *,
        scoring_cycles: cycles.Cycles | None,
        running: Sequence[loops.Loop],
        check_store: Callable[[], None],
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._cycles = scoring_cycles
        self._loops = tuple(running)
        self._check_store = check_store
        self._clock = clock
        self._heard = _Heard(clock(), "PostgreSQL has not been asked yet")
        meters.detection_enabled.set(scoring_cycles is not None)
        meters.ready.set_function(lambda: not self.reasons())

    def refresh(self) -> loops.Turn:
        """Ask PostgreSQL how it is, however long it takes: the turn of a loop."""
        try:
            self._check_store()
        except errors.StoreError as error:
            self._heard = _Heard(self._clock(), str(error))
        else:
            self._heard = _Heard(self._clock(), None)
        return loops.Turn()

    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready: loops that have stalled, and what PostgreSQL said last."""
        stalled = [
            f"loop {loop.name} has stalled: its log says why"
            for loop in self._loops
            if loop.is_stalled()
        ]
        return (*stalled, *self._store_reasons())

    def status(self) -> statuses.Status:
        """The state now."""
        reasons = self.reasons()
        return statuses.Status(
            ready=not reasons,
            reasons=reasons,
            queries=self._queries(),
            loops=tuple(
                statuses.LoopStatus(loop.name, loop.interval.total_seconds(), loop.is_stalled())
                for loop in self._loops
            ),
            notes=() if self._cycles else (DISABLED,),
        )

    def _store_reasons(self) -> tuple[str, ...]:
        heard = self._heard
        silent_s = self._clock() - heard.at_s
        if silent_s > STORE_SILENT_AFTER.total_seconds():
            return (f"PostgreSQL has not answered for {silent_s:.0f} s",)
        return () if heard.fault is None else (heard.fault,)

    def _queries(self) -> tuple[statuses.QueryStatus, ...]:
        if self._cycles is None:
            return ()
        return tuple(_query(runner, self._cycles) for runner in self._cycles.runners)


def _query(runner: scoring.QueryRunner, running: cycles.Cycles) -> statuses.QueryStatus:
    standing, needed = runner.standing, runner.scorer.samples_needed
    daily, weekly, monthly = runner.scorer.seasons
    seen = 0 if standing is None or not len(standing.labels) else standing.samples_seen.max()
    return statuses.QueryStatus(
        name=runner.spec.name,
        expr=runner.spec.expr,
        series=0 if standing is None else len(standing.labels),
        samples_seen=min(int(seen), needed),
        samples_needed=needed,
        state=_state(runner, running, is_warm=seen >= needed),
        last_success=None
        if standing is None
        else datetime.fromtimestamp(standing.time_ms / 1000, UTC),
        top=() if standing is None else _top(standing),
        daily=daily,
        weekly=weekly,
        monthly=monthly,
    )


def _state(runner: scoring.QueryRunner, running: cycles.Cycles, *, is_warm: bool) -> str:
    if running.is_failing(runner.spec.name):
        return "failing"
    if runner.standing is None or not runner.standing.labels:
        return "waiting"
    return "scoring" if is_warm else "warming_up"


def _top(standing: scoring.Standing) -> tuple[statuses.TopScore, ...]:
    scored = np.flatnonzero(np.isfinite(standing.scores))
    best = scored[np.argsort(-standing.scores[scored], kind="stable")][:TOP]
    return tuple(
        statuses.TopScore(
            labels=dict(standing.labels[row]),
            score=float(standing.scores[row]),
            expected=float(standing.expected[row]),
            value=float(standing.values[row]),
        )
        for row in best.tolist()
    )
