"""Each part is killed with -9 while alerts flow; what was acknowledged is there, and once."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time
from collections import Counter

import psutil
import pytest
import requests
import yaml

from tests import stack
from tests.conftest import Tally
from tests.e2e import live
from tests.e2e.conftest import Injected

ALERT = "FaultInjected"
RULE = {
    "groups": [
        {
            "name": "faults",
            "interval": "1s",
            "rules": [
                {
                    "alert": ALERT,
                    "expr": '{__name__=~"fault_.+"} > 0',
                    "for": "1s",
                    "labels": {"severity": "info"},
                }
            ],
        }
    ]
}
ROUNDS = (("postgres", "prometheus"), ("detector", "alertmanager"))
"""Parts whose kills may meet the same alerts. Not Prometheus with Alertmanager: a Prometheus that
was killed dates a short-lived alert anew, which Alertmanager joins to the one it knows; one that
has just forgotten it rightly takes it for another episode."""
BEFORE_S, AFTER_S = 3.0, 9.0
"""Alerts begin for so long before and after each kill, four a second."""
PATIENCE_S = 150.0
"""Prometheus sends a firing alert again each minute; Alertmanager forgets when killed."""


def _pid(running: live.LiveStack, part: str) -> int:
    """The process of a part: the child of `mda up` whose command line names it; 0 if none."""
    marks = {
        "postgres": "postgres",
        "prometheus": "--storage.tsdb.path",
        "alertmanager": "--cluster.listen-address",
        "detector": "detector serve",
    }
    found = []
    for child in psutil.Process(running.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # one that has just ended
            if marks[part] in " ".join(child.cmdline()):
                found.append(child.pid)
    return min(found, default=0)


def _expose(folder: pathlib.Path, part: str, cases: list[str]) -> None:
    lines = [f"# HELP fault_{part} A case.", f"# TYPE fault_{part} gauge"]
    lines += [f'fault_{part}{{case="{case}"}} 1' for case in cases]
    unfinished = folder / "faults.tmp"
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.rename(folder / f"faults_{part}.prom")


def _stored(running: live.LiveStack) -> Counter[str]:
    """How many episodes each case has."""
    counted: Counter[str] = Counter()
    wanted = {"label": f"alertname:{ALERT}", "limit": "1000"}
    while True:
        page = running.api("/api/alerts", **wanted)
        counted.update(episode["labels"]["case"] for episode in page["alerts"])
        if page["next_cursor"] is None:
            return counted
        wanted["cursor"] = page["next_cursor"]


def _load_rule(running: live.LiveStack) -> None:
    folder = running.home / "rendered" / "rules" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.yml").write_text(yaml.safe_dump(RULE))
    requests.post(f"{running.prometheus_url}/-/reload", timeout=10).raise_for_status()


def _send_while_killing(running: live.LiveStack, folder: pathlib.Path, part: str) -> list[str]:
    """The cases that were exposed, one each quarter of a second, while the part is killed."""
    victim, began, is_alive = _pid(running, part), time.monotonic(), True
    cases: list[str] = []
    while time.monotonic() - began < BEFORE_S + AFTER_S:
        if is_alive and time.monotonic() - began > BEFORE_S:
            os.kill(victim, signal.SIGKILL)
            is_alive = False
        cases.append(f"{part}-{len(cases)}")
        _expose(folder, part, cases)
        time.sleep(0.25)
    stack.wait_until(lambda: _pid(running, part) != victim, 30, f"another {part}")
    return cases


def _all_stored(running: live.LiveStack, cases: list[str]) -> None:
    """Wait until each case has an episode, or patience ends."""
    with contextlib.suppress(TimeoutError):
        stack.wait_until(
            lambda: all(_stored(running)[case] for case in cases), PATIENCE_S, "all episodes"
        )


@pytest.mark.timeout(400)
def test_a_part_killed_at_any_moment_loses_and_doubles_no_alert(
    live_stack: tuple[live.LiveStack, Injected], tally: Tally
) -> None:
    running, injected = live_stack
    _load_rule(running)
    sent: dict[str, list[str]] = {}
    for parts in ROUNDS:
        now = {part: _send_while_killing(running, injected.folder, part) for part in parts}
        _all_stored(running, [case for cases in now.values() for case in cases])
        for part in parts:
            (injected.folder / f"faults_{part}.prom").unlink()
        sent |= now

    stored = _stored(running)
    for part, cases in sent.items():
        tally(
            f"kill -9 {part} of the live stack",
            sent=len(cases),
            received=sum(stored[case] for case in cases),
            doubled=sum(stored[case] > 1 for case in cases),
            lost=sum(stored[case] == 0 for case in cases),
        )
