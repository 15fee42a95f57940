"""Options and the client of commands that ask a running detector."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from detector import errors
from detector.commands import base

if TYPE_CHECKING:
    from detector import client, config

TOKEN = "token"  # noqa: S105 - the name of a file


def add(
    commands: base.Commands, name: str, command: base.Command, text: str
) -> argparse.ArgumentParser:
    """A subcommand with the options of all of these."""
    sub = commands.add(name, command, text)
    sub.add_argument("--url", metavar="URL", help="of the detector (default: as settings say)")
    sub.add_argument(
        "--token-file", type=Path, metavar="FILE", help="with a token (default: MDA_HOME/token)"
    )
    sub.add_argument("--json", action="store_true", help="the result as one JSON object")
    return sub


def connect(settings: config.Settings, arguments: argparse.Namespace) -> client.PolicyManager:
    """A client of the detector that was named, or that these settings describe, or of `mda up`.

    Raises ConfigError.
    """
    from detector import client

    return client.PolicyManager(arguments.url or _url(settings), token=_token(settings, arguments))


def connect_alerts(settings: config.Settings, arguments: argparse.Namespace) -> client.Alerts:
    """The same for alerts. Raises ConfigError."""
    from detector import client

    return client.Alerts(arguments.url or _url(settings), token=_token(settings, arguments))


def _token(settings: config.Settings, arguments: argparse.Namespace) -> str:
    path = arguments.token_file or settings.token_file or settings.home / TOKEN
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise errors.ConfigError(
            f"token file: {path}: {reason}: name one with --token-file"
        ) from error


def _url(settings: config.Settings) -> str:
    from detector.stack import addresses

    try:
        return addresses.load(settings.home.absolute()).url("detector")
    except errors.StackError:
        return f"http://{settings.listen_address}"
