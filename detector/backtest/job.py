"""A backtest from its options to its results."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from detector import checks, config, detecting, errors, frames, variants
from detector.backtest import results
from detector.files import labels as label_files
from detector.prometheus import selectors
from detector.score import job as score_job
from detector.score import progress, recorded
from detector.services import backtesting, expectation, file_scoring, matching, outcomes

WEEK_MS = 7 * 86_400_000
LONGEST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line; None: as the settings, the meta or the file say."""

    file: Path | None = None
    query: str | None = None
    expr: str | None = None
    days: float = 7.0
    step: str | None = None
    meta: Path | None = None
    value_column: str = "value"
    labels: Path | None = None
    compare: tuple[Path, ...] = ()
    budget: tuple[str, ...] = ()
    ml: bool | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results, and the series as the first configuration scored them, in the same order."""

    found: results.Backtest
    scored: tuple[outcomes.Scored, ...]


Score = Callable[[variants.Variant], tuple[outcomes.Scored, ...]]


def run(
    settings: config.Settings, options: Options, *, now_ms: int, config_file: Path | None = None
) -> Outcome:
    """The backtest. Raises ConfigError for what is wrong, UpstreamError where Prometheus fails."""
    _check(options)
    compared = variants.variants_of(
        settings,
        file=config_file,
        others=options.compare,
        query=options.query,
        expr=options.expr,
        budget_texts=options.budget,
        ml=options.ml,
    )
    events = label_files.read_events(options.labels) if options.labels else None
    if options.file is not None:
        score = _from_file(options.file, options, compared)
        return _whole(str(options.file), compared, score, events, ())
    return _live(options, compared, events, now_ms)


def _check(options: Options) -> None:
    check_subject("backtest", options.file, options.query, options.expr)
    check_days(options.days)


def check_subject(command: str, file: Path | None, query: str | None, expr: str | None) -> None:
    """Raise ConfigError unless a command is told of one thing to look at; of a file --query names
    the settings."""
    given = [file, query if file is None else None, expr]
    if sum(each is not None for each in given) != 1:
        raise errors.ConfigError(
            f"{command}: one of FILE, --query NAME and --expr PROMQL is needed"
        )


def check_days(days: float) -> None:
    """Raise ConfigError for --days that is none."""
    if not 0 < days <= LONGEST_DAYS:
        raise errors.ConfigError(f"--days: {days:g}: above 0 to {LONGEST_DAYS} is allowed")


def _live(
    options: Options,
    compared: Sequence[variants.Variant],
    events: tuple[label_files.Event, ...] | None,
    now_ms: int,
) -> Outcome:
    histories: dict[backtesting.Ask, backtesting.History] = {}
    step = score_job.parse_step(options.step)
    first = compared[0]
    subject = first.query.name if options.query else str(options.expr)

    def score(variant: variants.Variant) -> tuple[outcomes.Scored, ...]:
        query = variant.at(step or variant.settings.step_of(variant.query))
        ask, counted_ms = ask_for(variant.settings, query, options.days, now_ms)
        if ask not in histories:
            histories.clear()  # one at a time: it is as large as memory allows
            histories[ask] = read_history(variant.settings, ask, subject)
        history = histories[ask]
        with progress.shown(history.frame.values.size) as advance:
            return backtesting.score_history(
                history,
                detecting.scorer_factory(variant.settings, query)(),
                counted_ms=counted_ms,
                calendar=variant.plans.planned_time(query.calendar),
                advance=advance,
            )

    return _whole(subject, compared, score, events, _notes(options.days, first.query.history))


def _notes(days: float, history: timedelta) -> Callable[[Sequence[outcomes.Scored]], list[str]]:
    def notes(scored: Sequence[outcomes.Scored]) -> list[str]:
        present = [np.flatnonzero(np.isfinite(each.values)) for each in scored]
        firsts = [
            int(each.times_ms[at[0]]) for each, at in zip(scored, present, strict=True) if at.size
        ]
        asked = timedelta(days=days) + history
        held = timedelta(milliseconds=int(scored[0].times_ms[-1]) - min(firsts))
        if held >= asked - 2 * scored[0].step:
            return []
        day = timedelta(days=1)
        said = (
            f"Prometheus holds {held / day:.1f} of the {asked / day:.1f} days asked for "
            f"({days:g} and {history / day:g} to learn from); young series may alarm more often"
        )
        return [said]

    return notes


def ask_for(
    settings: config.Settings, query: config.Query, days: float, now_ms: int
) -> tuple[backtesting.Ask, int]:
    """What to read of a query, and from when on it counts."""
    step = settings.step_of(query)
    step_ms = round(step / timedelta(milliseconds=1))
    end_ms = now_ms // step_ms * step_ms
    counted_ms = end_ms - int(days * 86_400_000) // step_ms * step_ms
    learned_ms = query.history // timedelta(milliseconds=1) // step_ms * step_ms
    expr = settings.expr_of(query)
    return backtesting.Ask(expr, step, max(counted_ms - learned_ms, 0), end_ms), counted_ms


def read_history(
    settings: config.Settings, ask: backtesting.Ask, subject: str
) -> backtesting.History:
    """The samples of a query, with a progress bar. Raises ConfigError for PromQL that is wrong and
    for too few or too many samples; UpstreamError."""
    try:
        selectors.parse(ask.expr)
        reader = checks.connect(settings)
        reader.validate(ask.expr)
        with progress.shown(ask.steps, word="read") as advance:
            return backtesting.read_history(reader, ask, advance=advance)
    except errors.UpstreamError as error:
        if error.kind == "query":
            raise errors.ConfigError(f"{subject}: {error}") from None
        raise
    except errors.NotEnoughData as error:
        raise errors.ConfigError(f"{subject}: {error}") from None


def _from_file(file: Path, options: Options, compared: Sequence[variants.Variant]) -> Score:
    given = recorded.read(
        file,
        meta=options.meta,
        value_column=options.value_column,
        labels=[name for variant in compared for name in variant.query.group_by],
    )

    def score(variant: variants.Variant) -> tuple[outcomes.Scored, ...]:
        series = given.series(
            variant.query,
            step=score_job.parse_step(options.step),
            else_step=variant.settings.metric_collection_interval,
        )
        with progress.shown(len(given.table.values)) as advance:
            parts = file_scoring.score_series(
                series,
                make_scorer=lambda step: detecting.scorer_factory(
                    variant.settings, variant.at(step)
                )(),
                advance=advance,
            )
        return tuple(
            file_scoring.scored_of(name, each, part, counted=each.past)
            for name, each, part in zip(given.table.ids, series, parts, strict=True)
        )

    return score


Notes = Callable[[Sequence[outcomes.Scored]], list[str]]


def _whole(
    subject: str,
    compared: Sequence[variants.Variant],
    score: Score,
    events: tuple[label_files.Event, ...] | None,
    notes: Notes | tuple[()],
) -> Outcome:
    found: list[results.VariantResult] = []
    said: list[str] = []
    kept: tuple[outcomes.Scored, ...] = ()
    for variant in compared:
        scored = score(variant)
        found.append(_result(variant, scored, events))
        if not kept:
            kept = scored
            said = notes(scored) if notes else []
    start_ms, end_ms = _counted_time(kept)
    return Outcome(results.Backtest(subject, start_ms, end_ms, tuple(found), tuple(said)), kept)


def _result(
    variant: variants.Variant,
    scored: Sequence[outcomes.Scored],
    events: tuple[label_files.Event, ...] | None,
) -> results.VariantResult:
    every = variant.settings.metric_collection_interval
    incidents = [outcomes.incidents_of(each) for each in scored]
    known = spans_of(events or (), [each.name for each in scored], [each.labels for each in scored])
    start_ms, end_ms = _counted_time(scored)
    weeks = (end_ms - start_ms) / WEEK_MS
    expected = None
    with contextlib.suppress(errors.NotEnoughData):
        expected = expectation.expect([dataclasses.replace(each, counted=0) for each in scored])
    # Series that come and go share the budget of those that are there at a time.
    at_a_time = sum(each.days for each in scored) / (weeks * 7.0) if weeks else float(len(scored))
    return results.VariantResult(
        name=variant.name,
        budget=variant.query.budget,
        allowed_per_week=results.allowed_per_week(variant.budget, at_a_time),
        weeks=weeks,
        series=tuple(
            results.SeriesResult(
                each.name,
                each.days,
                told,
                outcomes.alerts_of(each, evaluated_every=every),
                spans,
            )
            for each, told, spans in zip(scored, incidents, known, strict=True)
        ),
        quality=matching.quality_of(scored, incidents, known) if events is not None else None,
        expected=expected,
    )


def spans_of(
    events: tuple[label_files.Event, ...], names: list[str], labels: list[frames.Labels]
) -> list[tuple[outcomes.Span, ...]]:
    """When each of these series was truly anomalous. Raises ConfigError for an event of none."""
    theirs = label_files.events_by_series(events, names, labels)
    return [tuple(outcomes.Span(event.start_ms, event.end_ms) for event in one) for one in theirs]


def _counted_time(scored: Sequence[outcomes.Scored]) -> tuple[int, int]:
    """First counted sample to the last, of all series."""
    firsts, lasts = [], []
    for each in scored:
        at = np.flatnonzero(np.isfinite(each.values[each.counted :]))
        if at.size:
            firsts.append(int(each.times_ms[each.counted + at[0]]))
            lasts.append(int(each.times_ms[each.counted + at[-1]]))
    if not firsts:
        raise errors.ConfigError("backtest: no sample is left to count: all is only learned from")
    return min(firsts), max(lasts)
