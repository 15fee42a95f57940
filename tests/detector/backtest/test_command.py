"""The real command: what docs/backtest.md shows of files, and one wrong file."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from detector.models import checks
from tests.detector import test_cli

PAGE = (Path(__file__).parents[3] / "docs" / "backtest.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    mda (backtest .*)$", PAGE, re.MULTILINE)
OF_FILES = [command for command in COMMANDS if "requests.parquet" in command]
WRONG = re.findall(r"^    (mda: .*)$", PAGE, re.MULTILINE)
START = pd.Timestamp("2026-03-01", tz="UTC")
STEPS = 1440


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the page's commands name, incidents.csv as the page has it."""
    values = checks.noise(STEPS, 2)
    values[924:936, 0] += 40.0
    values[1152:1160, 1] -= 40.0
    at = START + pd.to_timedelta(300 * pd.RangeIndex(STEPS), unit="s")
    series = [pd.DataFrame({"id": f"web-{k + 1}", "ts": at, "value": values[:, k]}) for k in (0, 1)]
    pd.concat(series).to_parquet(tmp_path / "requests.parquet")
    (example,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "incidents.csv").write_text(example)
    query = "queries: [{name: requests, expr: x, budget: %s per week per series}]\n"
    (tmp_path / "mda.yml").write_text(query % 1)
    (tmp_path / "other.yml").write_text(query % 20)
    return tmp_path


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return test_cli.run(folder, *shlex.split(command))


def test_the_page_shows_commands_and_an_error() -> None:
    assert (len(COMMANDS), len(OF_FILES), len(WRONG)) == (6, 4, 1)


@pytest.mark.parametrize("command", OF_FILES)
def test_commands_of_the_page_run(folder: Path, command: str) -> None:
    ran = run(folder, command)

    assert ran.returncode == 0, ran.stderr
    if "--json" in command:
        found = json.loads(ran.stdout)["configurations"]
        assert [each["name"] for each in found] == ["mda.yml", "other.yml"]
        assert [each["allowed_per_week"] for each in found] == pytest.approx([2.0, 40.0], rel=0.01)
        return
    assert ran.stdout.startswith("requests.parquet: 2 series, 2026-03-01T00:00:00Z to 2026-03-05")
    if "--labels" in command:
        assert re.search(r"\n1 per week per series +\d\.\d\d +1\.00 ", ran.stdout), ran.stdout
        assert (folder / "requests.html").stat().st_size < 3_000_000
        names = sorted(path.name for path in (folder / "pictures").iterdir())
        assert names == ["overview.png", "series-01.png", "series-02.png"]


def test_labels_of_no_series_are_the_line_of_the_page_and_status_2(folder: Path) -> None:
    file = folder / "incidents.csv"
    file.write_text(file.read_text().replace("web-1", "web-9"))

    ran = run(folder, "backtest requests.parquet --labels incidents.csv")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1] == WRONG[0]


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ("requests.parquet --max-per-week 0.5", 1, "incidents a week: at most 0.5 allowed"),
        ("requests.parquet --plots -1", 2, "--plots: -1: 0 or more is allowed"),
        ("requests.parquet --expr x", 2, "one of FILE, --query NAME and --expr PROMQL is needed"),
        ("requests.parquet --report mda.yml/r.html", 2, "name a file that can be written"),
        ("no.parquet", 2, "no.parquet: No such file or directory"),
        ("requests.parquet --compare no.yml", 2, "no.yml: No such file or directory"),
        ("--query host_cpu", 1, "Connection refused"),
    ],
)
def test_what_stops_it_is_one_line_and_a_status(
    folder: Path, more: str, code: int, text: str
) -> None:
    ran = test_cli.run(
        folder, "backtest", *shlex.split(more), MDA_PROMETHEUS__URL="http://127.0.0.1:9"
    )

    assert ran.returncode == code, ran.stderr
    assert text in ran.stderr.splitlines()[-1]
