from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector import errors
from detector.files import tables

T0_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def csv(folder: Path, text: str) -> Path:
    file = folder / "cpu.csv"
    file.write_text(text, encoding="utf-8")
    return file


def parquet(folder: Path, **columns: object) -> Path:
    file = folder / "cpu.parquet"
    pd.DataFrame(columns).to_parquet(file)
    return file


def test_rows_keep_their_order_and_know_their_series(tmp_path: Path) -> None:
    file = csv(tmp_path, "id,ts,value\nb,60,1\na,60,2\nb,120,3\nb,90,4\n")

    table = tables.read_table(file)

    assert table.ids == ("b", "a")
    assert table.series.tolist() == [0, 1, 0, 0]
    assert table.times_ms.tolist() == [60_000, 60_000, 120_000, 90_000]
    assert table.values.tolist() == [1, 2, 3, 4]
    assert [rows.tolist() for rows in table.rows_of_series()] == [[0, 2, 3], [1]]


def test_without_ids_the_series_has_the_name_of_the_file(tmp_path: Path) -> None:
    assert tables.read_table(csv(tmp_path, "ts,value\n60,1\n")).ids == ("cpu",)


@pytest.mark.parametrize(
    "time",
    [
        "1772366400",
        "1772366400.0",
        "1772366400000",
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01 07:00:00.000-0500",
    ],
)
def test_one_instant_in_every_allowed_notation(tmp_path: Path, time: str) -> None:
    assert tables.read_table(csv(tmp_path, f"ts,value\n{time},1\n")).times_ms.tolist() == [T0_MS]


@pytest.mark.parametrize(
    "times",
    [
        [1_772_366_400, 1_772_366_401],
        [1_772_366_400.0, 1_772_366_401.0],
        [1_772_366_400_000, 1_772_366_401_000],
        pd.to_datetime([T0_MS, T0_MS + 1000], unit="ms"),
        pd.to_datetime([T0_MS, T0_MS + 1000], unit="ms", utc=True).tz_convert("Asia/Tokyo"),
        ["2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z"],
    ],
)
def test_parquet_times_are_numbers_instants_or_text(tmp_path: Path, times: object) -> None:
    table = tables.read_table(parquet(tmp_path, ts=times, value=[1.0, 2.0]))
    assert table.times_ms.tolist() == [T0_MS, T0_MS + 1000]


def test_offsets_may_change_from_row_to_row(tmp_path: Path) -> None:
    text = "ts,value\n2026-03-29T01:59:00+01:00,1\n2026-03-29T03:00:00+02:00,2\n"
    times_ms = tables.read_table(csv(tmp_path, text)).times_ms
    assert np.diff(times_ms).tolist() == [60_000]


@pytest.mark.parametrize("name", ["ts", "timestamp", "time", "date", "Timestamp", " time "])
def test_time_column_may_have_each_of_its_names(tmp_path: Path, name: str) -> None:
    table = tables.read_table(csv(tmp_path, f"value,{name}\n1,60\n"))
    assert (table.times_ms.tolist(), table.values.tolist()) == ([60_000], [1.0])


def test_value_column_may_be_named(tmp_path: Path) -> None:
    file = csv(tmp_path, "ts,value,load1\n60,1,2\n")
    assert tables.read_table(file, value_column="load1").values.tolist() == [2.0]


def test_empty_and_nan_values_are_no_samples_and_infinite_ones_stay(tmp_path: Path) -> None:
    file = csv(tmp_path, "ts,value\n1,\n2,NaN\n3,+Inf\n4,-inf\n5,1e308\n6, 7 \n")
    values = tables.read_table(file).values
    assert np.array_equal(values, [np.nan, np.nan, np.inf, -np.inf, 1e308, 7.0], equal_nan=True)


def test_categories_integers_and_nulls_of_a_parquet_are_read(tmp_path: Path) -> None:
    file = parquet(
        tmp_path,
        id=pd.Series(["a", "b"], dtype="category"),
        ts=[60, 60],
        value=pd.Series([1, None], dtype="Int64"),
    )
    table = tables.read_table(file)
    assert table.ids == ("a", "b")
    assert np.array_equal(table.values, [1.0, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cpu.csv: empty: a line of column names is needed"),
        ("ts,value\n", "cpu.csv: empty: a row or more"),
        ("ts,value\n\n\n", "cpu.csv: empty: a row or more"),
        ("when,value\n60,1\n", "columns when, value: ts or timestamp or time or date is missing"),
        ("ts,load\n60,1\n", "columns ts, load: value is missing"),
        ("ts,value\n60,1\n\nsoon,2\n", "line 4: ts: 'soon': unix seconds or"),
        ("ts,value\n,1\n", "line 2: ts: '': unix seconds or"),
        ("ts,value\n60,1\n,2\n", "line 3: ts: '': unix seconds or"),
        ("ts,value\n60,1\ninf,2\n", "line 3: ts: 'inf': unix seconds or"),
        ("ts,value\n60,1\n1e17,2\n", "line 3: ts: '1e17': unix seconds or"),
        ("time,value\n2026-13-01T00:00:00Z,1\n", "line 2: time: '2026-13-01T00:00:00Z': unix"),
        (
            "ts,value\n2026-03-01T12:00:00Z,1\n2026-03-01T12:01:00,2\n",
            "line 3: ts: '2026-03-01T12:01:00': all times with a zone",
        ),
        ("ts,value\n2026-03-01,1\n2026-03-01T12:01Z,2\n", "line 3: ts: '2026-03-01T12:01Z': all"),
        ("ts,value\n60,1\n120,high\n", "line 3: value: 'high': a number is allowed"),
        ("ts,value\n60,1\n120,None\n", "line 3: value: 'None': a number is allowed"),
        ("id,ts,value\na,60,1\n,60,2\n", "line 3: id: '': a name is needed"),
        ("ts,value\n60,1,2\n", "line 2: more fields than column names"),
        ("ts,value\n60,1\n60,1,2\n", "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_wrong_csv_is_named_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        tables.read_table(csv(tmp_path, text))
    assert expected in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "cpu.csv: "))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"ts": [60, 60], "value": ["1", "x"]}, "row 2: value: 'x': a number is allowed"),
        ({"ts": [60], "value": [pd.Timestamp(0)]}, "row 1: value: "),
        ({"ts": [60.0, None], "value": [1, 2]}, "row 2: ts: 'nan': unix seconds"),
        ({"ts": [pd.Timestamp(0), None], "value": [1, 2]}, "row 2: ts: 'NaT': unix seconds"),
        ({"id": ["a", None], "ts": [1, 2], "value": [1, 2]}, "row 2: id: "),
        ({"ts": [], "value": []}, "empty: a row or more"),
        ({"value": [1.0]}, "columns value: ts or timestamp or time or date is missing"),
    ],
)
def test_wrong_parquet_is_named_in_one_line(
    tmp_path: Path, columns: dict[str, object], expected: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        tables.read_table(parquet(tmp_path, **columns))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"ts,value\n", "ending '.txt': .csv or .parquet is allowed"),
        ("a", b"", "ending '': .csv or .parquet is allowed"),
        ("a.csv", b"ts,value\n\xff\xfe,1\n", "not CSV: "),
        ("a.parquet", b"ts,value\n", "not parquet: "),
    ],
)
def test_file_that_is_no_table_is_named(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.ConfigError, match=expected.replace("(", "\\(")):
        tables.read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet"])
def test_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ConfigError, match=f"{name}: No such file or directory: name a"):
        tables.read_table(tmp_path / name)
