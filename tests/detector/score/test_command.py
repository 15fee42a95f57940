"""The real command: what docs/score.md shows, and one wrong file."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "score.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    mda (score .*)$", PAGE, re.MULTILINE)
WRONG = re.findall(r"^    (mda: .*)$", PAGE, re.MULTILINE)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "detector", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the page's commands name, requests.csv as the page has it."""
    example = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "requests.csv").write_text(example)
    steps = np.arange(300)
    series = pd.DataFrame({"id": "a", "ts": 1_772_366_400 + 300 * steps, "value": steps % 7.0})
    both = pd.concat([series, series.assign(id="b")], ignore_index=True)
    both.to_parquet(tmp_path / "series.parquet")
    (tmp_path / "meta.csv").write_text("id,dataset,step_s,train_n\na,web,300,100\nb,web,300,100\n")
    (tmp_path / "mda.yml").write_text("queries: [{name: requests, expr: x, direction: above}]\n")
    return tmp_path


def test_the_page_shows_commands_and_an_error() -> None:
    assert (len(COMMANDS), len(WRONG)) == (4, 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_page_run(folder: Path, command: str) -> None:
    ran = run(folder, *shlex.split(command))

    assert ran.returncode == 0, ran.stderr
    if "--json" in command:
        assert json.loads(ran.stdout)["rows"] == 3
    else:
        assert re.fullmatch(r"scores\.\w+: \d+ rows of \d series, 0 above 1 .*\n", ran.stdout)
    out = next(path for path in folder.iterdir() if path.stem == "scores")
    scores = pd.read_csv(out) if out.suffix == ".csv" else pd.read_parquet(out)
    assert np.isfinite(scores["score"]).all()


def test_wrong_file_is_the_line_of_the_page_and_status_2(folder: Path) -> None:
    file = folder / "requests.csv"
    file.write_text(file.read_text().replace("128.5", "high"))
    ran = run(folder, "score", "requests.csv", "--out", "scores.csv")
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"{WRONG[0]}\n")
    assert not (folder / "scores.csv").exists()


def test_missing_out_is_usage_and_status_2(folder: Path) -> None:
    ran = run(folder, "score", "requests.csv")
    assert ran.returncode == 2
    assert "--out" in ran.stderr
