"""From a query's past to the settings that suit it, with the reason.

The past is that of a query in Prometheus, or of the series of a file, those of each dataset and
step for themselves. It is cut in three: the first quarter is only learned from, on the next part
the candidates are compared, and on the last part, held back, the chosen one is measured beside the
settings as they are.
A candidate is a model and a width of the band. Its width is the narrowest of those with which it
keeps to the budget; among those that do, the one that finds most of the trouble put into copies of
the series is chosen, a later one only if it finds MORE more. So no labels are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from detector import config, detecting, errors, planning, variants
from detector.backtest import job as backtest_job
from detector.backtest import results
from detector.files import labels as label_files
from detector.models import budget as budgets
from detector.models import smoothing
from detector.score import job as score_job
from detector.score import progress, recorded
from detector.services import file_scoring, outcomes, pasts, tuning

DAYS = 14.0
"""Of a history in Prometheus that are looked at; of a file all are."""
LEAST = timedelta(days=2)
SAMPLES_NEEDED = 280
"""Of a series, so that in what is compared, .375 of them, an epoch begins with a whole tail."""
NARROW, PLAIN, WIDER = 0.8, 1.0, (1.25, 1.5, 2.0, 3.0)
"""Widths of the band that are tried."""
MORE = 0.02
"""Share of the trouble that a later candidate has to find beyond the best before it."""
OF_NOW = "as it is"
BESIDE = ("hbos", "pca", "gmm")
"""Fitted models that, as smoothers, are tried one at a time beside the streaming members."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line; None: as the settings, the meta or the file say."""

    file: Path | None = None
    query: str | None = None
    expr: str | None = None
    days: float | None = None
    step: str | None = None
    meta: Path | None = None
    value_column: str = "value"
    labels: Path | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings of a query, and how they did where candidates are compared.

    changes  keys of the query and their values, as YAML has them
    """

    name: str
    changes: dict[str, object]
    tried: tuning.Tried
    keeps_to_budget: bool


@dataclass(frozen=True, slots=True)
class Tuning:
    """What came of one query.

    under             what the configuration calls it
    allowed_per_week  by the query's budget, of all its series
    held_back         how the settings of now and the chosen ones did where nothing was chosen
    """

    subject: str
    under: str
    days: float
    allowed_per_week: float
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    held_back: tuple[tuning.Tried, tuning.Tried]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it all: of one query, or of each that a file holds.

    left_out  lines that say of which of them nothing came, and why
    """

    file: Path | None
    tunings: tuple[Tuning, ...]
    left_out: tuple[str, ...] = ()


Events = Sequence[Sequence[outcomes.Span]]


def run(
    settings: config.Settings,
    options: Options,
    *,
    now_ms: int,
    config_file: Path | None = None,
) -> Outcome:
    """Raises ConfigError for what is wrong or too short, UpstreamError where Prometheus fails."""
    backtest_job.check_subject("autotune", options.file, options.query, options.expr)
    if options.days is not None:
        backtest_job.check_days(options.days)
    (variant,) = variants.variants_of(
        settings,
        file=config_file,
        others=(),
        query=options.query,
        expr=options.expr,
        budget_texts=(),
        ml=None,
    )
    events = label_files.read_events(options.labels) if options.labels else None
    if options.file is not None:
        return _of_file(variant, options.file, options, events)
    step = score_job.parse_step(options.step) or settings.step_of(variant.query)
    query = variant.at(step).model_copy(update={"history": timedelta(0)})
    ask, _ = backtest_job.ask_for(settings, query, options.days or DAYS, now_ms)
    subject = options.query or str(options.expr)
    history = backtest_job.read_history(settings, ask, subject)
    planned = planning.Planning(settings).planned_time(query.calendar)
    past = pasts.HistoryPast(history, planned)
    known = None
    if events is not None:
        known = backtest_job.spans_of(events, past.names, past.labels)
    try:
        return Outcome(None, (tune(settings, query, past, subject=subject, events=known),))
    except errors.NotEnoughData as error:
        raise errors.ConfigError(str(error)) from None


def _of_file(
    variant: variants.Variant,
    file: Path,
    options: Options,
    events: tuple[label_files.Event, ...] | None,
) -> Outcome:
    given = recorded.read(
        file,
        meta=options.meta,
        value_column=options.value_column,
        labels=variant.query.group_by,
    )
    every = variant.settings.metric_collection_interval
    step = score_job.parse_step(options.step)
    series = given.series(variant.query, step=step, else_step=every)
    names = list(given.table.ids)
    known = None
    if events is not None:
        known = backtest_job.spans_of(events, names, [() for _ in names])
    queries = file_scoring.queries_of(series)
    found, left_out = [], []
    for (dataset, own_step), places in queries.items():
        subject = str(file)
        if len(queries) > 1:
            subject += f": {dataset or 'series'} at {results.span(own_step.total_seconds())}"
        try:
            kept = _within(series, places, options.days, subject)
            past = pasts.FilePast([names[place] for place in kept], tuple(kept.values()))
            found.append(
                tune(
                    variant.settings,
                    variant.at(own_step),
                    past,
                    subject=subject,
                    under=options.query or "the query of these series",
                    events=None if known is None else [known[place] for place in kept],
                )
            )
        except errors.NotEnoughData as error:
            left_out.append(str(error))
    if not found:
        raise errors.ConfigError("; ".join(left_out))
    return Outcome(file, tuple(found), tuple(left_out))


def _within(
    series: Sequence[file_scoring.Series], places: Sequence[int], days: float | None, subject: str
) -> dict[int, file_scoring.Series]:
    """Those that have samples in the last days, by their places."""
    chosen = {place: series[place] for place in places}
    if days is not None:
        end_ms = max(int(each.times_ms[-1]) for each in chosen.values())
        chosen = {place: pasts.last_days(each, days, end_ms) for place, each in chosen.items()}
    kept = {place: each for place, each in chosen.items() if np.isfinite(each.values).any()}
    if not kept:
        raise errors.NotEnoughData(f"{subject}: not one sample")
    return kept


def tune(
    settings: config.Settings,
    query: config.Query,
    past: pasts.Past,
    *,
    subject: str,
    under: str | None = None,
    events: Events | None = None,
) -> Tuning:
    """Compare the candidates of a query on its past.

    under   what the configuration calls the query, where that is not the subject
    events  what is known to have happened to each series: told of what was held back, not used
    Raises NotEnoughData if the past is too short, or has no series that can be compared on.
    """
    if past.held < LEAST:
        raise errors.NotEnoughData(
            f"{subject}: {past.held / timedelta(days=1):.1f} days of history: "
            f"{LEAST / timedelta(days=1):g} are needed"
        )
    counted = past.counted(pasts.Part.COMPARED)
    if not pasts.covered(counted):
        raise errors.NotEnoughData(
            f"{subject}: all is only learned from: a smaller train_n is needed"
        )
    choices = list(_choices(settings, query))

    def try_on(
        part: pasts.Part, known: Events | None
    ) -> Callable[[dict[str, object]], tuning.Tried]:
        return lambda changes: tuning.try_out(
            past,
            detecting.scorer_factory(settings, query.model_copy(update=_parsed(changes)))(),
            part,
            events=known,
        )

    compare, hold = try_on(pasts.Part.COMPARED, None), try_on(pasts.Part.HELD_BACK, events)
    allowed = results.allowed_per_week(
        budgets.parse_budget(query.budget), pasts.series_at_a_time(counted)
    )
    candidates: list[Candidate] = []
    with progress.shown(len(choices) + 1, word="tried", unit=f"ways of {subject}") as advance:
        for name, changes in choices:
            found = _candidate(name, changes, compare, allowed)
            if found.tried.found is None:
                raise errors.NotEnoughData(
                    f"{subject}: no series without gaps and anomalies where candidates are "
                    f"compared: whole series of {SAMPLES_NEEDED} samples or more are needed, from "
                    "a query, a file or a time (--days) that has them"
                )
            candidates.append(found)
            advance(1)
        chosen = _best(tuple(candidates))
        of_now = hold({})
        held_back = (of_now, hold(chosen.changes) if chosen.changes else of_now)
        advance(1)
    return Tuning(
        subject,
        under or subject,
        past.held / timedelta(days=1),
        allowed,
        tuple(candidates),
        chosen,
        held_back,
    )


def _choices(
    settings: config.Settings, query: config.Query
) -> Iterator[tuple[str, dict[str, object]]]:
    """Names and changes of the candidates, the plainest first."""
    yield OF_NOW, {}
    yield "streaming", {"model": "streaming"}
    beside: tuple[str, ...] = smoothing.NAMES
    if settings.ml_detection_enabled:
        yield "ensemble", {"model": "ensemble", "models": []}
        beside = (*BESIDE, *beside)
    for name in beside:
        yield f"ensemble with {name}", {"model": "ensemble", "models": [{"name": name}]}


def _parsed(changes: dict[str, object]) -> dict[str, object]:
    """The changes as config.Query holds them."""
    parsed = config.Query.model_validate({"name": "any", "expr": "any", **changes})
    return {key: getattr(parsed, key) for key in changes}


def _candidate(
    name: str,
    changes: dict[str, object],
    compare: Callable[[dict[str, object]], tuning.Tried],
    allowed: float,
) -> Candidate:
    """The candidate at the narrowest width that keeps to the budget; the widest if none does. The
    settings of now keep their own."""
    if not changes:
        tried = compare({})
        return Candidate(name, {}, tried, tried.per_week <= allowed)
    tried = compare(changes | {"band_scale": PLAIN})
    if tried.per_week <= allowed:
        narrow = compare(changes | {"band_scale": NARROW})
        if narrow.per_week <= allowed:
            return _of_width(name, changes, NARROW, narrow, keeps_to_budget=True)
        return _of_width(name, changes, PLAIN, tried, keeps_to_budget=True)
    for width in WIDER:
        tried = compare(changes | {"band_scale": width})
        if tried.per_week <= allowed:
            break
    return _of_width(name, changes, width, tried, keeps_to_budget=tried.per_week <= allowed)


def _of_width(
    name: str,
    changes: dict[str, object],
    width: float,
    tried: tuning.Tried,
    *,
    keeps_to_budget: bool,
) -> Candidate:
    return Candidate(
        f"{name}, band x {width:g}", changes | {"band_scale": width}, tried, keeps_to_budget
    )


def _best(candidates: tuple[Candidate, ...]) -> Candidate:
    """Of those that keep to the budget the one that finds most; as it is if none does."""
    fit = [each for each in candidates if each.keeps_to_budget] or [candidates[0]]
    best = fit[0]
    for each in fit[1:]:
        if (each.tried.found or 0.0) > (best.tried.found or 0.0) + MORE:
            best = each
    return best
