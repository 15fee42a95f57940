"""`mda up`, `demo`, `render`, `serve`, `check`, `migrate`, `warm-up`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from detector.commands import base

if TYPE_CHECKING:
    from detector import checks, config


def add(commands: base.Commands) -> None:
    """The subcommands that run parts of the product, or prepare that."""
    commands.add("up", _up, "Run the whole stack on this machine, in the foreground.")
    demo = commands.add("demo", _demo, "Show the running stack at work.")
    demo.add_argument("what", choices=("spike",), help="a bounded burst of CPU on this host")
    demo.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="length of the burst, 20 to 300"
    )
    commands.add("serve", _serve, "Run the detector: scoring, webhook receiver, API.")
    text = "Check settings, queries and connections; exit 2 if one is wrong."
    check = commands.add("check", _check, text)
    check.add_argument("--offline", action="store_true", help="only what needs no connection")
    check.add_argument(
        "--expect", action="store_true", help="incidents a week to expect, from past samples"
    )
    commands.add("migrate", _migrate, "Bring the tables in PostgreSQL up to date.")
    commands.add("warm-up", _warm_up, "Compile the numeric kernels into their cache.")
    text = "Write Prometheus', Alertmanager's and the rules' files."
    render = commands.add("render", _render, text)
    render.add_argument("--out", type=Path, metavar="DIR", help="where to (default MDA_HOME)")


def _up(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector.stack import up

    return up.run(settings, arguments.config)


def _demo(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector.demo import spike

    return spike.run(settings, seconds=arguments.seconds)


def _render(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector.stack import render

    for line in render.run(settings, arguments.out):
        print(line)
    return base.OK


def _serve(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import app, config

    return app.serve(settings, lambda: config.load(arguments.config))


def _check(settings: config.Settings, arguments: argparse.Namespace) -> int:
    from detector import checks

    found = [*checks.offline(settings), *_mail(settings)]
    if not arguments.offline:
        found += checks.online(settings)
        if arguments.expect and all(each.verdict is not checks.Verdict.WRONG for each in found):
            from detector.backtest import expected

            found += expected.checks_of(settings)
    for check in found:
        print(f"{check.verdict:<6}{check}")
    checks.raise_first_wrong(found)
    return base.OK


def _mail(settings: config.Settings) -> list[checks.Check]:
    """What `mda render` says of mail; nothing where its configuration is not written by us."""
    from detector import checks, errors
    from detector.stack.receivers import email

    if settings.alertmanager.config is not None:
        return []
    why = email.why_left_out(settings)
    found = [checks.Check(checks.Verdict.NOTE, email.NAME, why)] if why else []
    if email.CHANNEL.reaches(settings):
        try:
            email.sender_of(settings)
        except errors.ConfigError as error:
            subject, _, text = str(error).partition(": ")
            found.append(checks.Check(checks.Verdict.WRONG, subject, text))
    return found


def _migrate(settings: config.Settings, _: argparse.Namespace) -> int:
    from detector import app, checks

    checks.raise_first_wrong([checks.database_url(settings)])
    app.migrate_store(settings)
    print("the tables are up to date")
    return base.OK


def _warm_up(_: config.Settings, __: argparse.Namespace) -> int:
    from detector import app

    print(f"kernels compiled in {app.warm_up():.1f} s")
    return base.OK
