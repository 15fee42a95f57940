"""`mda metric`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from detector.commands import base, detectors

if TYPE_CHECKING:
    from detector import config


def add(commands: base.Commands) -> None:
    """The verbs of `mda metric`."""
    verbs = commands.group("metric", "Metrics: what policies can name, and what they are now.")
    text = "List the metrics that policies use, or one of them or of Prometheus with its series."
    listed = detectors.add(verbs, "list", _list, text)
    listed.add_argument("name", metavar="NAME", nargs="?", help="only this one, and its values")
    text = "Have a running detector read and score all queries now."
    detectors.add(verbs, "collect", _collect, text)


def _list(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import metrics

    found = detectors.connect(settings, arguments).metrics(arguments.name)
    if arguments.json:
        print(json.dumps({"metrics": found}))
    elif arguments.name is None:
        print(metrics.table_of(found))
    else:
        print(*metrics.lines(found[0]), sep="\n")
    return base.OK


def _collect(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import metrics

    collected = detectors.connect(settings, arguments).collect()
    print(json.dumps(collected) if arguments.json else metrics.collection_of(collected))
    failed = any(each["error"] for each in collected["queries"])
    return base.FAILED if failed else base.OK
