"""The `mda` command. Nothing heavy is imported before a subcommand runs: --help stays quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detector import __version__, access, errors

if TYPE_CHECKING:
    from detector import config

OK, FAILED, WRONG_CONFIG, INTERRUPTED = 0, 1, 2, 130

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")
ROLES = tuple(role.value for role in access.Role)

Command = Callable[["config.Settings", argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command line; the exporter has the same ones.

    0 done or stopped as told, 1 failed while running, 2 wrong settings or usage, 130 broken off by
    Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    command: Command = arguments.command
    try:
        return command(_settings(arguments), arguments)
    except (errors.ConfigError, errors.PolicyError) as error:
        for line in str(error).splitlines():
            print(f"mda: {line}", file=sys.stderr)
        return WRONG_CONFIG
    except errors.MdaError as error:
        print(f"mda: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _settings(arguments: argparse.Namespace) -> config.Settings:
    from detector import config, log

    settings = config.load(arguments.config)
    log.set_up(
        arguments.log_level or settings.log.level, arguments.log_format or settings.log.format
    )
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mda",
        description="Monitor/Drift Agent: detector, rules and remembered alerts.",
        epilog="Exit status: 0 fine, 1 failure, 2 wrong configuration or usage.",
    )
    _add_common(parser, default=None)
    parser.add_argument("--version", action="version", version=f"mda {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        _add_common(sub, default=argparse.SUPPRESS)
        sub.set_defaults(command=command)
        return sub

    add("up", _up, "Run the whole stack on this machine, in the foreground.")
    demo = add("demo", _demo, "Show the running stack at work.")
    demo.add_argument("what", choices=("spike",), help="a bounded burst of CPU on this host")
    demo.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="length of the burst, 20 to 300"
    )
    add("serve", _serve, "Run the detector: scoring, webhook receiver, API.")
    check = add("check", _check, "Check settings, queries and connections; exit 2 if one is wrong.")
    check.add_argument("--offline", action="store_true", help="only what needs no connection")
    check.add_argument(
        "--expect", action="store_true", help="incidents a week to expect, from past samples"
    )
    add("migrate", _migrate, "Bring the tables in PostgreSQL up to date.")
    add("warm-up", _warm_up, "Compile the numeric kernels into their cache.")
    _add_score(add("score", _score, "Score the series of a CSV or parquet file."))
    _add_backtest(
        add("backtest", _backtest, "What would have fired on a query's history or in a file.")
    )
    autotune = add("autotune", _autotune, "Which model and band suit a query, on its history.")
    autotune.add_argument("--query", metavar="NAME", help="a configured query")
    autotune.add_argument("--expr", metavar="PROMQL", help="any PromQL, with default settings")
    autotune.add_argument(
        "--days", type=float, default=14.0, metavar="N", help="of history (default: 14)"
    )
    autotune.add_argument("--step", metavar="TIME", help="time between samples, as 5m")
    autotune.add_argument("--json", action="store_true", help="the results as one JSON object")
    replay = add("replay", _replay, "Score an anomaly again, from what its score was made from.")
    replay.add_argument("anomaly", type=int, metavar="ID", help="as /api/anomalies tells it")
    _add_policy(add("policy", _policy_validate, "Policies: what must hold, and what is to happen."))
    _add_token(commands.add_parser("token", help="Tokens of the API: who may do what."))
    render = add("render", _render, "Write Prometheus', Alertmanager's and the rules' files.")
    render.add_argument("--out", type=Path, metavar="DIR", help="where to (default MDA_HOME)")
    return parser


def _add_common(parser: argparse.ArgumentParser, default: object) -> None:
    """Options that stand before or after the command; after it they must not put defaults back."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=default, help="YAML file with settings"
    )
    parser.add_argument(
        "--log-level", choices=LEVELS, default=default, help="least level that is logged"
    )
    parser.add_argument("--log-format", choices=FORMATS, default=default, help="shape of log lines")


def _add_score(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "file", type=Path, metavar="FILE", help="rows of time, value and, for many series, id"
    )
    score.add_argument(
        "--out", type=Path, metavar="FILE", required=True, help="scores, as .csv or .parquet"
    )
    score.add_argument(
        "--meta", type=Path, metavar="FILE", help="id, dataset, step_s, train_n of each series"
    )
    score.add_argument("--value-column", metavar="NAME", default="value", help="default: value")
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
    add = backtest.add_argument
    add("file", type=Path, metavar="FILE", nargs="?", help="recorded series, as for mda score")
    add("--query", metavar="NAME", help="a configured query; with FILE, whose settings it takes")
    add("--expr", metavar="PROMQL", help="any PromQL, with a query's default settings")
    add("--days", type=float, default=7.0, metavar="N", help="how many count (default: 7)")
    add("--step", metavar="TIME", help="time between samples (default: the query's, the file's)")
    add("--meta", type=Path, metavar="FILE", help="id, dataset, step_s, train_n of each series")
    add("--value-column", metavar="NAME", default="value", help="default: value")
    add("--labels", type=Path, metavar="FILE", help="id, start, end; or id, ts, label")
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


def _add_policy(policy: argparse.ArgumentParser) -> None:
    verbs = policy.add_subparsers(metavar="VERB", dest="verb", required=True)
    text = "Check policy files; with promtool on PATH, run the tests of their rules."
    validate = verbs.add_parser("validate", help=text, description=text)
    _add_common(validate, default=argparse.SUPPRESS)
    validate.add_argument(
        "paths", type=Path, metavar="PATH", nargs="+", help="YAML or JSON files, or folders of them"
    )
    validate.add_argument(
        "--out", type=Path, metavar="DIR", help="write the rule files and their tests there"
    )
    validate.add_argument("--show", action="store_true", help="print the rules")
    validate.add_argument("--json", action="store_true", help="the result as one JSON object")
    text = "What policies would have fired on past samples, and which actions they asked for."
    preview = verbs.add_parser("preview", help=text, description=text)
    _add_common(preview, default=argparse.SUPPRESS)
    add = preview.add_argument
    add("paths", type=Path, metavar="PATH", nargs="+", help="YAML or JSON files, or folders")
    add("--days", type=float, default=7.0, metavar="N", help="how far back (default: 7)")
    add("--step", metavar="TIME", help="between evaluations (default: METRIC_COLLECTION_INTERVAL)")
    add("--png", type=Path, metavar="FILE", help="a picture of when each series fired")
    add("--json", action="store_true", help="the result as one JSON object")
    preview.set_defaults(command=_policy_preview)
    text = "Print the JSON Schema of policies, for editors and checks of your own."
    schema = verbs.add_parser("schema", help=text, description=text)
    _add_common(schema, default=argparse.SUPPRESS)
    schema.set_defaults(command=_policy_schema)
    text = "Make a running detector's policies what files say: all of them or none."
    apply = _add_remote(verbs, "apply", text, _policy_apply)
    _add_files(apply)
    apply.add_argument("--dry-run", action="store_true", help="print the plan, do nothing")
    text = "Print what applying would change; exit 1 if that is anything."
    diff = _add_remote(verbs, "diff", text, _policy_diff)
    _add_files(diff)
    text = "List a running detector's policies."
    listed = _add_remote(verbs, "list", text, _policy_list)
    listed.add_argument("--text", metavar="TEXT", help="part of the name")
    text = "Print one policy, and how it fares."
    show = _add_remote(verbs, "show", text, _policy_show)
    show.add_argument("policy", metavar="ID|NAME")


def _add_remote(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    command: Command,
) -> argparse.ArgumentParser:
    sub = verbs.add_parser(name, help=text, description=text)
    _add_common(sub, default=argparse.SUPPRESS)
    sub.add_argument("--url", metavar="URL", help="of the detector (default: as settings say)")
    sub.add_argument(
        "--token-file", type=Path, metavar="FILE", help="with a token (default: MDA_HOME/token)"
    )
    sub.add_argument("--json", action="store_true", help="the result as one JSON object")
    sub.set_defaults(command=command)
    return sub


def _add_files(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("paths", type=Path, metavar="PATH", nargs="*", help="files or folders")
    sub.add_argument(
        "-f",
        "--file",
        dest="files",
        type=Path,
        metavar="PATH",
        action="append",
        default=[],
        help="the same, as kubectl has it",
    )
    sub.add_argument("--prune", action="store_true", help="delete policies that no file names")


def _add_token(token: argparse.ArgumentParser) -> None:
    verbs = token.add_subparsers(metavar="VERB", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        _add_common(sub, default=argparse.SUPPRESS)
        sub.set_defaults(command=command)
        return sub

    text = "Make a token: its text goes to standard output, this once."
    create = add("create", _token_create, text)
    create.add_argument("--name", required=True, metavar="NAME", help="whose it is, for records")
    create.add_argument("--role", required=True, choices=ROLES, help="each includes those before")
    create.add_argument("--expires", metavar="TIME", help="after that, as 90d (default: never)")
    create.add_argument("--out", type=Path, metavar="FILE", help="a new file for it, mode 0600")
    listing = add("list", _token_list, "All tokens but the file's, without their texts.")
    listing.add_argument("--json", action="store_true", help="the tokens as one JSON list")
    revoke = add("revoke", _token_revoke, "Make a token worthless.")
    revoke.add_argument("token", type=int, metavar="ID", help="as mda token list tells it")


def _policy_schema(_: config.Settings, __: argparse.Namespace) -> int:
    import json

    from detector.policy import documents

    print(json.dumps(documents.json_schema(), indent=2))
    return OK


def _up(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector.stack import up

    return up.run(settings, arguments.config)


def _demo(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector.demo import spike

    return spike.run(settings, seconds=arguments.seconds)


def _serve(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import app, config

    return app.serve(settings, lambda: config.load(arguments.config))


def _check(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import checks

    found = list(checks.offline(settings))
    if not arguments.offline:
        found += checks.online(settings)
        if arguments.expect and all(each.verdict is not checks.Verdict.WRONG for each in found):
            from detector.backtest import expected

            found += expected.checks_of(settings)
    for check in found:
        print(f"{check.verdict:<6}{check}")
    checks.raise_first_wrong(found)
    return OK


def _migrate(settings: config.Settings, _: argparse.Namespace) -> int:
    from detector import app, checks

    checks.raise_first_wrong([checks.database_url(settings)])
    app.migrate_store(settings)
    print("the tables are up to date")
    return OK


def _warm_up(_: config.Settings, __: argparse.Namespace) -> int:
    from detector import app

    print(f"kernels compiled in {app.warm_up():.1f} s")
    return OK


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
    return OK


def _backtest(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json
    import time

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
    now_ms = int(time.time() * 1000)  # noqa: TID251 - says what the present is
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
        return FAILED
    return OK


def _autotune(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json
    import time

    from detector.autotune import job, text

    options = job.Options(arguments.query, arguments.expr, arguments.days, arguments.step)
    now_ms = int(time.time() * 1000)  # noqa: TID251 - says what the present is
    found = job.run(settings, options, now_ms=now_ms, config_file=arguments.config)
    print(json.dumps(text.summary_of(found)) if arguments.json else text.text_of(found))
    return OK


def _replay(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import app
    from detector.services import replaying

    found = app.replay(_with_database(settings), arguments.anomaly)
    print(replaying.text_of(found))
    return OK if found.is_same or found.engine != found.engine_now else FAILED


def _with_database(settings: config.Settings) -> config.Settings:
    """The settings with a well formed DATABASE_URL; without one, that of `mda up`, if it has one.

    Raises ConfigError, StackError.
    """
    import pydantic

    from detector import checks
    from detector.stack import postgres

    if settings.database_url is None:
        url = postgres.url_of(settings.home)
        settings = settings.model_copy(update={"database_url": url and pydantic.SecretStr(url)})
    checks.raise_first_wrong([checks.database_url(settings)])
    return settings


def _token_create(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from detector import tokens

    now = datetime.now(UTC)  # noqa: TID251 - says what the present is
    wanted = tokens.Wanted(arguments.name, arguments.role, arguments.expires, arguments.out)
    token, text = tokens.create(_with_database(settings), wanted, at=now)
    if arguments.out is None:
        print(text)
    print(tokens.line_of_new(token, arguments.out), file=sys.stderr)
    return OK


def _token_list(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json
    from datetime import UTC, datetime

    from detector import tokens

    now = datetime.now(UTC)  # noqa: TID251 - says what the present is
    found = tokens.every(_with_database(settings))
    told = [tokens.summary_of(each) for each in found]
    print(json.dumps(told) if arguments.json else tokens.table_of(found, now=now))
    return OK


def _token_revoke(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import tokens

    print(tokens.line_of_revoked(tokens.revoke(_with_database(settings), arguments.token)))
    return OK


def _policy_validate(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json
    from datetime import UTC, datetime

    from detector.policies import validating

    now = datetime.now(UTC)  # noqa: TID251 - says what the present is
    options = validating.Options(tuple(arguments.paths), arguments.out)
    found = validating.run(settings, options, now=now)
    if arguments.show:
        print("\n".join(each.rules_text for each in found.policies), end="")
    elif arguments.json:
        print(json.dumps(found.summary()))
    else:
        print(*found.lines(), sep="\n")
    return OK


def _policy_apply(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import remote

    manager = remote.connect(settings, arguments.url, arguments.token_file)
    wanted = _documents(arguments)
    planned = manager.apply(wanted, prune=arguments.prune, dry_run=True)
    done = not arguments.dry_run and remote.is_change(planned)
    if not arguments.json:
        print(*remote.plan_lines(planned, is_done=False), sep="\n")
    if done:
        planned = manager.apply(wanted, prune=arguments.prune)
    if arguments.json:
        print(json.dumps(remote.summary(planned, applied=done)))
    elif done:
        print(*remote.plan_lines(planned, is_done=True), sep="\n")
    return OK


def _policy_diff(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import remote

    manager = remote.connect(settings, arguments.url, arguments.token_file)
    planned = manager.apply(_documents(arguments), prune=arguments.prune, dry_run=True)
    if arguments.json:
        print(json.dumps(remote.summary(planned, applied=False)))
    else:
        print(*remote.plan_lines(planned, is_done=False), sep="\n")
    return FAILED if remote.is_change(planned) else OK


def _documents(arguments: argparse.Namespace) -> list[Mapping[str, object]]:
    from detector.policies import remote

    paths = [*arguments.paths, *arguments.files]
    if not paths:
        raise errors.ConfigError("policy: no files: name some, or a folder of them")
    return remote.read(paths)


def _policy_list(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from detector.policies import remote
    from detector.stack import terminal

    manager = remote.connect(settings, arguments.url, arguments.token_file)
    found = manager.list_policies(text=arguments.text)
    if arguments.json:
        told = [dataclasses.asdict(each) for each in found]
        print(json.dumps({"policies": told}, default=str))
    else:
        terminal.print_table(remote.HEADS, remote.list_rows(found))
    return OK


def _policy_show(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import remote

    manager = remote.connect(settings, arguments.url, arguments.token_file)
    state = manager.state(remote.find(manager, arguments.policy))
    if arguments.json:
        print(json.dumps(state))
    else:
        print(*remote.show_lines(state), sep="\n")
    return OK


def _policy_preview(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json
    from datetime import UTC, datetime

    from detector.policies import preview, preview_text
    from detector.stack import terminal

    now = datetime.now(UTC)  # noqa: TID251 - says what the present is
    options = preview.Options(tuple(arguments.paths), arguments.days, arguments.step)
    found = preview.run(settings, options, now=now)
    if arguments.png is not None:
        from detector.policies import picture

        picture.write(arguments.png, [each.found for each in found])
    if arguments.json:
        print(json.dumps({"policies": [preview_text.summary_of(each) for each in found]}))
        return OK
    console = terminal.console()
    for number, each in enumerate(found):
        lines = preview_text.lines(each, console.width, encoding=console.encoding)
        console.print(*[""] * (number > 0), *lines, sep="\n", soft_wrap=True)
    return OK


def _render(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector.stack import render

    for line in render.run(settings, arguments.out):
        print(line)
    return OK
