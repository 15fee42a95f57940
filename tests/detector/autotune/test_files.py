"""Files are tuned, query by query, and what is known of them is told."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector import config, errors
from detector.autotune import job, text
from detector.models import checks
from tests.detector import test_cli

PAGE = (Path(__file__).parents[3] / "docs" / "backtest.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    mda (autotune .*parquet.*)$", PAGE, re.MULTILINE)
START_S = 1_772_323_200
STEPS = 1200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two series of web, off one grid, and one of a day; in the last part web-1 jumps twice, of
    which once is known."""
    values = 50 + checks.noise(STEPS, 3)
    values[900:906, 0] += 30
    values[1000:1006, 0] += 30
    at_s = START_S + 300 * np.arange(STEPS)
    pd.concat(
        [
            pd.DataFrame({"id": "web-1", "ts": at_s, "value": values[:, 0]}),
            pd.DataFrame({"id": "web-2", "ts": at_s + 17, "value": values[:, 1]}),
            pd.DataFrame({"id": "db", "ts": at_s[:288], "value": values[:288, 2]}),
        ]
    ).to_parquet(tmp_path / "requests.parquet")
    (tmp_path / "meta.csv").write_text("id,dataset,instance\nweb-1,web,a\nweb-2,web,a\ndb,db,b\n")
    start, end = START_S + 300 * 899, START_S + 300 * 907
    (tmp_path / "incidents.csv").write_text(f"id,start,end\nweb-1,{start},{end}\n")
    (tmp_path / "mda.yml").write_text(
        "ml_detection_enabled: false\n"
        "queries: [{name: requests, expr: x, budget: 1 per day per series}]\n"
    )
    return tmp_path


def run(folder: Path, **given: object) -> job.Outcome:
    options = job.Options(file=folder / "requests.parquet", **given)  # type: ignore[arg-type]
    return job.run(config.load(folder / "mda.yml", {}), options, now_ms=0)


def test_the_page_shows_a_command() -> None:
    assert len(COMMANDS) == 1


def test_the_command_of_the_page_tunes_what_can_be_and_says_what_is_left_out(folder: Path) -> None:
    ran = test_cli.run(folder, "--config", "mda.yml", *shlex.split(COMMANDS[0]))

    assert ran.returncode == 0, ran.stderr
    first = "requests.parquet: web at 5m: 4.2 days of history; its budget allows 2.0 incidents"
    assert ran.stdout.startswith(first)
    assert "There, of 1 labelled events, and beside them:" in ran.stdout
    (told,) = re.findall(r"labelled.*\n.*\n  as it is +(\d\.\d\d)  (\d\.\d\d\d)\n", ran.stdout)
    assert told[0] == "1.00"
    assert float(told[1]) > 0  # the other jump
    left = "left out: requests.parquet: db at 5m: 1.0 days of history: 2 are needed"
    assert ran.stdout.splitlines()[-1] == left


def test_a_script_gets_a_list_of_the_queries_of_a_file(folder: Path) -> None:
    found = run(folder, meta=folder / "meta.csv", query="requests", days=3.0)

    said = json.loads(json.dumps(text.summary_of(found)))
    (web,) = said["queries"]
    assert web["query"].endswith("requests.parquet: web at 5m")
    assert web["days"] == pytest.approx(3.0, abs=0.01)
    assert web["held_back"]["as_it_is"]["labels"] is None
    assert said["left_out"] == [
        f"{folder}/requests.parquet: db at 5m: 1.0 days of history: 2 are needed"
    ]
    assert found.tunings[0].under == "requests"
    assert "labelled" not in text.text_of(found)


def test_groups_of_a_file_are_tuned_too_where_it_says_which_they_are(folder: Path) -> None:
    queries = "queries: [{name: requests, expr: x, group_by: [instance]}]\n"
    (folder / "mda.yml").write_text(queries)
    given = {"meta": folder / "meta.csv", "query": "requests"}
    with pytest.raises(errors.ConfigError, match=r"'web-2' has a sample at 2026-03-01T00:00:17Z,"):
        run(folder, **given)

    file = folder / "requests.parquet"
    rows = pd.read_parquet(file)
    rows.assign(ts=rows["ts"] // 300 * 300).to_parquet(file)
    (web,) = run(folder, **given).tunings
    assert 0 < (web.candidates[0].tried.found or 0) <= 1


@pytest.mark.parametrize(
    ("meta", "days", "line"),
    [
        (
            f"id,train_n\nweb-1,{STEPS}\nweb-2,{STEPS}\ndb,288\n",
            None,
            "a smaller train_n is needed",
        ),
        ("id,train_n\nweb-1,0\nweb-2,0\n", None, "meta.csv: id: 'db': every id of the scored file"),
        ("id\nweb-1\nweb-2\ndb\n", 0.5, "requests.parquet: 0.5 days of history: 2 are needed"),
        (
            "id,step_s\nweb-1,3600\nweb-2,3600\ndb,3600\n",
            None,
            "no series without gaps and anomalies where candidates are compared",
        ),
    ],
)
def test_a_file_of_which_nothing_can_be_tuned_is_one_line(
    folder: Path, meta: str, days: float | None, line: str
) -> None:
    file = folder / "requests.parquet"
    if "step_s" in meta:
        rows = pd.read_parquet(file)
        rows[rows["ts"] % 3600 < 300].to_parquet(file)
    (folder / "meta.csv").write_text(meta)
    with pytest.raises(errors.ConfigError) as caught:
        run(folder, meta=folder / "meta.csv", days=days)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_of_no_series_of_the_file_are_one_line(folder: Path) -> None:
    file = folder / "incidents.csv"
    file.write_text(file.read_text().replace("web-1", "web-9"))
    with pytest.raises(errors.ConfigError, match=r"'web-9': matches none of the 3 series"):
        run(folder, labels=file)
