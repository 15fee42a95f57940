"""Quality on labelled series, beside PyOD's Isolation Forest and TimeSeriesOD, and Grafana's rules.

`LABELLED=FOLDER python -m benchmarks.labelled`; `MODELS="knn holt_winters"` adds the detector with
each of these models beside the streaming members. The folder holds series.parquet (id, ts, value),
labels.parquet (label, 1 = anomalous, row by row), meta.csv (id, dataset, step_s, train_n) and
nab_windows.json (id -> [[first row, last row], ...]). All are fitted on, or learn from, the first
train_n rows of each series, see nothing after the row they score, and are measured after train_n,
at an alarm budget of a quarter a day and series: the detector's threshold comes from that budget,
a peer's is the quantile of its training scores that the budget leaves. TimeSeriesOD as it is gives
a row the score of windows that end after it; here it gets that of the window that it ends.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pyod.models.iforest import IForest
from pyod.models.ts_od import TimeSeriesOD

from benchmarks import grafana_rules, quality, report
from detector import errors, models
from detector.files import metas, tables
from detector.models import budget as budgets
from detector.models import catalogue, scoring, smoothing
from detector.score import recorded
from detector.services import file_scoring
from detector.stack import debian

BUDGET = "0.25 per day per series"
ALARMS_A_DAY = 0.25
SEED = 0
DAY = timedelta(days=1)
COLUMNS = ("VUS-PR", "Fc1", "recall", "false/day")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A folder of labelled series; each tuple has one entry a series."""

    ids: tuple[str, ...]
    series: Sequence[file_scoring.Series]
    labels: Sequence[quality.Bools]
    windows: Mapping[str, Sequence[tuple[int, int]]]


class Verdict(NamedTuple):
    """What the scores of one series are worth; NaN where nothing is labelled."""

    dataset: str
    vus_pr: float
    best_f1: float
    tally: quality.Tally


def read_folder(folder: Path) -> Labelled:
    """The labelled series of the folder. Raises ConfigError, OSError."""
    table = tables.read_table(folder / "series.parquet")
    known = metas.read_metas(folder / "meta.csv")
    labels = pd.read_parquet(folder / "labels.parquet", columns=["label"])["label"].to_numpy() > 0
    windows = json.loads((folder / "nab_windows.json").read_text(encoding="utf-8"))
    return Labelled(
        ids=table.ids,
        series=recorded.series_of(
            table,
            metas.metas_of(table.ids, known, folder / "meta.csv"),
            step=None,
            else_step=timedelta(minutes=1),
        ),
        labels=[labels[rows] for rows in table.rows_of_series()],
        windows={name: [(a, b) for a, b in each] for name, each in windows.items()},
    )


def detector_scores(
    series: Sequence[file_scoring.Series],
    models: Sequence[scoring.Model] = (),
    *,
    cheap: bool = False,
) -> list[quality.Floats]:
    """Scores of the detector, without models as `mda score --no-ml` gives them."""
    allowed = budgets.parse_budget(BUDGET)
    found = file_scoring.score_series(
        series,
        make_scorer=lambda step: scoring.QueryScorer(
            step=step, budget=allowed, models=models, seed=SEED, cheap=cheap
        ),
        advance=lambda _: None,
    )
    return [np.nan_to_num(each.score[:, 0]) for each in found]


def forest_scores(series: Sequence[file_scoring.Series]) -> list[quality.Floats]:
    """Scores of a PyOD Isolation Forest a series: 0 at the median of its training scores, 1 at
    the quantile that the budget leaves."""
    return [_forest_scores(each) for each in series]


def _forest_scores(series: file_scoring.Series) -> quality.Floats:
    values, back = np.unique(series.values, return_inverse=True)
    fitted = IForest(random_state=SEED).fit(series.values[: series.past, np.newaxis])
    raw = fitted.decision_function(values[:, np.newaxis])[back]
    return _at_budget(series, raw)


def windowed_scores(series: Sequence[file_scoring.Series]) -> list[quality.Floats]:
    """Scores of a PyOD TimeSeriesOD a series with its default settings, likewise."""
    return [_windowed_scores(each) for each in series]


def _windowed_scores(series: file_scoring.Series) -> quality.Floats:
    fitted = TimeSeriesOD(IForest(random_state=SEED))
    fitted.fit(series.values[: series.past])
    width = fitted.window_size
    windows = np.lib.stride_tricks.sliding_window_view(series.values, width)
    raw = np.full(len(series.values), np.nan)
    raw[width - 1 :] = fitted.detector_.decision_function(windows)
    return _at_budget(series, raw)


def rules_scores(series: Sequence[file_scoring.Series]) -> list[quality.Floats]:
    """Scores of Grafana's rules, likewise. Raises StackError without a Prometheus to be had."""
    source = debian.Source(Path(".cache/debian"), debian.Suite.HOST, print)
    return list(map(_at_budget, series, grafana_rules.scores(series, source)))


def model_of(name: str) -> scoring.Model:
    """The model of this name of the tables. Raises ValueError if there is none."""
    if name in smoothing.NAMES:
        return smoothing.smoother_of(name, parameters={})
    return catalogue.model_of(name)


def _at_budget(series: file_scoring.Series, raw: quality.Floats) -> quality.Floats:
    """Raw scores so that 0 is the median of the training part's and 1 what the budget leaves."""
    middle = np.nanmedian(raw[: series.past])
    threshold = np.nanquantile(raw[: series.past], 1.0 - ALARMS_A_DAY * (series.step / DAY))
    scores = np.maximum(raw - middle, 0.0) / max(threshold - middle, 1e-9)
    return np.asarray(np.nan_to_num(scores))


def verdict(series: file_scoring.Series, labels: quality.Bools, scores: quality.Floats) -> Verdict:
    """What the scores after the training part are worth."""
    after, known = scores[series.past :], labels[series.past :]
    days = len(known) * (series.step / DAY)
    return Verdict(
        series.query,
        quality.vus_pr(after, known, quality.period(series.values)) if known.any() else np.nan,
        quality.best_event_f1(after, known),
        quality.tally(after, known, days),
    )


def nab(held: Labelled, scores: Sequence[quality.Floats]) -> float:
    """The NAB standard score of the series of dataset nab, one detection an incident."""
    return quality.nab_standard(
        quality.NabFile(quality.openings(found), held.windows.get(name, ()))
        for name, series, found in zip(held.ids, held.series, scores, strict=True)
        if series.query == "nab"
    )


def rows_of(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, ...]]:
    """The figures of COLUMNS, by data set and as the mean of the sets."""
    rows: dict[str, tuple[float, ...]] = {}
    for dataset in sorted({each.dataset for each in verdicts}):
        theirs = [each for each in verdicts if each.dataset == dataset]
        total = sum((each.tally for each in theirs), quality.Tally())
        rows[dataset] = (
            float(np.nanmean([each.vus_pr for each in theirs])),
            float(np.nanmean([each.best_f1 for each in theirs])),
            total.found / total.events if total.events else np.nan,
            total.false_alarms / total.days,
        )
    rows["mean of sets"] = tuple(np.mean(list(rows.values()), axis=0).tolist())
    return rows


def _print(name: str, held: Labelled, scores: Sequence[quality.Floats], seconds: float) -> None:
    verdicts = [verdict(*each) for each in zip(held.series, held.labels, scores, strict=True)]
    print(f"\n{name}, {seconds:.1f} s{'':<{32 - len(name)}}", *(f"{c:>10}" for c in COLUMNS))
    for dataset, figures in rows_of(verdicts).items():
        print(f"  {dataset:<36}", *(f"{figure:>10.3f}" for figure in figures))
    print(f"  {'NAB standard at 1':<36} {nab(held, scores):>10.1f}", flush=True)


def main() -> list[str]:
    """The names of the figures that missed their limit: none has one."""
    table = report.Report("Quality on labelled series")
    folder = os.environ.get("LABELLED")
    if not folder:
        print("not measured: no LABELLED folder")
        return table.missed
    held = read_folder(Path(folder))
    models.warm_up()
    peers: dict[str, Callable[[Sequence[file_scoring.Series]], list[quality.Floats]]] = {
        "detector, ML off": detector_scores,
        "detector, cheap tier": functools.partial(detector_scores, cheap=True),
        "PyOD IForest on raw values": forest_scores,
        "PyOD TimeSeriesOD": windowed_scores,
        "Grafana's rules": rules_scores,
    }
    for name in os.environ.get("MODELS", "").split():
        beside = functools.partial(detector_scores, models=(model_of(name),))
        peers[f"detector with {name}"] = beside
    print(f"{len(held.series)} series, {sum(len(each.values) for each in held.series):,} rows")
    for name, score in peers.items():
        began_s = time.perf_counter()
        try:
            scores = score(held.series)
        except errors.StackError as error:
            print(f"\n{name}: not measured: {error}")
            continue
        _print(name, held, scores, time.perf_counter() - began_s)
    return table.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
