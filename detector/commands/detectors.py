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
EVERYWHERE = ("", "0.0.0.0", "[::]")  # noqa: S104 - compared
"""Hosts to listen at, none of which is one to ask."""


def add(
    commands: base.Commands, name: str, command: base.Command, text: str
) -> argparse.ArgumentParser:
    """A subcommand with the options of all of these."""
    sub = commands.add(name, command, text)
    sub.add_argument("--url", metavar="URL", help="of the detector (default: as settings say)")
    sub.add_argument(
        "--token-file", type=Path, metavar="FILE", help="with a token (default: MDA_HOME/token)"
    )
    sub.add_argument("--json", action="store_true", help="the result as JSON")
    return sub


def connect(settings: config.Settings, arguments: argparse.Namespace) -> client.PolicyManager:
    """A client of the detector that was named, or that these settings describe, or of `mda up`.

    Raises ConfigError.
    """
    from detector import client

    return client.PolicyManager(url_of(settings, arguments), token=token_of(settings, arguments))


def connect_alerts(settings: config.Settings, arguments: argparse.Namespace) -> client.Alerts:
    """The same for alerts. Raises ConfigError."""
    from detector import client

    return client.Alerts(url_of(settings, arguments), token=token_of(settings, arguments))


def token_of(settings: config.Settings, arguments: argparse.Namespace) -> str:
    """Of the file that was named, or that settings name. Raises ConfigError."""
    path: Path = arguments.token_file or settings.token_file or settings.home / TOKEN
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise errors.ConfigError(
            f"token file: {path}: {reason}: name one with --token-file"
        ) from error


def url_of(settings: config.Settings, arguments: argparse.Namespace) -> str:
    """Of the detector that was named, of `mda up`'s, or of the one that settings describe."""
    host, _, port = settings.listen_address.rpartition(":")
    here = "127.0.0.1" if host in EVERYWHERE else host
    return arguments.url or _of_stack(settings, "detector") or f"http://{here}:{port}"


def alertmanager_of(settings: config.Settings) -> str:
    """The address of `mda up`'s Alertmanager, or of the one that settings name."""
    return _of_stack(settings, "alertmanager") or settings.alertmanager.url


def _of_stack(settings: config.Settings, part: str) -> str:
    """Empty where no stack was started on the home folder."""
    from detector.stack import addresses

    try:
        return addresses.load(settings.home.absolute()).url(part)
    except errors.StackError:
        return ""
