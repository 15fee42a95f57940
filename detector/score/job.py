"""The series of a file in, the same rows with their scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from detector import config, detecting, errors, frames, variants
from detector.files import metas, outputs, tables
from detector.score import progress, recorded
from detector.services import file_scoring


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line; None: as the settings, the meta or the file say."""

    file: Path
    out: Path
    meta: Path | None = None
    value_column: str = "value"
    query: str | None = None
    budget: str | None = None
    step: str | None = None
    ml: bool | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What was scored; incidents are the times that an anomaly opened."""

    file: str
    out: str
    rows: int
    samples: int
    series: int
    queries: int
    above_threshold: int
    incidents: int

    def __str__(self) -> str:
        """The line for a person."""
        return (
            f"{self.out}: {self.rows} rows of {self.series} series, "
            f"{self.above_threshold} above 1 in {self.incidents} incidents"
        )


def run(settings: config.Settings, options: Options, *, config_file: Path | None = None) -> Summary:
    """Score the file and write the scores. Raises ConfigError."""
    (variant,) = variants.variants_of(
        settings,
        file=config_file,
        query=options.query,
        budget_texts=() if options.budget is None else (options.budget,),
        ml=options.ml,
    )
    step = parse_step(options.step)
    with outputs.open_output(options.out) as write:
        given = recorded.read(
            options.file,
            meta=options.meta,
            value_column=options.value_column,
            labels=variant.query.group_by,
        )
        every = settings.metric_collection_interval
        series = given.series(variant.query, step=step, else_step=every)
        with progress.shown(len(given.table.values)) as advance:
            parts = file_scoring.score_series(
                series,
                make_scorer=lambda step: detecting.scorer_factory(
                    variant.settings, variant.at(step)
                )(),
                advance=advance,
            )
        write(given.table, in_file_order(given.table, parts))
    return _summary(options, series, parts)


def in_file_order(table: tables.Table, parts: Sequence[frames.Scores]) -> frames.Scores:
    """The scores of the series as [R, 1] columns, in the order of the table's rows."""
    order = np.concatenate(table.rows_of_series())
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return frames.Scores(
        times_ms=table.times_ms,
        score=np.concatenate([part.score for part in parts])[back],
        expected=np.concatenate([part.expected for part in parts])[back],
        lower=np.concatenate([part.lower for part in parts])[back],
        upper=np.concatenate([part.upper for part in parts])[back],
        drift=np.concatenate([part.drift for part in parts])[back],
        kind=np.concatenate([part.kind for part in parts])[back],
    )


def parse_step(text: str | None) -> timedelta | None:
    """The step that --step states; None where it is not given. Raises ConfigError."""
    if text is None:
        return None
    try:
        step = config.parse_duration(text)
    except ValueError as error:
        raise errors.ConfigError(f"--step: {text!r}: {error}") from None
    if not isinstance(step, timedelta) or not metas.SHORTEST_STEP <= step <= metas.LONGEST_STEP:
        raise errors.ConfigError(f"--step: {text!r}: {metas.STEP_ALLOWED}")
    return step


def _summary(
    options: Options, series: Sequence[file_scoring.Series], parts: Sequence[frames.Scores]
) -> Summary:
    return Summary(
        file=str(options.file),
        out=str(options.out),
        rows=sum(len(each.values) for each in series),
        samples=sum(int(np.isfinite(each.values).sum()) for each in series),
        series=len(series),
        queries=len(file_scoring.queries_of(series)),
        above_threshold=sum(int((part.score > 1).sum()) for part in parts),
        incidents=sum(_openings(part.kind[:, 0]) for part in parts),
    )


def _openings(kinds: frames.Bytes) -> int:
    before = np.concatenate([[0], kinds[:-1]])
    return int(((kinds != 0) & (kinds != before)).sum())
