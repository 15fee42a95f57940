from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector import errors, frames
from detector.files import outputs, tables


def table(*, first_ms: int = 60_000) -> tables.Table:
    times_ms = np.array([first_ms, first_ms + 60_000, first_ms], np.int64)
    return tables.Table(("a", "b"), np.array([0, 0, 1]), times_ms, np.array([1.0, np.nan, 1e308]))


def scores() -> frames.Scores:
    column = np.array([[0.5], [np.nan], [2.0]])
    kind = np.array([[0], [1], [2]], np.int8)
    return frames.Scores(table().times_ms, column, column + 1, column, column + 2, column, kind)


CSV = """\
id,ts,value,score,expected,lower,upper,kind
a,60,1.0,0.5,1.5,0.5,2.5,none
a,120,,0.0,,,,spike
b,60,1e+308,2.0,3.0,2.0,4.0,dip
"""


def test_csv_has_the_rows_in_their_order_with_finite_scores(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    with outputs.open_output(out) as write:
        write(table(), scores())
    assert out.read_text() == CSV
    assert list(tmp_path.iterdir()) == [out]


def test_parquet_has_the_same_rows_as_the_csv(tmp_path: Path) -> None:
    for name in ("scores.csv", "scores.parquet"):
        with outputs.open_output(tmp_path / name) as write:
            write(table(), scores())
    columns = pd.read_parquet(tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(columns, pd.read_csv(tmp_path / "scores.csv"))


def test_times_between_seconds_keep_their_fraction(tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    with outputs.open_output(out) as write:
        write(table(first_ms=60_500), scores())
    assert pd.read_parquet(out)["ts"].tolist() == [60.5, 120.5, 60.5]


def test_what_was_there_stays_when_scoring_fails(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("before")
    with pytest.raises(RuntimeError), outputs.open_output(out):
        raise RuntimeError
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_what_fails_while_it_is_written_is_named(tmp_path: Path) -> None:
    out = tmp_path / "gone" / "scores.csv"
    out.parent.mkdir()
    with outputs.open_output(out) as write:
        (out.parent / ".scores.part.csv").rename(tmp_path / "moved")
        out.parent.rmdir()
        with pytest.raises(errors.ConfigError, match=r"scores\.csv: .*: name a file that can be"):
            write(table(), scores())
        out.parent.mkdir()
        (tmp_path / "moved").rename(out.parent / ".scores.part.csv")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scores.txt", "ending '.txt': .csv or .parquet is allowed"),
        ("absent/scores.csv", "No such file or directory: name a file that can be written"),
        ("taken.csv", "a directory: name a file that can be written"),
    ],
)
def test_output_that_cannot_be_written_is_named_beforehand(
    tmp_path: Path, name: str, expected: str
) -> None:
    (tmp_path / "taken.csv").mkdir()
    with (
        pytest.raises(errors.ConfigError, match=expected),
        outputs.open_output(tmp_path / name),
    ):
        pytest.fail("it was opened")
