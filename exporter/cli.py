"""The command line: serve (the default), --once, check, hash-password.

Nothing heavy is imported before it is known to be needed, so that --help is instant.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import exporter

if TYPE_CHECKING:
    from exporter import app, config

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")


def parser() -> argparse.ArgumentParser:
    """All options."""
    top = argparse.ArgumentParser(
        prog="mda-exporter",
        description="Metrics of this host for Prometheus, named and valued as node_exporter's.",
        epilog="Exit status: 0 fine, 1 failure, 2 wrong configuration or usage.",
    )
    top.add_argument("--version", action="version", version=f"mda-exporter {exporter.__version__}")
    top.add_argument("--once", action="store_true", help="print the metrics once and exit")
    _add_common(top, default=None)
    commands = top.add_subparsers(dest="command", metavar="{serve,check,hash-password}")
    serve = commands.add_parser("serve", help="serve the metrics over HTTP (the default)")
    check = commands.add_parser("check", help="check the configuration and try every collector")
    hashing = commands.add_parser(
        "hash-password", help="read a password from standard input, print its password_hash"
    )
    for command in (serve, check, hashing):
        _add_common(command, default=argparse.SUPPRESS)
    check.add_argument("--json", action="store_true", help="print the table as JSON")
    return top


def _add_common(command: argparse.ArgumentParser, default: object) -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE", default=default, help="YAML file of settings"
    )
    command.add_argument("--log-level", choices=LEVELS, default=default)
    command.add_argument("--log-format", choices=FORMATS, default=default)


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status, the same ones as the detector's.

    0 done or stopped as told, 1 failed while running, 2 wrong settings or usage, 130 broken off by
    Ctrl-C.
    """
    options = parser().parse_args(argv)
    try:
        if options.command == "hash-password":
            return _hash_password()
        return _configured(options)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _configured(options: argparse.Namespace) -> int:
    from exporter import config

    try:
        return _run(options, config.load(options.config))
    except config.ConfigError as error:
        return _wrong(error)


def _wrong(reason: object) -> int:
    print(f"mda-exporter: {reason}", file=sys.stderr)
    return EXIT_CONFIG


def _run(options: argparse.Namespace, settings: config.Settings) -> int:
    from exporter import app, log

    log.set_up(options.log_level or settings.log.level, options.log_format or settings.log.format)
    if options.command == "check":
        return _check(app.Exporter(settings), as_json=options.json)
    if options.once:
        sys.stdout.buffer.write(app.Exporter(settings).exposition_once())
        return EXIT_OK
    try:
        app.serve(settings)
    except app.StartError as error:
        return _wrong(error)
    return EXIT_OK


def _check(parts: app.Exporter, *, as_json: bool) -> int:
    """Print each collector's status; failure if one failed."""
    import json

    from exporter import scrape

    outcomes = parts.scrape_once()
    rows = [
        {
            "collector": name,
            "status": outcome.status.value,
            "duration_ms": round(outcome.duration_s * 1000, 3),
            "reason": outcome.reason,
        }
        for name, outcome in outcomes.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'collector':<14}{'status':<10}{'ms':>8}  reason")
        for row in rows:
            print(
                f"{row['collector']:<14}{row['status']:<10}{row['duration_ms']:>8}  {row['reason']}"
            )
    failed = any(outcome.status is scrape.Status.FAILED for outcome in outcomes.values())
    return EXIT_FAILURE if failed else EXIT_OK


def _hash_password() -> int:
    import getpass

    from exporter import access

    is_terminal = sys.stdin.isatty()
    password = getpass.getpass() if is_terminal else sys.stdin.readline().rstrip("\n")
    if not password:
        return _wrong("password: empty: at least one character is needed")
    print(access.hash_password(password))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
