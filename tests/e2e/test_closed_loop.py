"""The loop, closed: a value jumps, and in the end PostgreSQL remembers an episode that is over."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from typing import Any

import pytest

from tests import stack
from tests.e2e import live
from tests.e2e.conftest import QUERY, Injected

SELECTOR = f'{{query="{QUERY}"}}'
SHIFTS = (25.0, -250.0, 2500.0)
"""Of the injected values, until one makes the rule fire: it waits for 15 s, here 15 steps, and the
detector takes a new level for the usual one after some 20, or fewer where a busy machine shows it
the same value again and again."""


class Driver:
    """Asks the stack until something is so, while a test shifts the injected metric."""

    def __init__(self, running: live.LiveStack, injected: Injected) -> None:
        self.running, self.injected = running, injected
        self.shift = 0.0

    def until(self, what: str, timeout_s: float, done: Any) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            self.injected.shift = self.shift
            answer = done()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout_s} s for {what}; last answer {answer!r}")
            time.sleep(0.2)

    def score(self) -> float:
        found = self.running.query(f"anomaly_score{SELECTOR}")
        return float(found[0]["value"][1]) if found else -1.0

    def alert_states(self) -> list[str]:
        rows = self.running.query(f'ALERTS{{alertname="AnomalyDetected",query="{QUERY}"}}')
        return [row["metric"]["alertstate"] for row in rows]

    def raise_alert(self) -> None:
        """Shift the values until the rule fires."""
        for self.shift in SHIFTS:
            with contextlib.suppress(TimeoutError):
                self.until("the rule to fire", 45, lambda: "firing" in self.alert_states())
                return
            shift, self.shift = self.shift, 0.0
            self.until(f"a quiet score after {shift}", 90, lambda: 0 <= self.score() < 1)
        raise TimeoutError(f"no shift of {SHIFTS} makes the rule fire")

    def episodes(self, **wanted: str) -> list[dict[str, Any]]:
        answer = self.running.api("/api/alerts", label=f"query:{QUERY}", **wanted)
        return [e for e in answer["alerts"] if e["labels"]["alertname"] == "AnomalyDetected"]

    def is_sure(self) -> bool:
        """Whether it has scored long enough to call a new level anomalous until a rule fires: with
        the least history the scores of one lie just above 1, or just below."""
        found = self.running.query(f"count_over_time(anomaly_score{SELECTOR}[10m])")
        return bool(found) and float(found[0]["value"][1]) >= 90


@pytest.mark.timeout(540)  # with a machine that does much else
def test_an_injected_spike_is_scored_fires_is_delivered_stored_and_resolves(
    live_stack: tuple[live.LiveStack, Injected],
) -> None:
    running, injected = live_stack
    driver = Driver(running, injected)
    driver.until("a first score", 120, lambda: driver.score() >= 0)
    driver.until("the query to be sure", 180, driver.is_sure)
    driver.until("a quiet score", 60, lambda: 0 <= driver.score() < 1)

    driver.raise_alert()
    firing = driver.until("the stored episode", 60, lambda: driver.episodes(state="firing"))
    active = running.query(f"anomaly_active{SELECTOR}")

    driver.shift = 0.0
    done = driver.until("the episode's end", 180, lambda: driver.episodes(state="resolved"))

    (kind,) = [row["metric"]["kind"] for row in active]
    assert kind in {"spike", "level_shift"}  # the longer it lasts, the more it is a new level
    assert [episode["id"] for episode in done] == [episode["id"] for episode in firing]
    whole = running.api(f"/api/alerts/{done[0]['id']}")
    changes = [change["state"] for change in whole["transitions"]]
    assert changes[-2:] == ["firing", "resolved"]
    assert changes[:-2] in ([], ["pending"])  # Prometheus may be slow to say since when
    expected = running.query(f"anomaly_expected{SELECTOR}")
    lower = running.query(f"anomaly_lower{SELECTOR}")
    upper = running.query(f"anomaly_upper{SELECTOR}")
    bounds = [float(rows[0]["value"][1]) for rows in (lower, expected, upper)]
    assert bounds == sorted(bounds)
    assert expected[0]["metric"].get("job") == "node"


def test_scores_stand_on_the_grid_once_a_step_and_never_in_the_future(
    live_stack: tuple[live.LiveStack, Injected],
) -> None:
    running, injected = live_stack
    driver = Driver(running, injected)

    def stamps_of_a_minute() -> list[float]:
        rows = running.query(f"anomaly_score{SELECTOR}[1m]")
        return [stamp for stamp, _ in rows[0]["values"]] if rows else []

    def enough() -> list[float] | None:
        found = stamps_of_a_minute()
        return found if len(found) >= 10 else None

    stamps = driver.until("ten scores", 180, enough)
    now = time.time()

    assert all(stamp == int(stamp) and stamp <= now for stamp in stamps)
    assert len(stamps) == len(set(stamps))
    assert max(b - a for a, b in itertools.pairwise(stamps)) <= 2


def test_the_host_preset_is_scored_without_any_editing(
    live_stack: tuple[live.LiveStack, Injected],
) -> None:
    running, injected = live_stack
    driver = Driver(running, injected)

    def scored() -> set[str]:
        rows = running.query("count by (query) (anomaly_score)")
        return {row["metric"]["query"] for row in rows}

    wanted = {"host_cpu", "host_memory", "host_load", "host_network_receive"}
    driver.until("scores of the host", 180, lambda: wanted <= scored())


def test_the_stack_says_that_it_is_ready_and_why(
    live_stack: tuple[live.LiveStack, Injected],
) -> None:
    running, _ = live_stack

    status = stack.wait_until(lambda: _ready(running), 60, "readiness")

    assert status["reasons"] == []
    assert {loop["name"] for loop in status["loops"]} >= {"scoring", "refits"}
    assert json.dumps(status)


def _ready(running: live.LiveStack) -> Any:
    status = running.api("/api/status")
    return status if status["ready"] else None
