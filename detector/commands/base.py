"""What the subcommands of `mda` share. Nothing heavy is imported before one runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector import config

OK, FAILED, WRONG_CONFIG, INTERRUPTED, CUT_OFF = 0, 1, 2, 130, 141
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")

Command = Callable[["config.Settings", argparse.Namespace], int]
"""Returns the exit status. Raises MdaError."""


def now() -> datetime:
    """What the present is, for those who are told it."""
    return datetime.now(UTC)  # noqa: TID251 - the clock of all commands


class Commands:
    """A level of subcommands: those of `mda`, or the verbs of one of them."""

    def __init__(self, parser: argparse.ArgumentParser, metavar: str) -> None:
        self._parsers = parser.add_subparsers(metavar=metavar, required=True)

    def add(self, name: str, command: Command, text: str) -> argparse.ArgumentParser:
        """A subcommand."""
        sub = self._parsers.add_parser(name, help=text, description=text)
        add_common(sub, default=argparse.SUPPRESS)
        sub.set_defaults(command=command)
        return sub

    def group(self, name: str, text: str) -> Commands:
        """A subcommand that has verbs."""
        return Commands(self._parsers.add_parser(name, help=text, description=text), "VERB")


def add_common(parser: argparse.ArgumentParser, default: object) -> None:
    """Options that stand before or after the command; after it they must not put defaults back."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=default, help="YAML file with settings"
    )
    parser.add_argument(
        "--log-level", choices=LEVELS, default=default, help="least level that is logged"
    )
    parser.add_argument("--log-format", choices=FORMATS, default=default, help="shape of log lines")
