"""One live stack for the end-to-end tests, on injected values at a step of one second."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest

from tests import stack
from tests.e2e import live

QUERY = "injected"
STEP_S = 1


class Injected:
    """A metric read by the exporter's textfile collector: small waves about 10, and the `shift`
    that a test adds. It moves on while no test looks, as a real one does."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.shift = 0.0
        folder.mkdir()
        threading.Thread(target=self._move, name="injected", daemon=True).start()

    def _move(self) -> None:
        """Expose another value for each scrape, until the folder is gone."""
        unfinished = self.folder / "injected.tmp"
        with contextlib.suppress(OSError):
            for turn in itertools.count():
                waves = 0.3 * math.sin(turn * 2.1) + 0.2 * math.sin(turn * 0.7)
                unfinished.write_text(
                    "# HELP injected_value Set by a test.\n# TYPE injected_value gauge\n"
                    f"injected_value {10.0 + waves + self.shift}\n"
                )
                unfinished.rename(self.folder / "injected.prom")
                time.sleep(0.2)


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
