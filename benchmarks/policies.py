"""A thousand policies published at once, and one of them changed, beside promtool and a reload.

A real Prometheus and PostgreSQL. The floor is promtool on the same files alone, with as many
processes: what publishing adds is compiling, the database, the file and the reload.
"""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from statistics import median

import requests

from benchmarks import report
from detector import config, telemetry
from detector.policy import documents, drafts
from detector.policy.conditions import base
from detector.prometheus import connection, promtool, rule_files
from detector.services import publishing
from detector.stack import debian
from detector.store import database, migrate, policies
from tests import conftest, stack
from tests.fakes.alerts import FakeAlertEnder

POLICIES = 1_000
CHANGES = 5
MOST_RATIO = 1.5
ALL_S, ONE_S = 60.0, 5.0
CONFIG = "global: {evaluation_interval: 15s}\nrule_files: ['{folder}/*.yml']\n"


def document(number: int, threshold: float) -> documents.Document:
    """A policy with hysteresis, for a host of its own."""
    condition = {
        "type": "metric_threshold",
        "metric_name": "cpu_percent",
        "operator": "gt",
        "threshold": threshold,
        "for": "5m",
        "resolve_when": {"operator": "lt", "threshold": threshold - 10},
        "labels": {"instance": f"host-{number}"},
    }
    action = {"type": "alert", "severity": "high", "message": "CPU usage is above threshold"}
    rules = [{"condition": condition, "action": action}]
    return documents.parse({"name": f"Policy {number}", "rules": rules}, "benchmark")


def seconds(began: float) -> float:
    return time.perf_counter() - began


def main() -> list[str]:
    """The names of the figures that missed their limit."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-bench-"))
    home.chmod(0o755)
    source = debian.Source(conftest.ROOT / ".cache" / "debian", debian.Suite.HOST, print)
    folder, data = home / "generated", home / "prometheus"
    folder.mkdir()
    data.mkdir()
    postgres = stack.postgresql(home)
    text = CONFIG.replace("{folder}", str(folder))
    prometheus = stack.prometheus(source.find("prometheus"), data, text)
    judge = promtool.Promtool(source.find("promtool"))
    try:
        postgres.start()
        prometheus.start()
        return measure(postgres, prometheus, folder, judge)
    finally:
        prometheus.kill9()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


def measure(
    postgres: stack.Postgres,
    prometheus: stack.Prometheus,
    folder: pathlib.Path,
    judge: promtool.Promtool,
) -> list[str]:
    table = report.Report(f"Publishing, {POLICIES:,} policies")
    migrate.migrate(postgres.place.url())
    client = connection.Client(prometheus.url, timeout=timedelta(seconds=30))
    made = publishing.Publishing(
        policies.PostgresPolicyStore(database.Database(postgres.place.url())),
        rule_files.RuleFiles(folder, client, judge),
        alerts=FakeAlertEnder(),
        thresholds=config.Thresholds,
        clock=time.time,
        meters=telemetry.Telemetry(),
    )
    wanted = [document(number, 50 + number % 40) for number in range(POLICIES)]
    began = time.perf_counter()
    made.apply(wanted, prune=False, by="benchmark")
    all_s = seconds(began)
    given = base.Given(config.Thresholds(), made._now())
    found = [drafts.draft_of(each, given) for each in wanted]
    began = time.perf_counter()
    promtool.judge(judge, found)
    floor_s = seconds(began)
    table.add(report.Figure("promtool on them alone (the floor)", floor_s, "s"))
    table.add(report.Figure("all at once", all_s, "s", ALL_S))
    table.add(report.Figure("all at once / floor", all_s / floor_s, "", MOST_RATIO))
    began = time.perf_counter()
    requests.post(f"{prometheus.url}/-/reload", timeout=60).raise_for_status()
    requests.get(f"{prometheus.url}/api/v1/rules?type=alert", timeout=60).raise_for_status()
    table.add(report.Figure("a reload and reading its rules back", seconds(began), "s"))
    took = []
    for change in range(CHANGES):
        began = time.perf_counter()
        made.replace(1, document(0, 60 + change), expected=None, by="benchmark")
        took.append(seconds(began))
    table.add(report.Figure(f"one changed, median of {CHANGES}", median(took), "s", ONE_S))
    began = time.perf_counter()
    made.turn()
    table.add(report.Figure("seen to be as they should be", seconds(began), "s"))
    return table.missed


if __name__ == "__main__":
    sys.exit(bool(main()))
