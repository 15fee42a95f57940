"""`mda score`, `backtest`, `autotune`, `replay`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from detector import errors
from detector.commands import base, database

if TYPE_CHECKING:
    from detector import config


def add(commands: base.Commands) -> None:
    """The subcommands that score."""
    _add_score(commands.add("score", _score, "Score the series of a CSV or parquet file."))
    text = "What would have fired on a query's history or in a file."
    _add_backtest(commands.add("backtest", _backtest, text))
    text = "Which model and band suit a query, on its history or a file."
    _add_autotune(commands.add("autotune", _autotune, text))
    text = "Score an anomaly again, from what its score was made from."
    replay = commands.add("replay", _replay, text)
    replay.add_argument("anomaly", type=int, metavar="ID", help="as /api/anomalies tells it")


def _add_score(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "file", type=Path, metavar="FILE", help="rows of time, value and, for many series, id"
    )
    score.add_argument(
        "--out", type=Path, metavar="FILE", required=True, help="scores, as .csv or .parquet"
    )
    _add_columns(score)
    score.add_argument(
        "--query",
        metavar="NAME",
        help="a configured query: its models, gates and budget",
    )
    score.add_argument(
        "--budget", metavar="TEXT", help="alarms on nothing (default: 1 per week per series)"
    )
    score.add_argument(
        "--step", metavar="TIME", help="time between samples, as 5m (default: as the file has it)"
    )
    score.add_argument(
        "--ml",
        action=argparse.BooleanOptionalAction,
        help="the forest beside the statistical baseline (default: ML_DETECTION_ENABLED)",
    )
    score.add_argument("--json", action="store_true", help="the summary as one JSON object")


def _add_backtest(backtest: argparse.ArgumentParser) -> None:
    _add_subject(backtest)
    add = backtest.add_argument
    add("--days", type=float, default=7.0, metavar="N", help="how many count (default: 7)")
    add(
        "--compare",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="another YAML file with settings, side by side; may be repeated",
    )
    add(
        "--budget",
        metavar="TEXT",
        action="append",
        default=[],
        help="instead of the query's; repeated: side by side",
    )
    add(
        "--ml",
        action=argparse.BooleanOptionalAction,
        help="the forest beside the statistical baseline (default: ML_DETECTION_ENABLED)",
    )
    add("--report", type=Path, metavar="FILE", help="one HTML page with pictures")
    add("--png", type=Path, metavar="DIR", help="the pictures as PNG files too")
    add("--plots", type=int, default=12, metavar="N", help="series in pictures (default: 12)")
    add("--max-per-week", type=float, metavar="N", help="more incidents a week than that: exit 1")
    add("--json", action="store_true", help="the results as one JSON object")


def _add_autotune(autotune: argparse.ArgumentParser) -> None:
    _add_subject(autotune)
    text = "the last ones (default: 14; of a file all)"
    autotune.add_argument("--days", type=float, metavar="N", help=text)
    autotune.add_argument("--json", action="store_true", help="the results as one JSON object")


def _add_subject(sub: argparse.ArgumentParser) -> None:
    """A query's past, or a file; and what is known to have happened."""
    add = sub.add_argument
    add("file", type=Path, metavar="FILE", nargs="?", help="recorded series, as for mda score")
    add("--query", metavar="NAME", help="a configured query; with FILE, whose settings it takes")
    add("--expr", metavar="PROMQL", help="any PromQL, with a query's default settings")
    add("--step", metavar="TIME", help="time between samples (default: the query's, the file's)")
    _add_columns(sub)
    add("--labels", type=Path, metavar="FILE", help="id, start, end; or id, ts, label")


def _add_columns(sub: argparse.ArgumentParser) -> None:
    """What a file does not say by itself."""
    add = sub.add_argument
    add("--meta", type=Path, metavar="FILE", help="id, dataset, step_s, train_n of each series")
    add("--value-column", metavar="NAME", default="value", help="default: value")


def _score(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from detector.score import job

    summary = job.run(
        settings,
        job.Options(
            file=arguments.file,
            out=arguments.out,
            meta=arguments.meta,
            value_column=arguments.value_column,
            query=arguments.query,
            budget=arguments.budget,
            step=arguments.step,
            ml=arguments.ml,
        ),
        config_file=arguments.config,
    )
    print(json.dumps(dataclasses.asdict(summary)) if arguments.json else summary)
    return base.OK


def _backtest(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.backtest import job, results

    options = job.Options(
        file=arguments.file,
        query=arguments.query,
        expr=arguments.expr,
        days=arguments.days,
        step=arguments.step,
        meta=arguments.meta,
        value_column=arguments.value_column,
        labels=arguments.labels,
        compare=tuple(arguments.compare),
        budget=tuple(arguments.budget),
        ml=arguments.ml,
    )
    if arguments.plots < 0:
        raise errors.ConfigError(f"--plots: {arguments.plots}: 0 or more is allowed")
    now_ms = round(base.now().timestamp() * 1000)
    outcome = job.run(settings, options, now_ms=now_ms, config_file=arguments.config)
    if arguments.report or arguments.png:
        from detector.backtest import report

        report.write(outcome, html=arguments.report, png=arguments.png, most=arguments.plots)
    summary = results.summary_of(outcome.found)
    print(json.dumps(summary) if arguments.json else results.text_of(outcome.found))
    most, first = arguments.max_per_week, outcome.found.variants[0]
    if most is not None and first.incidents_per_week > most:
        rate = f"{first.incidents_per_week:.1f} incidents a week"
        print(f"mda: {outcome.found.subject}: {rate}: at most {most:g} allowed", file=sys.stderr)
        return base.FAILED
    return base.OK


def _autotune(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.autotune import job, text

    options = job.Options(
        file=arguments.file,
        query=arguments.query,
        expr=arguments.expr,
        days=arguments.days,
        step=arguments.step,
        meta=arguments.meta,
        value_column=arguments.value_column,
        labels=arguments.labels,
    )
    now_ms = round(base.now().timestamp() * 1000)
    found = job.run(settings, options, now_ms=now_ms, config_file=arguments.config)
    print(json.dumps(text.summary_of(found)) if arguments.json else text.text_of(found))
    return base.OK


def _replay(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import app
    from detector.services import replaying

    found = app.replay(database.with_database(settings), arguments.anomaly)
    print(replaying.text_of(found))
    return base.OK if found.is_same or found.engine != found.engine_now else base.FAILED
