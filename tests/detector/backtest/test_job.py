"""Backtests of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector import config, errors
from detector.backtest import job, results
from detector.models import checks

STEPS = 6 * 288
START_S = 1_772_323_200


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six days at 5 minutes, a jump on the third and one on the last; a meta of four days."""
    values = checks.noise(STEPS, 1)[:, 0]
    values[600:610] += 60.0
    values[1600:1610] += 60.0
    path = tmp_path / "f.parquet"
    at_s = START_S + 300 * np.arange(STEPS)
    pd.DataFrame({"id": "a", "ts": at_s, "value": values}).to_parquet(path)
    (tmp_path / "meta.csv").write_text("id,train_n\na,1152\n")
    return path


def run(**options: object) -> results.Backtest:
    made = job.Options(**options)  # type: ignore[arg-type]
    return job.run(config.load(None, {}), made, now_ms=0).found


def test_what_is_only_learned_from_is_expected_from_but_not_counted(file: Path) -> None:
    found = run(file=file, meta=file.parent / "meta.csv")

    (only,) = found.variants
    assert found.start_ms == (START_S + 300 * 1152) * 1000
    assert [len(each.incidents) for each in only.series] == [1]
    assert only.allowed_per_week == pytest.approx(1.0, rel=0.01)
    assert only.expected is not None
    assert only.expected.incidents == 1
    assert only.expected.series_days == pytest.approx(1.5, rel=0.01)


def test_budgets_stand_side_by_side_and_a_larger_one_allows_more(file: Path) -> None:
    few, many = run(file=file, budget=("1 per week per series", "2 per day per query")).variants

    assert (few.name, many.name) == ("1 per week per series", "2 per day per query")
    assert few.allowed_per_week == pytest.approx(1.0, rel=0.01)
    assert many.allowed_per_week == 14.0
    assert few.incidents <= many.incidents
    assert few.alerts == sum(len(each.alerts) for each in few.series) > 0


def test_settings_of_a_query_hold_for_a_file(file: Path) -> None:
    text = "queries: [{name: q, expr: x, min_deviation: 1000}]"
    (file.parent / "c.yml").write_text(text)
    settings = config.load(file.parent / "c.yml", {})

    found = job.run(settings, job.Options(file=file, query="q"), now_ms=0).found

    assert found.variants[0].incidents == 0


def test_a_file_that_is_all_known_beforehand_has_nothing_to_count(file: Path) -> None:
    (file.parent / "meta.csv").write_text(f"id,train_n\na,{STEPS}\n")
    with pytest.raises(errors.ConfigError, match="no sample is left to count"):
        run(file=file, meta=file.parent / "meta.csv")


def test_the_text_names_the_noisiest_series(file: Path) -> None:
    text = results.text_of(run(file=file))

    assert f"{file}: 1 series, 2026-03-01T00:00:00Z to 2026-03-06T23:55:00Z" in text
    assert text.splitlines()[-3].endswith("  a")
    assert "expected: " in text
