from __future__ import annotations

import dataclasses

import pytest
import sqlalchemy as sa

from detector import errors, ports
from detector.store import database, fits, tables
from tests.factories import at

FIT = ports.Fit(
    query="host_cpu",
    model="iforest",
    parameters={"n_estimators": 100, "max_samples": 0.5, "kind": "pooled"},
    seed=2**31 - 1,
    rows=86_400,
    features=12,
    window_start=at(0),
    window_end=at(3600),
    quantiles=(0.5, 0.99, 1e-300),
    fitted_at=at(3601),
    duration_s=0.25,
)


def test_fit_is_kept_whole(connections: database.Database) -> None:
    fits.PostgresFitLog(connections).record_fit(FIT)
    with connections.begin() as connection:
        row = connection.execute(sa.select(tables.fits)).one()._asdict()
    del row["id"]
    row["quantiles"] = tuple(row["quantiles"])
    assert row == dataclasses.asdict(FIT)


@pytest.mark.parametrize(
    "wrong", [{"rows": -1}, {"duration_s": -0.1}, {"window_end": at(-1)}, {"seed": 2**63}]
)
def test_impossible_fit_is_refused(connections: database.Database, wrong: dict[str, int]) -> None:
    with pytest.raises(errors.StoreError) as caught:
        fits.PostgresFitLog(connections).record_fit(dataclasses.replace(FIT, **wrong))  # type: ignore[arg-type]
    assert not caught.value.retryable
