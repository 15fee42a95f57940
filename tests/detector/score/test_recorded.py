"""Labels that a file or its meta file tells of, for queries that group their series."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detector import config, errors
from detector.score import recorded
from detector.services import file_scoring

GROUPED = config.Query(name="q", expr="x", group_by=("instance",))
ROWS = "ts,id,instance,value\n0,a,h1,1\n60,a,h1,2\n0,b,h1,3\n60,b,h1,4\n0,c,,5\n60,c,,6\n"


def series_of(
    folder: Path, text: str, meta: str | None = None, query: config.Query = GROUPED
) -> list[file_scoring.Series]:
    (folder / "f.csv").write_text(text)
    if meta is not None:
        (folder / "meta.csv").write_text(meta)
    given = recorded.read(
        folder / "f.csv",
        meta=None if meta is None else folder / "meta.csv",
        value_column="value",
        labels=query.group_by,
    )
    minute = config.Settings().metric_collection_interval
    return given.series(query, step=None, else_step=minute)


def test_columns_of_the_file_are_labels(tmp_path: Path) -> None:
    assert [each.labels for each in series_of(tmp_path, ROWS)] == [
        (("id", "a"), ("instance", "h1")),
        (("id", "b"), ("instance", "h1")),
        (("id", "c"),),
    ]


def test_the_meta_file_of_the_page_says_what_its_series_are(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "score.md").read_text(encoding="utf-8")
    (meta,) = re.findall(r"```csv\n(id,.*?)```", page, re.DOTALL)
    ids = re.findall("^(.*-.*?),", meta, re.MULTILINE)
    found = series_of(tmp_path, "ts,id,value\n" + "".join(f"0,{each},1\n" for each in ids), meta)
    assert [dict(each.labels)["instance"] for each in found] == ["a:9100", "a:9100", "b:9100"]
    assert [dict(each.labels)["id"] for each in found] == ["a-cpu", "a-load", "b-cpu"]


def test_the_meta_file_has_the_word_before_the_file(tmp_path: Path) -> None:
    meta = "id,Instance,dataset\na,h7,x\nb, h8 ,x\nc,h7,x\n"
    changing = ROWS.replace("60,a,h1", "60,a,h2")
    found = series_of(tmp_path, changing, meta)
    assert [dict(each.labels)["instance"] for each in found] == ["h7", "h8", "h7"]
    assert {each.query for each in found} == {"x"}


def test_a_query_without_groups_asks_for_no_labels(tmp_path: Path) -> None:
    plain = config.Query(name="q", expr="x")
    found = series_of(tmp_path, ROWS.replace("60,a,h1", "60,a,h2"), query=plain)
    assert [each.labels for each in found] == [(("id", name),) for name in "abc"]


def test_a_series_that_is_the_only_one_of_its_query_needs_no_label(tmp_path: Path) -> None:
    (only,) = series_of(tmp_path, "ts,value\n0,1\n61,2\n119,3\n")
    assert only.labels == (("id", "f"),)


@pytest.mark.parametrize(
    ("text", "meta", "line"),
    [
        (
            ROWS.replace("instance", "host"),
            "id,host\na,h1\nb,h1\nc,h1\n",
            "f.csv: query q: group_by: instance: a column of this name is needed, here or in",
        ),
        (
            ROWS.replace("60,a,h1", "60,a,h2"),
            None,
            "f.csv: line 3: instance: 'h2': a label that is the same in all rows of a series",
        ),
        (
            ROWS.replace("60,b", "61,b"),
            "id,step_s\na,60\nb,60\nc,60\n",
            "'b' has a sample at 1970-01-01T00:01:01Z, which is not on the grid of 60 s that 'a'",
        ),
    ],
)
def test_what_a_query_with_groups_lacks_is_one_line(
    tmp_path: Path, text: str, meta: str | None, line: str
) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        series_of(tmp_path, text, meta)
    assert line in str(caught.value)
