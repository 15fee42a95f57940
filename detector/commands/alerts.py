"""`mda alerts`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from detector.commands import base

if TYPE_CHECKING:
    from detector import config


def add(commands: base.Commands) -> None:
    """The verbs of `mda alerts`."""
    verbs = commands.group("alerts", "Alerts and how people hear of them.")
    text = "Send a marked test message by a channel, and tell each hop of its road."
    test = verbs.add("test", _test, text)
    test.add_argument("channel", metavar="CHANNEL", help="a receiver, as email or email-TEAM")
    test.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="for all hops (default 60)"
    )
    test.add_argument("--json", action="store_true", help="the hops as one JSON list")


def _test(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import dataclasses
    import json
    import secrets
    from datetime import timedelta

    from detector.trial import asking, road

    places = asking.places_of(settings)
    told = []
    hops = road.Road(
        settings,
        asking.Alertmanager(places.alertmanager),
        asking.Detector(places.detector, places.token),
        arguments.channel,
        number=secrets.token_hex(4),
        patience=timedelta(seconds=arguments.timeout),
        now=base.now,
    ).hops()
    for hop in hops:
        told.append(hop)
        if not arguments.json:
            seen = "ok    " if hop.is_seen else "not   "
            print(f"{seen}{hop.name:<24}{hop.seconds:6.2f} s  {hop.text}", flush=True)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(hop) for hop in told]))
    return base.OK if all(hop.is_seen for hop in told) else base.FAILED
