"""`mda policy preview`: what policies in files would have fired on Prometheus' history."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from detector import checks, config, detecting, errors
from detector.files import policies as files
from detector.policy import compiler
from detector.policy.conditions import base
from detector.score import progress
from detector.services import advising, previewing, previews

LONGEST_DAYS = 366
SHORTEST_STEP, LONGEST_STEP = timedelta(seconds=1), timedelta(days=1)
MOST_STEPS = 250_000
"""Evaluations of one preview: half a minute of work for each rule."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; step None: as often as metrics are collected."""

    paths: tuple[Path, ...]
    days: float = 7.0
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Previewed:
    """A policy's preview, and its file."""

    source: str
    found: previews.Preview


def run(settings: config.Settings, options: Options, *, now: datetime) -> list[Previewed]:
    """The previews of all policies. Raises PolicyError with all faults, ConfigError for options,
    paths and for too much, UpstreamError where Prometheus fails."""
    period = _period(settings, options, now)
    loaded = files.load(options.paths)
    given = base.Given(settings.thresholds, now)
    files.each_made(
        loaded, lambda each: compiler.rules(each.document, 0, given, source=str(each.file))
    )
    reader = checks.connect(settings)
    previewer = previewing.Previewer(
        reader,
        given,
        advise=advising.Adviser(reader, lambda: detecting.watched(settings)).advice,
    )
    reads = sum(previewer.reads(each.document) for each in loaded)
    with progress.shown(reads * period.steps, word="read", unit="evaluations") as advance:
        shown = dataclasses.replace(previewer, advance=advance)
        return [_previewed(shown, each, period) for each in loaded]


def _period(settings: config.Settings, options: Options, now: datetime) -> previews.Period:
    if not 0 < options.days <= LONGEST_DAYS:
        raise errors.ConfigError(f"--days: {options.days:g}: above 0 to {LONGEST_DAYS} is allowed")
    step = settings.metric_collection_interval
    if options.step is not None:
        step = _step(options.step)
    period = previews.period_before(now, days=options.days, step=step)
    if period.steps > MOST_STEPS:
        raise errors.ConfigError(
            f"--days: {options.days:g}: {period.steps} evaluations, {step.total_seconds():g} s "
            f"apart: {MOST_STEPS} are allowed: ask for fewer days or, by --step, a longer time "
            "between them"
        )
    return period


def _step(text: str) -> timedelta:
    try:
        step = config.parse_duration(text)
    except ValueError as error:
        raise errors.ConfigError(f"--step: {text!r}: {error}") from None
    if not isinstance(step, timedelta) or not SHORTEST_STEP <= step <= LONGEST_STEP:
        raise errors.ConfigError(f"--step: {text!r}: 1s to 1d is allowed")
    return step


def _previewed(
    previewer: previewing.Previewer, loaded: files.Loaded, period: previews.Period
) -> Previewed:
    document, source = loaded.document, str(loaded.file)
    try:
        return Previewed(source, previewer.preview(document, period, source=source))
    except errors.UpstreamError as error:
        raise errors.UpstreamError(
            f"{source}: {document.name}: {error}", kind=error.kind, retryable=error.retryable
        ) from error
