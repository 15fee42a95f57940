"""Cost of the detector's models on this machine: `python -m benchmarks.models`.

CPU seconds of one thread unless said; the least of several turns, since other work only ever adds.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
from pyod.models.iforest import IForest

from benchmarks import features, report
from detector import frames, models
from detector.models import arrays, budget, catalogue, fitted, forecasting, parallel, scoring
from detector.services import scoring as services_scoring

STEP_MS = 60_000
WEEKLY = budget.parse_budget("1 per week per series")
TURNS = 7
LEARNED_SERIES, LEARNED_LIMIT_S = 10_000, 10.0
FITTED, FITTED_LIMIT_S = (1_000, 2_000), 10.0
FEATURES_LEAST = 5.0
REFIT_STEPS, REFIT_LIMIT = 200, 2.0
PEER_SERIES = 20
FOREST = catalogue.model_of("iforest")


def new_scorer(
    models: Sequence[fitted.Model] = (), *, threads: int = 1, cheap: bool = False
) -> scoring.QueryScorer:
    step = timedelta(milliseconds=STEP_MS)
    return scoring.QueryScorer(
        step=step, budget=WEEKLY, models=models, seed=1, threads=threads, cheap=cheap
    )


def frame(values: frames.Floats, first: int) -> frames.Frame:
    times_ms = (np.arange(len(values), dtype=np.int64) + first) * STEP_MS
    return frames.Frame(times_ms, np.asfortranarray(values), STEP_MS)


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.thread_time()
    run()
    return time.thread_time() - start


def live_ms(series: int, fit: fitted.FittedModel | None, *, cheap: bool = False) -> float:
    """Least milliseconds of one step of so many warm series."""
    rng = np.random.default_rng(0)
    scorer = new_scorer([FOREST] if fit is not None else (), cheap=cheap)
    if fit is not None:
        scorer.adopt(fit)
    scorer.score(frame(rng.normal(size=(60, series)), 0))
    steps = [frame(rng.normal(size=(1, series)), 60 + turn) for turn in range(TURNS)]
    return 1e3 * min(cpu_seconds(lambda step=step: scorer.score(step)) for step in steps)  # type: ignore[misc]


def backfill_points_per_second(series: int, steps: int) -> float:
    """Most points a second of a fresh scorer given the whole history at once."""
    history = frame(np.random.default_rng(1).normal(size=(steps, series)), 0)
    turns = [cpu_seconds(lambda: new_scorer().score(history)) for _ in range(TURNS)]
    return series * steps / min(turns)


def learning_seconds(series: int, steps: int) -> float:
    """Wall seconds to learn a history in blocks, as a query does at its start, on all threads."""
    rng, scorer, took = np.random.default_rng(4), new_scorer(threads=parallel.THREADS), 0.0
    block = services_scoring.BLOCK_SAMPLES // series
    for first in range(0, steps, block):
        part = frame(rng.normal(size=(min(block, steps - first), series)), first)
        began = time.perf_counter()
        scorer.score(part)
        took += time.perf_counter() - began
    return took


def fitted_seconds(series: int, steps: int) -> float:
    """Wall seconds to learn a history with a forest that is fitted whenever that is due."""
    values = np.random.default_rng(6).normal(size=(steps, series))
    scorer = new_scorer([FOREST], threads=parallel.THREADS)
    history = frame(values, 0)
    edges = [0, *(np.flatnonzero(np.diff(scorer.epochs(history.times_ms))) + 1).tolist(), steps]
    began = time.perf_counter()
    for first, last in itertools.pairwise(edges):
        scorer.score(frame(values[first:last], first))
        for job in scorer.refit_jobs():
            scorer.adopt(job.run())
    return time.perf_counter() - began


def peer_seconds(series: int, steps: int) -> float:
    """Wall seconds of PyOD's IForest, one a series, fitted on it and scoring it; from PEER_SERIES
    of them."""
    values = np.random.default_rng(6).normal(size=(PEER_SERIES, steps, 1))
    began = time.perf_counter()
    for each in values:
        IForest(random_state=1).fit(each).decision_function(each)
    return (time.perf_counter() - began) * series / PEER_SERIES


def forecast_seconds(series: int) -> float:
    """Wall seconds to foresee so many series a day ahead, from four weeks of hours."""
    values = np.random.default_rng(5).normal(size=(forecasting.HISTORY_STEPS, series))
    past = frames.Frame(np.arange(len(values)) * 3_600_000, np.asfortranarray(values), 3_600_000)
    began = time.perf_counter()
    forecasting.foresee(past, ahead=24, more=2)
    return time.perf_counter() - began


def step_seconds(series: int, steps: int, *, refits: bool) -> frames.Floats:
    """Wall seconds of each step of a scorer with a forest; with refits, one is fitted behind it
    without a pause, as a detector does now and then."""
    rng, scorer = np.random.default_rng(7), new_scorer([FOREST], threads=parallel.THREADS)
    scorer.score(frame(rng.normal(size=(60, series)), 0))
    (job,) = scorer.refit_jobs()
    scorer.adopt(job.run())
    done, took = threading.Event(), []

    def fit() -> None:
        while not done.is_set():
            scorer.adopt(job.run())

    behind = threading.Thread(target=fit)
    if refits:
        behind.start()
    try:
        for step in range(steps):
            part = frame(rng.normal(size=(1, series)), 60 + step)
            began = time.perf_counter()
            scorer.score(part)
            took.append(time.perf_counter() - began)
    finally:
        done.set()
        if refits:
            behind.join()
    return np.array(took)


def main() -> list[str]:
    """The names of the figures that missed their limit."""
    table = report.Report("Models")
    models.warm_up()
    rows = np.random.default_rng(2).normal(size=(arrays.SAMPLE_ROWS, 10)).astype(np.float32)
    FOREST.fit(rows, seed=1)
    start = time.perf_counter()
    fit = FOREST.fit(rows, seed=1)
    table.add(report.Figure(f"fit of {len(rows)} rows", time.perf_counter() - start, "s"))
    table.add(report.Figure("state a series", _state_bytes(), "bytes"))
    table.add(report.Figure("the same on the cheap tier", _state_bytes(cheap=True), "bytes"))
    rate = features.points_per_second(500, 1440) / 1e6
    table.add(report.Figure("features, one core", rate, "M/s", at_least=FEATURES_LEAST))
    rate = backfill_points_per_second(500, 1440) / 1e6
    table.add(report.Figure("back-fill, one core", rate, "M/s"))
    learned = f"{LEARNED_SERIES:,} series x 1 day learned, wall on {parallel.THREADS} threads"
    table.add(report.Figure(learned, learning_seconds(LEARNED_SERIES, 1440), "s", LEARNED_LIMIT_S))
    fitting = fitted_seconds(*FITTED)
    of = f"{FITTED[0]:,} series x {FITTED[1]:,} points"
    table.add(
        report.Figure(f"{of} fitted and scored, forest and all", fitting, "s", FITTED_LIMIT_S)
    )
    peer = f"the same by a PyOD IForest each, from {PEER_SERIES} series"
    table.add(report.Figure(peer, peer_seconds(*FITTED) / fitting, "x"))
    table.add(
        report.Figure("1,000 series foreseen a day ahead, wall", forecast_seconds(1_000), "s")
    )
    for series in (1_000, 10_000, 100_000):
        full, cheap = (live_ms(series, None, cheap=cheap) for cheap in (False, True))
        table.add(report.Figure(f"one step of {series:,} series", full, "ms"))
        table.add(report.Figure("the same on the cheap tier", cheap / full, "x"))
    for series in (1_000, 10_000):
        name = f"one step of {series:,} series, with the forest"
        table.add(report.Figure(name, live_ms(series, fit), "ms"))
    quiet, busy = (
        np.quantile(step_seconds(10_000, REFIT_STEPS, refits=refits), 0.99)
        for refits in (False, True)
    )
    table.add(report.Figure("p99 of a step of 10,000 series", 1e3 * float(quiet), "ms"))
    slower = float(busy / quiet)
    table.add(
        report.Figure("the same while a forest is fitted without a pause", slower, "x", REFIT_LIMIT)
    )
    return table.missed


def _state_bytes(*, cheap: bool = False) -> int:
    scorer = new_scorer(cheap=cheap)
    scorer.score(frame(np.zeros((1, 1)), 0))
    return scorer.state_bytes


if __name__ == "__main__":
    sys.exit(bool(main()))
