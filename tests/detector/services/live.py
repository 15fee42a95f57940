"""One series scored live, from history to the store: what opens on it, with its record."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np

from detector import anomalies, frames, ports, telemetry
from detector.models import budget
from detector.models import scoring as models_scoring
from detector.services import inbox, recording, scoring, watching
from tests.detector.services.test_watching import T0_MS, A
from tests.fakes import prometheus
from tests.fakes.anomalies import FakeAnomalyStore

STEP_S = 300
STEP_MS = 1000 * STEP_S
A_DAY = 86_400 // STEP_S
HISTORY = 10 * A_DAY
NOISE = np.random.default_rng(3).normal(size=2 * HISTORY)
STEPS: dict[frames.Kind, int] = {
    frames.Kind.FLAT: 30,
    frames.Kind.ZERO: 10,
    frames.Kind.MISSING: 30,
    frames.Kind.LOST_SEASON: A_DAY * 3 // 2,
}
"""Kinds that open whatever the score, and steps within which each is told."""


def usual(step: int) -> float:
    """The value so many steps after live scoring began; before it, where negative."""
    return 50.0 + float(NOISE[step + HISTORY]) + 8.0 * math.sin(2.0 * math.pi * step / A_DAY)


def troubled(kind: frames.Kind, step: int) -> float:
    """The same in this trouble, which begins with live scoring."""
    noise = float(NOISE[step + HISTORY])
    if kind == frames.Kind.ZERO:  # of values near it, so that no score shows it
        return abs(noise) if step < 0 else 0.0
    if step < 0:
        return usual(step)
    return {
        frames.Kind.FLAT: usual(-1),
        frames.Kind.MISSING: math.nan,
        frames.Kind.LOST_SEASON: 50.0 + noise,
    }[kind]


class Live:
    """A runner over one series, a tracker, a recorder and the fake store."""

    def __init__(self, series: prometheus.Series, store: ports.AnomalyStore | None = None) -> None:
        self.store: ports.AnomalyStore = store or FakeAnomalyStore()
        self._step = 0
        news = inbox.Inbox(drop=self._drop)
        tracker = watching.Tracker("q", news=news, drop=self._drop)
        step = timedelta(seconds=STEP_S)
        self.runner = scoring.QueryRunner(
            scoring.Spec("q", "x", step, step * HISTORY, timedelta(hours=1), timedelta(days=7)),
            reader=prometheus.FakeReader({A: series}),
            writer=prometheus.RecordingWriter(),
            make_scorer=lambda: models_scoring.QueryScorer(
                step=step, budget=budget.parse_budget("1 per week per series")
            ),
            watch=tracker,
            meters=telemetry.Telemetry(),
            clock=self._clock,
        )
        self._recorder = recording.Recorder(
            self.store,
            news,
            tracker_of=lambda _: tracker,
            series_of=lambda _: (A,),
            drop=self._drop,
            keep=timedelta(days=1),
            clock=self._clock,
        )

    def _drop(self, count: int) -> None:
        raise AssertionError(f"{count} dropped")

    def _clock(self) -> float:
        return T0_MS / 1000 + self._step * STEP_S + 11

    def run(self, steps: int) -> list[anomalies.Remembered]:
        """Score so many steps, the first after all of history; what is remembered then, newest
        first."""
        for _ in range(steps):
            self.runner.run()
            self._recorder.turn()
            self._step += 1
        return list(self.store.list_anomalies(anomalies.Filter()).anomalies)


def of_steps(series: prometheus.Series) -> prometheus.Series:
    """The series of instants that takes these values at steps."""
    return lambda time_ms: series((time_ms - T0_MS) // STEP_MS)


def opened(
    kind: frames.Kind, store: ports.AnomalyStore | None = None
) -> tuple[ports.AnomalyStore, anomalies.Remembered]:
    """A store with the anomaly that this trouble opened."""
    live = Live(of_steps(lambda step: troubled(kind, step)), store)
    (found,) = live.run(STEPS[kind])
    return live.store, found
