"""A migrated database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from detector.store import database, migrate


@pytest.fixture
def connections(database_url: str) -> Iterator[database.Database]:
    """A pool of connections to a migrated database of this test's own."""
    migrate.migrate(database_url)
    pool = database.Database(database_url)
    yield pool
    pool.close()
