"""The log of model fits."""

from __future__ import annotations

import dataclasses

from detector import ports
from detector.store import database, tables


class PostgresFitLog:
    """ports.FitLog in PostgreSQL."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def record_fit(self, fit: ports.Fit) -> None:
        """Insert one row."""
        row = dataclasses.asdict(fit) | {"quantiles": list(fit.quantiles)}
        with self._database.begin() as connection:
            connection.execute(tables.fits.insert().values(row))
