"""A process that changes a policy and dies at the n-th step of it, where a test wants it to.

Usage: python -m tests.integration.publish_child DATABASE_URL PROMETHEUS_URL FOLDER THRESHOLD N

Steps are what the interpreter's audit hooks tell of files and connections, and each statement and
commit of the database. Without a step of that number it ends by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from detector import config, telemetry
from detector.policy import documents
from detector.prometheus import connection, rule_files
from detector.services import publishing
from detector.store import database, policies
from tests.detector.policy import factories
from tests.fakes.alerts import FakeAlertEnder

WATCHED = {"os.rename", "os.remove", "os.mkdir", "socket.connect", "http.client.send"}


class Doom:
    """Counts steps, once it is armed, and kills the process at the n-th."""

    def __init__(self, at: int) -> None:
        self.at, self.seen, self.armed = at, 0, False

    def step(self, *_: object) -> None:
        if self.armed:
            self.seen += 1
            if self.seen == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, name: str, arguments: tuple[object, ...]) -> None:
        writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if writes or name in WATCHED:
            self.step()


def publisher(database_url: str, prometheus_url: str, folder: Path) -> publishing.Publishing:
    """As the program builds it, without promtool."""
    client = connection.Client(prometheus_url, timeout=timedelta(seconds=10))
    return publishing.Publishing(
        policies.PostgresPolicyStore(database.Database(database_url)),
        rule_files.RuleFiles(folder, client, None),
        alerts=FakeAlertEnder(),
        thresholds=config.Thresholds,
        clock=time.time,
        meters=telemetry.Telemetry(),
    )


def document(threshold: float) -> documents.Document:
    """The policy that is changed: two rules, so that half of it could be seen."""
    first, second = factories.above(threshold), factories.above(threshold - 10)
    return documents.parse(factories.tree(first, second), "policy")


def main(database_url: str, prometheus_url: str, folder: str, threshold: str, at: str) -> None:
    """Change policy 1."""
    doom = Doom(int(at))
    sys.addaudithook(doom.audit)
    made = publisher(database_url, prometheus_url, Path(folder))
    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(sa.Engine, name, doom.step)
    doom.armed = True
    made.replace(1, document(float(threshold)), expected=None, by="child")
    doom.step()  # after all of it


if __name__ == "__main__":
    main(*sys.argv[1:])
