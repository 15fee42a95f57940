"""How many incidents a week each query will bring, by a quick backtest of a part of its past."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from detector import checks, config, detecting, errors, frames, planning
from detector.backtest import results
from detector.policy import promql
from detector.prometheus import reader, selectors, shards
from detector.services import backtesting, expectation

LOOK_BACK = timedelta(days=14)
MOST_SAMPLES = 300_000
"""Of one query: a second of scoring."""
WITHIN_S = 30.0
"""All queries together; those that are not reached are said."""


@dataclass(frozen=True, slots=True)
class _Sampled:
    """What is read of a query: all of its series, or some of them."""

    expr: str
    span: timedelta
    series: int
    held: int


def checks_of(settings: config.Settings, *, within_s: float = WITHIN_S) -> Iterator[checks.Check]:
    """One check a query: what is expected, or why nothing can be said. None of them is wrong."""
    reads, plans = checks.connect(settings), planning.Planning(settings)
    deadline_s = time.monotonic() + within_s
    for query in settings.all_queries():
        subject = f"query {query.name}: expected"
        if time.monotonic() > deadline_s:
            text = f"not looked at: {within_s:g} s were over; mda backtest --query {query.name}"
            yield checks.Check(checks.Verdict.NOTE, subject, text)
            continue
        try:
            text = _text(settings, query, reads, plans)
        except (errors.UpstreamError, errors.NotEnoughData) as error:
            yield checks.Check(checks.Verdict.NOTE, subject, f"not known: {error}")
        else:
            yield checks.Check(checks.Verdict.OK, subject, text)


def _text(
    settings: config.Settings, query: config.Query, reads: reader.Reader, plans: planning.Planning
) -> str:
    step = settings.step_of(query)
    step_ms = round(step / timedelta(milliseconds=1))
    now_ms = int(time.time() * 1000)  # noqa: TID251 - says what the present is
    end_ms = now_ms // step_ms * step_ms
    sampled = _sample(settings.expr_of(query), reads, step, end_ms)
    span_ms = sampled.span // timedelta(milliseconds=1) // step_ms * step_ms
    ask = backtesting.Ask(sampled.expr, step, end_ms - span_ms, end_ms)
    history = backtesting.read_history(reads, ask, advance=_quietly, most_samples=4 * MOST_SAMPLES)
    scored = backtesting.score_history(
        history,
        detecting.scorer_factory(settings, query)(),
        counted_ms=ask.start_ms,
        calendar=plans.planned_time(query.calendar),
        advance=_quietly,
    )
    found = scaled(expectation.expect(scored), sampled.held / sampled.series)
    part = "all" if sampled.series == sampled.held else f"{sampled.series} of"
    steps = np.flatnonzero(np.isfinite(history.frame.values).any(axis=1))
    days = int(steps[-1] - steps[0]) * (step / timedelta(days=1))
    return f"{results.expected_text(found)}; from {part} {sampled.held} series, {days:.3g} days"


def scaled(found: expectation.Expectation, ratio: float) -> expectation.Expectation:
    """The same for a query of which this were the part that was looked at."""
    return expectation.Expectation(
        per_week=found.per_week * ratio,
        low=found.low * ratio,
        high=found.high * ratio,
        incidents=found.incidents,
        series_days=found.series_days,
        later_per_week=found.later_per_week * ratio,
    )


def _sample(expr: str, reads: reader.Reader, step: timedelta, end_ms: int) -> _Sampled:
    """As many series as MOST_SAMPLES of LOOK_BACK allow where the query is a plain selector, else
    all of them and less time.

    Raises UpstreamError; NotEnoughData where there is none now, or too many to look at.
    """
    table = frames.SeriesTable()
    present = np.isfinite(reads.read_instant(expr, at_ms=end_ms, table=table))
    labels = [each for each, is_there in zip(table.labels, present, strict=True) if is_there]
    held = [each for each in labels if each is not None]
    if not held:
        raise errors.NotEnoughData("no series now")
    room = MOST_SAMPLES / (LOOK_BACK / step)
    if len(held) <= room:
        return _Sampled(expr, LOOK_BACK, len(held), len(held))
    matchers = selectors.plain_matchers(expr)
    if matchers is not None:
        parts = -(-len(held) // max(int(room), 1))
        part = promql.matchers(shards.split(matchers, held, parts)[0])
        table = frames.SeriesTable()
        found = np.isfinite(reads.read_instant(part, at_ms=end_ms, table=table))
        series = max(int(found.sum()), 1)
        if series <= 2 * max(room, 1):
            return _Sampled(part, LOOK_BACK, series, len(held))
    span = MOST_SAMPLES / len(held) * step
    if span < expectation.LEAST:
        raise errors.NotEnoughData(
            f"{len(held)} series are too many for a quick look; mda backtest takes its time"
        )
    return _Sampled(expr, span, len(held), len(held))


def _quietly(_: int) -> None:
    """For progress that nobody watches."""
