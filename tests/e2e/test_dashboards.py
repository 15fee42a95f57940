"""Every panel of every dashboard shows data on a live stack that has seen an anomaly."""

from __future__ import annotations

import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests import stack
from tests.e2e import live
from tests.e2e import test_closed_loop as loop
from tests.e2e.conftest import QUERY, STEP_S, Injected
from tests.grafana import dashboards

# What only an anomaly brings about.
OF_ANOMALIES = ("anomaly_active", "ALERTS")
KERNEL_HAS_PRESSURE = pathlib.Path("/proc/pressure").exists()


@pytest.fixture
def own_stack(stack_binaries: stack.Binaries) -> Iterator[tuple[live.LiveStack, Injected]]:
    """A stack of this test's own: a spike spends the alert budget of a series' first hour."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-panels-"))
    home.chmod(0o755)
    injected = Injected(home / "textfile")
    environ = {
        "METRIC_COLLECTION_INTERVAL": str(STEP_S),
        "ML_DETECTION_ENABLED": "true",
        "EXPORTER_COLLECTORS__TEXTFILE__DIRECTORY": str(home / "textfile"),
        "MDA_QUERIES": json.dumps(
            [{"name": QUERY, "expr": "injected_value", "min_deviation": 0.5}]
        ),
    }
    running = live.LiveStack(home, environ, stack_binaries)
    running.start()
    yield running, injected
    running.stop()
    shutil.rmtree(home, ignore_errors=True)


def is_to_be_expected_here(target: dashboards.Target) -> bool:
    """A kernel without pressure information (CONFIG_PSI) rightly has none."""
    return KERNEL_HAS_PRESSURE or "pressure" not in target.expr


@pytest.mark.timeout(540)  # with a machine that does much else
def test_every_panel_shows_data(own_stack: tuple[live.LiveStack, Injected]) -> None:
    running, injected = own_stack
    driver = loop.Driver(running, injected)
    empty: list[dashboards.Target] = []

    def shown(but: tuple[str, ...] = ()) -> bool:
        found = dashboards.empty_panels(running.prometheus_url, step_s=STEP_S)
        empty[:] = [
            target
            for target in found
            if is_to_be_expected_here(target) and not target.expr.startswith(but)
        ]
        return not empty

    try:
        driver.until("the query to be sure", 240, driver.is_sure)
        driver.until("a quiet score", 60, lambda: 0 <= driver.score() < 1)
        driver.until("panels of quiet times", 180, lambda: shown(but=OF_ANOMALIES))
        driver.raise_alert()
        driver.until("all panels", 30, shown)
    except TimeoutError as exc:
        raise AssertionError("\n".join([f"{exc}; no data for:", *map(str, empty)])) from exc
