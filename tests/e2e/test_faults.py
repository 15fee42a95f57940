"""Each part is killed with -9 while alerts flow; what was acknowledged is there, and once."""

from __future__ import annotations

import contextlib
import itertools
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
                    "expr": "fault_injected > 0",
                    "for": "1s",
                    "labels": {"severity": "info"},
                }
            ],
        }
    ]
}
BEFORE_S, AFTER_S = 4.0, 8.0
"""Alerts begin for so long before and after the kill, four a second."""
PATIENCE_S = 150.0
"""Prometheus sends a firing alert again each minute; Alertmanager forgets when killed."""


def _pid(running: live.LiveStack, part: str) -> int:
    """The process of a part: the direct child of `mda up` whose command line names it."""
    marks = {
        "postgres": "postgres",
        "prometheus": "--storage.tsdb.path",
        "alertmanager": "--cluster.listen-address",
        "detector": "detector serve",
    }
    found = [
        child.pid
        for child in psutil.Process(running.pid).children(recursive=True)
        if marks[part] in " ".join(child.cmdline()) and child.ppid() != child.pid
    ]
    assert found, f"{part} does not run"
    return min(found)


def _expose(folder: pathlib.Path, cases: list[str]) -> None:
    lines = ["# HELP fault_injected A case.", "# TYPE fault_injected gauge"]
    lines += [f'fault_injected{{case="{case}"}} 1' for case in cases]
    unfinished = folder / "faults.tmp"
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.rename(folder / "faults.prom")


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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", ["postgres", "prometheus", "alertmanager", "detector"])
def test_a_killed_part_loses_and_doubles_no_alert(
    live_stack: tuple[live.LiveStack, Injected], part: str
) -> None:
    running, injected = live_stack
    _load_rule(running)
    cases: list[str] = []
    began = time.monotonic()
    victim = _pid(running, part)
    is_alive = True
    for number in itertools.count():
        passed_s = time.monotonic() - began
        if is_alive and passed_s > BEFORE_S:
            os.kill(victim, signal.SIGKILL)
            is_alive = False
        if passed_s > BEFORE_S + AFTER_S:
            break
        cases.append(f"{part}-{number}")
        _expose(injected.folder, cases)
        time.sleep(0.25)

    with contextlib.suppress(TimeoutError):
        stack.wait_until(
            lambda: all(_stored(running)[case] for case in cases), PATIENCE_S, "all episodes"
        )
    stored = _stored(running)
    own = {case: stored[case] for case in cases}
    doubled = [case for case, count in own.items() if count > 1]
    lost = [case for case, count in own.items() if count == 0]
    print(
        f"\nkill -9 {part}: sent {len(cases)} received {sum(own.values())} "
        f"doubled {len(doubled)} lost {len(lost)}"
    )
    assert (doubled, lost) == ([], [])
    assert _pid(running, part) != victim
