"""Builds what reads, scores and writes the queries, from the settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from detector import checks, config, ensembles, loops, planning, ports, telemetry
from detector.models import budget, exhaustion, gates
from detector.models import scoring as models_scoring
from detector.prometheus import reader, writer
from detector.services import (
    advising,
    collecting,
    cycles,
    forecasting,
    inbox,
    judging,
    recording,
    reloading,
    roster,
    scoring,
    self_test,
    watching,
)
from detector.store import anomalies, database, episodes, fits

REFIT_EVERY = timedelta(seconds=30)
SELF_TEST_EVERY = timedelta(minutes=1)
"""A turn tries one query that is due."""
FORECAST_EVERY = timedelta(seconds=20)
RECORD_EVERY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Detection:
    """What scores: absent when detection is turned off."""

    cycles: cycles.Cycles
    writer: writer.Writer
    loops: tuple[loops.Loop, ...]
    recorder: recording.Recorder
    reloading: reloading.Reloading
    collecting: collecting.Collecting


def detection(
    settings: config.Settings,
    load: Callable[[], config.Settings],
    store: database.Database,
    meters: telemetry.Telemetry,
    *,
    clock: Callable[[], float],
) -> Detection:
    """Raises ConfigError."""
    reads = checks.connect(settings)
    writes = writer.Writer(
        settings.prometheus.url,
        timeout=settings.prometheus.timeout,
        auth=checks.auth(settings),
        metrics=telemetry.WriterMeters(meters),
        clock=clock,
    )
    news = inbox.Inbox(drop=_dropped(meters, "full"))

    def member(
        current: config.Settings, query: config.Query, calendar: ports.PlannedTime
    ) -> roster.Member:
        tracker = watching.Tracker(query.name, news=news, drop=_dropped(meters, "too_many"))
        runner = _runner(current, query, reads, writes, calendar, tracker, meters, clock)
        foresees = query.forecast or query.exhaustion
        forecaster = _forecaster(current, query, reads, writes, clock) if foresees else None
        return roster.Member(reloading.origin_of(current, query), runner, tracker, forecaster)

    plans = planning.Planning(settings)
    queries = roster.Roster(
        member(settings, query, plans.planned_time(query.calendar))
        for query in settings.all_queries()
    )
    recorder = recording.Recorder(
        anomalies.PostgresAnomalyStore(store),
        news,
        tracker_of=queries.tracker,
        series_of=queries.series_of,
        drop=_dropped(meters, "refused"),
        keep=settings.detection.keep_anomalies,
        clock=clock,
    )
    scored = cycles.Cycles(queries, workers=settings.detection.workers, meters=meters, clock=clock)
    running = [
        loops.Loop(
            "scoring",
            scored.turn,
            interval=min((r.spec.step for r in queries.runners()), default=timedelta(minutes=1)),
            meters=meters,
            clock=clock,
            pause=scored.due_in,
        ),
        loops.Loop("anomalies", recorder.turn, interval=RECORD_EVERY, meters=meters, clock=clock),
    ]
    said = judging.Judging(
        episodes.PostgresEpisodeStore(store).judged,
        anomalies.PostgresAnomalyStore(store),
        lambda: {each.spec.name: each for each in queries.runners()},
        clock=clock,
    )
    running.append(
        loops.Loop("judgements", said.turn, interval=judging.EVERY, meters=meters, clock=clock)
    )
    foreseen = forecasting.Forecasts(queries.forecasters, meters=meters)
    running.append(
        loops.Loop("forecasts", foreseen.turn, interval=FORECAST_EVERY, meters=meters, clock=clock)
    )
    if settings.detection.self_test_every:
        tests = self_test.SelfTest(
            queries,
            reader=reads,
            every=settings.detection.self_test_every,
            meters=meters,
            clock=clock,
        )
        running.append(
            loops.Loop(
                "self_test", tests.turn, interval=SELF_TEST_EVERY, meters=meters, clock=clock
            )
        )
    if settings.ml_detection_enabled:
        refits = cycles.Refits(queries, log=fits.PostgresFitLog(store), meters=meters, clock=clock)
        running.append(
            loops.Loop("refits", refits.turn, interval=REFIT_EVERY, meters=meters, clock=clock)
        )
    reloads = reloading.Reloading(
        settings,
        load=load,
        check=checks.require_queries,
        make=member,
        queries=queries,
        meters=meters,
        clock=clock,
    )
    collects = collecting.Collecting(queries, workers=settings.detection.workers)
    return Detection(scored, writes, tuple(running), recorder, reloads, collects)


def _dropped(meters: telemetry.Telemetry, reason: str) -> Callable[[int], None]:
    """Counts anomalies that are given up for this reason."""
    dropped = meters.loop_dropped.labels("anomalies", reason)
    return lambda count: dropped.inc(count)


def _runner(
    settings: config.Settings,
    query: config.Query,
    reads: reader.Reader,
    writes: ports.ScoreWriter,
    calendar: ports.PlannedTime,
    watch: watching.Watch,
    meters: telemetry.Telemetry,
    clock: Callable[[], float],
) -> scoring.QueryRunner:
    return scoring.QueryRunner(
        scoring.Spec(
            name=query.name,
            expr=settings.expr_of(query),
            step=settings.step_of(query),
            history=query.history,
            catch_up=settings.detection.catch_up,
            series_ttl=settings.detection.series_ttl,
            false_alarm_memory=budget.false_alarm_memory(budget.parse_budget(query.budget)),
        ),
        reader=reads,
        writer=writes,
        make_scorer=scorer_factory(settings, query),
        calendar=calendar,
        watch=watch,
        meters=meters,
        clock=clock,
    )


def _forecaster(
    settings: config.Settings,
    query: config.Query,
    reads: reader.Reader,
    writes: ports.ScoreWriter,
    clock: Callable[[], float],
) -> forecasting.Forecaster:
    return forecasting.Forecaster(
        query.name,
        settings.expr_of(query),
        settings.step_of(query),
        query.forecast,
        limits=limits_of(query),
        reader=reads,
        writer=writes,
        clock=clock,
    )


def limits_of(query: config.Query) -> exhaustion.Limits | None:
    """What may run out; None if that is not asked for."""
    if query.exhaustion is None:
        return None
    return exhaustion.Limits(*_range_of(query), query.exhaustion)


def _range_of(query: config.Query) -> tuple[float, float]:
    low, high = query.valid_range
    return -math.inf if low is None else low, math.inf if high is None else high


def scorer_factory(
    settings: config.Settings, query: config.Query
) -> Callable[[], models_scoring.QueryScorer]:
    """Makes fresh scorers of this query, the same for the server and for a backtest."""
    chosen = ensembles.ensemble_of(settings, query)
    return lambda: models_scoring.QueryScorer(
        step=settings.step_of(query),
        budget=budget.parse_budget(query.budget),
        limits=gates_of(query),
        models=chosen.models,
        streaming=chosen.streaming,
        cheap=query.tier == "cheap",
        emits=query.emit_models,
        group_by=query.group_by,
        zone=query.timezone,
        seed=settings.detection.seed,
    )


def gates_of(query: config.Query) -> gates.Gates:
    """What the query's owner does not call an anomaly."""
    return gates.Gates(
        direction=gates.Direction(query.direction.value),
        min_deviation=query.min_deviation,
        min_relative_deviation=query.min_relative_deviation,
        band_scale=query.band_scale,
        valid_range=_range_of(query),
        min_samples=query.min_samples,
    )


def watched(settings: config.Settings) -> dict[str, advising.Watched]:
    """The queries that are scored, by name, as far as advice on policies goes."""
    if not settings.anomaly_detection_enabled:
        return {}
    return {
        query.name: advising.Watched(
            query.name,
            settings.expr_of(query),
            budget.parse_budget(query.budget),
            query.valid_range,
        )
        for query in settings.all_queries()
    }
