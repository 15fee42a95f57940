"""The `mda` command. Nothing heavy is imported before a subcommand runs: --help stays quick."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from detector import __version__, errors
from detector.commands import alerts, base, metrics, policies, scoring, serving, tokens

if TYPE_CHECKING:
    from detector import config

GROUPS = (serving, scoring, policies, metrics, alerts, tokens)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command line; the exporter has the same ones.

    0 done or stopped as told, 1 failed while running, 2 wrong settings or usage, 130 broken off by
    Ctrl-C, 141 if nobody reads the output to its end, as by `| head`.
    """
    arguments = parser().parse_args(argv)
    command: base.Command = arguments.command
    try:
        status = command(_settings(arguments), arguments)
        sys.stdout.flush()
        return status
    except (errors.ConfigError, errors.PolicyError) as error:
        for line in str(error).splitlines():
            print(f"mda: {line}", file=sys.stderr)
        return base.WRONG_CONFIG
    except errors.MdaError as error:
        print(f"mda: {error}", file=sys.stderr)
        return base.FAILED
    except KeyboardInterrupt:
        return base.INTERRUPTED
    except BrokenPipeError:  # who read it has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return base.CUT_OFF


def _settings(arguments: argparse.Namespace) -> config.Settings:
    from detector import config, log

    settings = config.load(arguments.config)
    log.set_up(
        arguments.log_level or settings.log.level, arguments.log_format or settings.log.format
    )
    return settings


def parser() -> argparse.ArgumentParser:
    """Of the whole command line; `command` is what runs."""
    whole = argparse.ArgumentParser(
        prog="mda",
        description="Monitor/Drift Agent: detector, rules and remembered alerts.",
        epilog="Exit status: 0 fine, 1 failure, 2 wrong configuration or usage.",
    )
    base.add_common(whole, default=None)
    whole.add_argument("--version", action="version", version=f"mda {__version__}")
    commands = base.Commands(whole, "COMMAND")
    for group in GROUPS:
        group.add(commands)
    return whole
