"""One live stack for the end-to-end tests, on injected values at a step of one second."""

from __future__ import annotations

import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests import stack
from tests.e2e import live

QUERY = "injected"
STEP_S = 1


class Injected:
    """A metric whose value tests set, read by the exporter's textfile collector."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.set(10.0)

    def set(self, value: float) -> None:
        """Expose this value from the next scrape on."""
        unfinished = self.folder / "injected.tmp"
        unfinished.write_text(
            "# HELP injected_value Set by a test.\n# TYPE injected_value gauge\n"
            f"injected_value {value}\n"
        )
        unfinished.rename(self.folder / "injected.prom")


@pytest.fixture(scope="session")
def live_stack(stack_binaries: stack.Binaries) -> Iterator[tuple[live.LiveStack, Injected]]:
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-live-"))
    home.chmod(0o755)
    injected = Injected(home / "textfile")
    queries = [{"name": QUERY, "expr": "injected_value", "min_deviation": 0.5}]
    environ = {
        "METRIC_COLLECTION_INTERVAL": str(STEP_S),
        "ML_DETECTION_ENABLED": "true",
        "EXPORTER_COLLECTORS__TEXTFILE__DIRECTORY": str(home / "textfile"),
        "MDA_QUERIES": json.dumps(queries),
    }
    running = live.LiveStack(home, environ, stack_binaries)
    running.start()
    yield running, injected
    running.stop()
    shutil.rmtree(home, ignore_errors=True)
