from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from detector import errors
from detector.files import metas


def written(folder: Path, text: str) -> Path:
    file = folder / "meta.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_all_that_is_said_is_read_and_other_columns_are_left(tmp_path: Path) -> None:
    file = written(
        tmp_path, "id,dataset,category,step_s,n,train_n\na,nab,x,300,9,4\nb,nab,y,.5,9,\nc,,,,,0\n"
    )
    assert metas.read_metas(file) == {
        "a": metas.Meta("nab", timedelta(minutes=5), 4),
        "b": metas.Meta("nab", timedelta(milliseconds=500), 0),
        "c": metas.Meta("", None, 0),
    }


def test_the_id_is_enough(tmp_path: Path) -> None:
    assert metas.read_metas(written(tmp_path, "id\na\n")) == {"a": metas.UNKNOWN}


def test_a_file_whose_ids_are_all_there_gets_theirs_in_its_order(tmp_path: Path) -> None:
    known = {name: metas.Meta(name, None, 0) for name in ("a", "b", "c")}
    found = metas.metas_of(("c", "a"), known, tmp_path)
    assert [meta.dataset for meta in found] == ["c", "a"]


def test_meta_that_lacks_an_id_of_the_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"meta\.csv: id: 'b': every id of the"):
        metas.metas_of(("a", "b"), {"a": metas.UNKNOWN}, tmp_path / "meta.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name\na\n", "columns name: id is missing"),
        ("id\na\na\n", "line 3: id: 'a': each id is allowed once"),
        ("id,step_s\na,5m\n", "line 2: step_s: '5m': 1 ms to 366 days is allowed"),
        ("id,step_s\na,60\nb,0\n", "line 3: step_s: '0': 1 ms to 366 days is allowed"),
        ("id,step_s\na,inf\n", "line 2: step_s: 'inf': 1 ms to 366 days is allowed"),
        ("id,train_n\na,-1\n", "line 2: train_n: '-1': a whole number of rows"),
        ("id,train_n\na,1.5\n", "line 2: train_n: '1.5': a whole number of rows"),
        ("id,train_n\na,half\n", "line 2: train_n: 'half': a whole number of rows"),
    ],
)
def test_wrong_meta_is_named_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        metas.read_metas(written(tmp_path, text))
    assert expected in str(caught.value)
