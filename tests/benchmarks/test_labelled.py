from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import labelled
from detector.models import checks

STEPS, PAST, EVENT = 900, 400, slice(700, 710)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets of two series with an event each after their past."""
    ids = ["nab/a", "nab/b", "web/a", "web/b"]
    values = checks.noise(STEPS, 4)
    values[EVENT] += 30.0
    label = np.zeros((STEPS, 4), np.int8)
    label[EVENT] = 1
    series = pd.DataFrame(
        {
            "id": np.repeat(ids, STEPS),
            "ts": np.tile(1_772_366_400 + 300 * np.arange(STEPS), 4),
            "value": values.T.ravel(),
        }
    )
    series.to_parquet(tmp_path / "series.parquet")
    series[["id", "ts"]].assign(label=label.T.ravel()).to_parquet(tmp_path / "labels.parquet")
    lines = [f"{name},{name[:3]},300,{PAST}" for name in ids]
    (tmp_path / "meta.csv").write_text("\n".join(["id,dataset,step_s,train_n", *lines]))
    windows = {name: [[EVENT.start, EVENT.stop - 1]] for name in ids[:2]}
    (tmp_path / "nab_windows.json").write_text(json.dumps(windows))
    return tmp_path


def test_figures_of_all_stand_side_by_side(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABELLED", str(folder))
    monkeypatch.setenv("MODELS", "seasonal_naive hbos")
    assert labelled.main() == []
    printed = capsys.readouterr().out
    assert "4 series, 3,600 rows" in printed
    assert printed.count("mean of sets") == printed.count("NAB standard at 1") == 7


def test_scores_that_are_the_labels_are_worth_all(folder: Path) -> None:
    held = labelled.read_folder(folder)
    scores = [np.where(labels, 2.0, 0.0) for labels in held.labels]
    verdicts = [
        labelled.verdict(*each) for each in zip(held.series, held.labels, scores, strict=True)
    ]
    rows = labelled.rows_of(verdicts)
    assert list(rows) == ["nab", "web", "mean of sets"]
    for _, best_f1, recall, false_a_day in rows.values():
        assert (best_f1, recall, false_a_day) == (1.0, 1.0, 0.0)
    assert labelled.nab(held, scores) == pytest.approx(100.0)
    assert verdicts[0].tally.days == pytest.approx(500 * 300 / 86_400)


def test_without_a_folder_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LABELLED", raising=False)
    assert labelled.main() == []
    assert "not measured: no LABELLED folder" in capsys.readouterr().out
