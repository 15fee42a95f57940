"""From a query's past to the settings that suit it, with the reason.

The past is cut in three: the first quarter is only learned from, on the next part the candidates
are compared, and on the last part, held back, the chosen one is measured beside the settings as
they are.
A candidate is a model and a width of the band. Its width is the narrowest of those with which it
keeps to the budget; among those that do, the one that finds most of the trouble put into copies of
the series is chosen, a later one only if it finds MORE more. So no labels are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from detector import app, config, errors, frames, planning, variants
from detector.backtest import job as backtest_job
from detector.backtest import results
from detector.models import budget as budgets
from detector.models import smoothing
from detector.score import job as score_job
from detector.score import progress
from detector.services import backtesting, tuning

LEARNED, COMPARED = 0.25, 0.625
"""Parts of the past up to which is learned, and compared."""
LEAST = timedelta(days=2)
NARROW, PLAIN, WIDER = 0.8, 1.0, (1.25, 1.5, 2.0, 3.0)
"""Widths of the band that are tried."""
MORE = 0.02
"""Share of the trouble that a later candidate has to find beyond the best before it."""
OF_NOW = "as it is"
BESIDE = ("hbos", "pca", "gmm")
"""Fitted models that, as smoothers, are tried one at a time beside the streaming members."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    query: str | None
    expr: str | None
    days: float
    step: str | None


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
    """What came of it.

    allowed_per_week  by the query's budget, of all its series
    held_back         how the settings of now and the chosen ones did where nothing was chosen
    """

    subject: str
    days: float
    allowed_per_week: float
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    held_back: tuple[tuning.Tried, tuning.Tried]


def run(
    settings: config.Settings,
    options: Options,
    *,
    now_ms: int,
    config_file: Path | None = None,
) -> Tuning:
    """Raises ConfigError for what is wrong or too short, UpstreamError where Prometheus fails."""
    if (options.query is None) == (options.expr is None):
        raise errors.ConfigError("autotune: one of --query NAME and --expr PROMQL is needed")
    if not 0 < options.days <= backtest_job.LONGEST_DAYS:
        raise errors.ConfigError(
            f"--days: {options.days:g}: above 0 to {backtest_job.LONGEST_DAYS} is allowed"
        )
    (variant,) = variants.variants_of(
        settings,
        file=config_file,
        others=(),
        query=options.query,
        expr=options.expr,
        budget_texts=(),
        ml=None,
    )
    step = score_job.parse_step(options.step) or settings.step_of(variant.query)
    query = variant.at(step).model_copy(update={"history": timedelta(0)})
    ask, _ = backtest_job.ask_for(settings, query, options.days, now_ms)
    subject = options.query or str(options.expr)
    history = backtest_job.read_history(settings, ask, subject)
    return tune(settings, query, history, subject=subject)


def tune(
    settings: config.Settings, query: config.Query, history: backtesting.History, *, subject: str
) -> Tuning:
    """Compare the candidates of a query on a history.

    Raises ConfigError if it is too short, or has no series that can be compared on.
    """
    history = _from_first_sample(history)
    times_ms = history.frame.times_ms
    held = timedelta(milliseconds=int(times_ms[-1] - times_ms[0]))
    if held < LEAST:
        raise errors.ConfigError(
            f"{subject}: {held / timedelta(days=1):.1f} days of history: "
            f"{LEAST / timedelta(days=1):g} are needed"
        )
    cuts = [
        int(times_ms[0] + part * (times_ms[-1] - times_ms[0])) for part in (LEARNED, COMPARED, 1.0)
    ]
    planned = planning.Planning(settings).planned_time(query.calendar)
    choices = list(_choices(settings, query))

    def try_on(first_ms: int, end_ms: int) -> Callable[[dict[str, object]], tuning.Tried]:
        return lambda changes: tuning.try_out(
            history,
            app.scorer_factory(settings, query.model_copy(update=_parsed(changes)))(),
            first_ms=first_ms,
            end_ms=end_ms,
            calendar=planned,
        )

    compare, hold = try_on(cuts[0], cuts[1]), try_on(cuts[1], cuts[2] + 1)
    allowed = results.allowed_per_week(
        budgets.parse_budget(query.budget), float(len(history.labels))
    )
    candidates: list[Candidate] = []
    with progress.shown(len(choices) + 1, word="tried", unit="ways") as advance:
        for name, changes in choices:
            found = _candidate(name, changes, compare, allowed)
            if found.tried.found is None:
                raise errors.ConfigError(
                    f"{subject}: no series without gaps and anomalies where candidates are "
                    "compared: a query or a time (--days) with whole series is needed"
                )
            candidates.append(found)
            advance(1)
        chosen = _best(tuple(candidates))
        of_now = hold({})
        held_back = (of_now, hold(chosen.changes) if chosen.changes else of_now)
        advance(1)
    days = held / timedelta(days=1)
    return Tuning(subject, days, allowed, tuple(candidates), chosen, held_back)


def _from_first_sample(history: backtesting.History) -> backtesting.History:
    """What was asked for may reach further back than what there is."""
    frame = history.frame
    first = int(np.isfinite(frame.values).any(axis=1).argmax())
    held = frames.Frame(frame.times_ms[first:], frame.values[first:], frame.step_ms)
    return backtesting.History(history.labels, held)


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
