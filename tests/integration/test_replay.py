"""`mda replay` on anomalies that live scoring has put into a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from detector import anomalies, frames
from detector.store import anomalies as stored
from detector.store import database, migrate
from tests.detector.services import live

pytestmark = pytest.mark.usefixtures("compiled_kernels")


def replay(database_url: str, anomaly_id: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "detector", "replay", str(anomaly_id)],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_says_why_a_series_was_missed(database_url: str) -> None:
    migrate.migrate(database_url)
    connections = database.Database(database_url)
    store = stored.PostgresAnomalyStore(connections)
    told = live.opened(frames.Kind.MISSING, store)[1]
    page = store.list_anomalies(anomalies.Filter(kind="missing"))
    connections.close()
    assert [each.id for each in page.anomalies] == [told.id]

    ran = replay(database_url, told.id)

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[1] == f"missing, no sample at {told.anomaly.peak_at:%Y-%m-%d %H:%M:%S} UTC"
    assert "missing, since: no sample for 13 steps; 12 are the limit" in lines
    assert lines[-1] == "The same, to the last bit."
