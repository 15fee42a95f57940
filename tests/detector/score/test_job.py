from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector import config, errors
from detector.files import metas, tables
from detector.models import checks
from detector.score import job, recorded


def settings(**given: str) -> config.Settings:
    return config.load(None, given)


def rows(series: int = 3, *, steps: int = 400) -> pd.DataFrame:
    values = checks.noise(steps, series)
    values[300] += 40.0
    return pd.DataFrame(
        {
            "id": np.repeat([f"web-{place}" for place in range(series)], steps),
            "ts": np.tile(1_772_366_400 + 300 * np.arange(steps), series),
            "value": values.T.ravel(),
        }
    )


def options(folder: Path, frame: pd.DataFrame, **given: object) -> job.Options:
    file = folder / "in.parquet"
    frame.to_parquet(file)
    return job.Options(**{"file": file, "out": folder / "out.parquet", **given})  # type: ignore[arg-type]


def scored(folder: Path, frame: pd.DataFrame, **given: object) -> pd.DataFrame:
    job.run(settings(), options(folder, frame, **given))
    return pd.read_parquet(folder / "out.parquet")


def test_rows_come_out_in_their_order_with_a_verdict_each(tmp_path: Path) -> None:
    given = rows()
    found = scored(tmp_path, given)
    pd.testing.assert_frame_equal(found[["id", "ts", "value"]], given)
    assert found.columns.tolist() == (
        ["id", "ts", "value", "score", "expected", "lower", "upper", "kind"]
    )
    assert (found["score"][found["ts"] == 1_772_366_400 + 300 * 300] > 1).all()
    assert set(found["kind"]) == {"none", "spike"}


def test_interleaved_rows_score_as_contiguous_ones(tmp_path: Path) -> None:
    given = rows()
    mixed = given.sort_values("ts", kind="stable")
    found = scored(tmp_path, mixed.reset_index(drop=True))
    found.index = mixed.index
    pd.testing.assert_frame_equal(found.sort_index(), scored(tmp_path, given))


def test_csv_and_parquet_score_the_same(tmp_path: Path) -> None:
    given = rows()
    expected = scored(tmp_path, given)
    given.to_csv(tmp_path / "in.csv", index=False)
    found = scored(tmp_path, given, file=tmp_path / "in.csv")
    pd.testing.assert_frame_equal(found, expected)


def test_summary_counts_what_was_scored(tmp_path: Path) -> None:
    given = rows()
    given.loc[5, "value"] = np.nan
    asked = options(tmp_path, given)
    summary = job.run(settings(), asked)
    assert (summary.file, summary.out) == (str(asked.file), str(asked.out))
    assert (summary.rows, summary.samples) == (1200, 1199)
    assert (summary.series, summary.queries) == (3, 1)
    found = pd.read_parquet(asked.out)
    assert summary.above_threshold == int((found["score"] > 1).sum()) >= 3
    assert str(summary) == (
        f"{asked.out}: 1200 rows of 3 series, {summary.above_threshold} above 1 "
        f"in {summary.incidents} incidents"
    )


def test_an_incident_is_counted_once_while_it_is_open(tmp_path: Path) -> None:
    given = rows(1)
    given.loc[200:202, "value"] += 40.0
    summary = job.run(settings(), options(tmp_path, given))
    found = pd.read_parquet(tmp_path / "out.parquet")
    opened = (found["kind"] != "none") & (found["kind"] != found["kind"].shift(fill_value="none"))
    assert summary.incidents == opened.sum() > 0
    assert (found["kind"] != "none").sum() > summary.incidents


def test_meta_says_who_is_scored_together_from_which_past_on(tmp_path: Path) -> None:
    meta = tmp_path / "meta.csv"
    meta.write_text("id,dataset,step_s,train_n\nweb-0,a,300,100\nweb-1,a,300,100\nweb-2,b,60,0\n")
    summary = job.run(settings(), options(tmp_path, rows(), meta=meta))
    assert summary.queries == 2


def test_ml_comes_from_the_settings_unless_it_is_said(tmp_path: Path) -> None:
    given = rows()
    on, off = (scored(tmp_path, given, ml=ml)["score"] for ml in (True, False))
    assert not on.equals(off)
    assert scored(tmp_path, given)["score"].equals(off)
    job.run(settings(ML_DETECTION_ENABLED="true"), options(tmp_path, given))
    assert pd.read_parquet(tmp_path / "out.parquet")["score"].equals(on)


def test_a_query_says_what_scores_the_file(tmp_path: Path) -> None:
    query = {
        "name": "web",
        "expr": "up",
        "budget": "1 per day per series",
        "model": "seasonal_naive",
        "direction": "above",
    }
    asking = config.Settings.model_validate({"presets": (), "queries": (query,)})
    given = rows(steps=800)
    given.loc[(given.index % 800 == 700), "value"] -= 50.0
    given.loc[(given.index % 800 == 600), "value"] += 50.0
    job.run(asking, options(tmp_path, given, query="web"))
    found = pd.read_parquet(tmp_path / "out.parquet")
    steps = np.arange(len(found)) % 800
    assert (found["score"][steps < 288] == 0).all()
    assert (found["score"][steps == 600] > 1).all()
    assert (found["score"][steps == 700] <= 1).all()
    assert found["expected"][steps == 500].to_numpy() == pytest.approx(
        given["value"][steps == 500 - 288].to_numpy(), rel=1e-6
    )
    narrow = options(tmp_path, given, query="web", budget="1 per week per series")
    job.run(asking, narrow)
    assert (pd.read_parquet(narrow.out)["score"][steps == 600] < found["score"][steps == 600]).all()


def test_a_query_groups_the_series_by_what_the_meta_file_says(tmp_path: Path) -> None:
    query = {"name": "q", "expr": "up", "group_by": ("instance",)}
    asking = config.Settings.model_validate({"presets": (), "queries": (query,)})
    given = rows()
    meta = tmp_path / "meta.csv"
    meta.write_text("id,instance\nweb-0,a\nweb-1,a\nweb-2,b\n")
    asked = options(tmp_path, given, meta=meta, query="q")
    job.run(asking, asked)
    together = pd.read_parquet(asked.out)
    alone = scored(tmp_path, given)
    changed = (together["score"] != alone["score"]).groupby(together["id"]).any()
    assert changed[["web-0", "web-1"]].all()
    meta.write_text("id,host\nweb-0,a\nweb-1,a\nweb-2,b\n")
    with pytest.raises(errors.ConfigError, match="query q: group_by: instance: a column of this"):
        job.run(asking, asked)


def test_the_time_zone_of_a_query_says_what_a_day_before_was(tmp_path: Path) -> None:
    query = {"name": "q", "expr": "up", "model": "seasonal_naive", "timezone": "Europe/Berlin"}
    asking = config.Settings.model_validate({"presets": (), "queries": (query,)})
    start = pd.Timestamp("2026-03-27", tz="UTC").timestamp()
    hours = np.arange(96)
    given = pd.DataFrame({"id": "a", "ts": start + 3600 * hours, "value": hours * 1.0})
    job.run(asking, options(tmp_path, given, query="q", step="1h"))
    expected = pd.read_parquet(tmp_path / "out.parquet")["expected"].to_numpy()
    turned = 48 + 1  # 01:00 UTC of the 29th: 03:00 on the clocks, which was 26 h ago less one
    assert expected[turned - 3] == hours[turned - 3 - 24]
    assert expected[turned + 5] == hours[turned + 5 - 23]


def table() -> tables.Table:
    times_ms = np.array([0, 7_000, 14_000, 0], np.int64)
    return tables.Table(("a", "b"), np.array([0, 0, 0, 1]), times_ms, np.zeros(4))


@pytest.mark.parametrize(
    ("asked_s", "said_s", "expected_s"),
    [(None, None, (7, 60)), (None, 300, (300, 300)), (5, 300, (5, 5))],
)
def test_step_is_asked_for_or_said_or_seen_or_the_interval(
    asked_s: int | None, said_s: int | None, expected_s: tuple[int, int]
) -> None:
    asked, said = (None if s is None else timedelta(seconds=s) for s in (asked_s, said_s))
    known = [metas.Meta("", said, 0)] * 2
    found = recorded.series_of(table(), known, step=asked, else_step=timedelta(minutes=1))
    assert tuple(each.step.total_seconds() for each in found) == expected_s


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"budget": "some"}, "--budget: 'some': a budget is <number> per hour|day|week"),
        ({"query": "web"}, "--query: 'web': no such query in settings: "),
        ({"step": "often"}, "--step: 'often': a number of seconds or a duration"),
        ({"step": "0s"}, "--step: '0s': 1 ms to 366 days is allowed"),
        ({"step": "nan"}, "--step: 'nan': "),
        ({"value_column": "load"}, "columns id, ts, value: load is missing"),
        ({"out": Path("absent/out.csv")}, "absent/out.csv: No such file or directory: name a"),
        ({"meta": Path("absent.csv")}, "absent.csv: No such file or directory: name a file"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    tmp_path: Path, given: dict[str, object], expected: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        job.run(settings(), options(tmp_path, rows(), **given))
    assert expected in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["in.parquet"]


def test_file_may_be_scored_onto_itself(tmp_path: Path) -> None:
    asked = options(tmp_path, rows(), out=tmp_path / "in.parquet")
    job.run(settings(), asked)
    assert "score" in pd.read_parquet(asked.file).columns
