"""`mda backtest` and `mda check --expect` on the history of a real Prometheus."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector import config, errors, frames
from detector.backtest import expected, job
from detector.models import checks
from detector.services import outcomes
from tests import conftest, remote, stack
from tests.detector import test_cli

STEP_MS = 60_000
DAYS = 5
STEPS = DAYS * 1440
METRIC = "requests"
LABELS = [remote.labels(METRIC, instance=name) for name in ("a", "b")]


def values() -> frames.Floats:
    """Noise; series b jumps for ten minutes, six hours before the end."""
    made = 100 + checks.noise(STEPS, 2)
    made[-360:-350, 1] += 60
    return made


@pytest.fixture
def end_ms() -> int:
    """The newest step."""
    return int(time.time() * 1000) // STEP_MS * STEP_MS


@pytest.fixture
def server(prometheus: conftest.MakePrometheus, end_ms: int) -> stack.Prometheus:
    made, server = values(), prometheus()
    for first in range(0, STEPS, 720):
        samples = [
            (labels, float(made[t, row]), end_ms - (STEPS - 1 - t) * STEP_MS)
            for row, labels in enumerate(LABELS)
            for t in range(first, first + 720)
        ]
        assert remote.push(server.url, samples).status_code == 204
    return server


def settings(server: stack.Prometheus, **query: object) -> config.Settings:
    return config.Settings.model_validate(
        {
            "presets": (),
            "queries": ({"name": "q", "expr": METRIC, "step": "1m"} | query,),
            "prometheus": {"url": server.url},
        }
    )


def test_history_and_a_file_of_the_same_samples_bring_the_same(
    server: stack.Prometheus, end_ms: int, tmp_path: Path
) -> None:
    made, file = values(), tmp_path / "f.parquet"
    at_s = (end_ms - STEP_MS * np.arange(STEPS)[::-1]) // 1000
    rows = [pd.DataFrame({"id": str(k), "ts": at_s, "value": made[:, k]}) for k in (0, 1)]
    pd.concat(rows).to_parquet(file)
    labels = tmp_path / "l.csv"
    jump_s = at_s[-360]
    labels.write_text(f'id,start,end\n"{{instance=""b""}}",{jump_s},{jump_s + 540}\n')

    live = job.run(
        settings(server),
        job.Options(query="q", days=DAYS, labels=labels),
        now_ms=end_ms,
    )
    recorded = job.run(settings(server), job.Options(file=file), now_ms=end_ms)

    assert [each.name for each in live.scored] == [
        'requests{instance="a"}',
        'requests{instance="b"}',
    ]
    for one, other in zip(live.scored, recorded.scored, strict=True):
        seen = np.isfinite(one.values)
        np.testing.assert_array_equal(one.score[seen], other.score)
        assert outcomes.incidents_of(one) == outcomes.incidents_of(other)
    quality = live.found.variants[0].quality
    assert quality is not None
    assert (quality.events, quality.found, quality.delay_s) == (1, 1, 0.0)
    assert live.found.variants[0].series[1].alerts
    assert live.found.notes[0].startswith("Prometheus holds 5.0 of the 6.0 days asked for")


def test_only_what_came_after_the_learned_history_counts(
    server: stack.Prometheus, end_ms: int
) -> None:
    found = job.run(settings(server), job.Options(query="q", days=0.5), now_ms=end_ms).found

    assert found.notes == ()
    assert found.start_ms == end_ms - 720 * STEP_MS
    assert [len(each.incidents) for each in found.variants[0].series] == [0, 1]


WRONG = [
    (job.Options(query="p"), "--query: 'p': no such query in settings: q allowed"),
    (job.Options(expr="nobody"), "nobody: no history: not one sample in this time"),
    (job.Options(expr="sum("), "sum(: not PromQL"),
    (job.Options(query="q", days=0.0), "--days: 0: above 0 to 366 is allowed"),
    (job.Options(query="q", step="5y"), "--step: '5y'"),
    (job.Options(query="q", budget=("lots",)), "--budget: 'lots': a budget is"),
    (job.Options(), "one of FILE, --query NAME and --expr PROMQL is needed"),
    (job.Options(query="q", labels=Path("l.csv")), "l.csv: line 2: 'c': matches none of the 2"),
]


def test_what_is_wrong_is_one_line(
    server: stack.Prometheus, end_ms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("l.csv").write_text(f"id,start,end\nc,{end_ms - 1000},{end_ms}\n")
    for options, text in WRONG:
        with pytest.raises(errors.ConfigError) as caught:
            job.run(settings(server), options, now_ms=end_ms)
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_command_reads_scores_and_counts(server: stack.Prometheus, tmp_path: Path) -> None:
    arguments = ("backtest", "--expr", METRIC, "--days", "2", "--step", "1m")
    env = {"MDA_PROMETHEUS__URL": server.url}

    ran = test_cli.run(tmp_path, *arguments, "--json", "--report", "r.html", **env)
    strict = test_cli.run(tmp_path, *arguments, "--max-per-week", "0.1", **env)
    wrong = test_cli.run(tmp_path, "backtest", "--expr", "nobody", **env)

    assert ran.returncode == 0, ran.stderr
    (only,) = json.loads(ran.stdout)["configurations"]
    assert only["incidents"] == sum(len(each["incidents"]) for each in only["series"]) > 0
    assert "requests{instance=&quot;b&quot;}" in (tmp_path / "r.html").read_text()
    assert strict.returncode == 1
    assert "at most 0.1 allowed" in strict.stderr
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.splitlines()[-1] == "mda: nobody: no history: not one sample in this time"


def test_check_says_what_each_query_may_be_expected_to_bring(server: stack.Prometheus) -> None:
    (known,) = expected.checks_of(settings(server))
    (nothing,) = expected.checks_of(settings(server, expr="nobody"))
    (late,) = expected.checks_of(settings(server), within_s=-1.0)
    (short,) = expected.checks_of(settings(server, expr=f"{METRIC} offset 3d"))

    assert known.verdict == "ok"
    assert "incidents a week (" in known.text
    assert known.text.endswith("from all 2 series, 5 days")
    assert nothing.text == "not known: no series now"
    assert late.text.startswith("not looked at: ")
    assert "days of history, 4 are needed" in short.text


def test_of_many_series_some_are_looked_at(
    server: stack.Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected, "MOST_SAMPLES", timedelta(days=14) // timedelta(minutes=1))

    (found,) = expected.checks_of(settings(server))

    assert found.text.endswith("from 1 of 2 series, 5 days")


def test_autotune_reads_compares_and_says_what_to_set(
    server: stack.Prometheus, tmp_path: Path
) -> None:
    file = tmp_path / "mda.yml"
    file.write_text(
        f"prometheus: {{url: '{server.url}'}}\npresets: []\n"
        f"queries: [{{name: q, expr: {METRIC}, step: 5m, budget: 1 per day per series}}]\n"
    )
    asked = ["--config", str(file), "autotune", "--query", "q", "--days", "5"]
    told = test_cli.run(tmp_path, *asked)
    assert told.returncode == 0, told.stderr
    assert "its budget allows 14.0 incidents a week" in told.stdout
    assert "On the last part of the history, where nothing was chosen:" in told.stdout
    found = json.loads(test_cli.run(tmp_path, *asked, "--json").stdout)
    assert found["candidates"][0]["name"] == "as it is"
    assert 0.5 < found["held_back"]["as_it_is"]["found"] <= 1
