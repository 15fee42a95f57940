"""`mda token`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from detector import access
from detector.commands import base, database

if TYPE_CHECKING:
    from detector import config


ROLES = tuple(role.value for role in access.Role)


def add(commands: base.Commands) -> None:
    """The verbs of `mda token`."""
    verbs = commands.group("token", "Tokens of the API: who may do what.")
    text = "Make a token: its text goes to standard output, this once."
    create = verbs.add("create", _token_create, text)
    create.add_argument("--name", required=True, metavar="NAME", help="whose it is, for records")
    create.add_argument("--role", required=True, choices=ROLES, help="each includes those before")
    create.add_argument("--expires", metavar="TIME", help="after that, as 90d (default: never)")
    create.add_argument("--out", type=Path, metavar="FILE", help="a new file for it, mode 0600")
    listing = verbs.add("list", _token_list, "All tokens but the file's, without their texts.")
    listing.add_argument("--json", action="store_true", help="the tokens as one JSON list")
    revoke = verbs.add("revoke", _token_revoke, "Make a token worthless.")
    revoke.add_argument("token", type=int, metavar="ID", help="as mda token list tells it")


def _token_create(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import tokens

    wanted = tokens.Wanted(arguments.name, arguments.role, arguments.expires, arguments.out)
    token, text = tokens.create(database.with_database(settings), wanted, at=base.now())
    if arguments.out is None:
        print(text)
    print(tokens.line_of_new(token, arguments.out), file=sys.stderr)
    return base.OK


def _token_list(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector import tokens

    found = tokens.every(database.with_database(settings))
    told = [tokens.summary_of(each) for each in found]
    print(json.dumps(told) if arguments.json else tokens.table_of(found, now=base.now()))
    return base.OK


def _token_revoke(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import tokens

    print(tokens.line_of_revoked(tokens.revoke(database.with_database(settings), arguments.token)))
    return base.OK
