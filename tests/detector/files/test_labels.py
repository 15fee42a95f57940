"""Labelled spans, labelled samples, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from detector import errors, frames
from detector.files import labels

A = frames.labels_from_pairs([("__name__", "up"), ("job", "a")])
B = frames.labels_from_pairs([("__name__", "up"), ("job", 'b"\\')])


def test_spans_are_read_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "l.csv"
    file.write_text("id,start,end\na,100,160\nb,200,200\n")

    assert labels.read_events(file) == (
        labels.Event("a", 100_000, 160_000, f"{file}: line 2"),
        labels.Event("b", 200_000, 200_000, f"{file}: line 3"),
    )


def test_labelled_samples_in_a_row_are_one_event_of_their_series(tmp_path: Path) -> None:
    file = tmp_path / "l.parquet"
    pd.DataFrame(
        {
            "id": ["a", "b", "a", "b", "a", "a"],
            "ts": [10, 10, 20, 20, 30, 40],
            "label": [1, 0, 1, 1, 0, 1],
        }
    ).to_parquet(file)

    found = [(one.series, one.start_ms, one.end_ms) for one in labels.read_events(file)]

    assert found == [("a", 10_000, 20_000), ("a", 40_000, 40_000), ("b", 20_000, 20_000)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,start,end\na,100,90\n", "line 2: end: '90': a time that is not before start"),
        ("id,ts,label\na,100,2\n", "line 2: label: '2': 0 or 1"),
        ("id,start\na,100\n", "end is missing"),
        ("start,end\n1,2\n", "id or labels or series is missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "l.csv"
    file.write_text(text)
    with pytest.raises(errors.ConfigError) as caught:
        labels.read_events(file)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def event(series: str) -> labels.Event:
    return labels.Event(series, 1, 2, "l.csv: line 2")


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ("up/a", [1, 0]),
        ("up", [1, 1]),
        ('{job="a"}', [1, 0]),
        ('up{job="b\\"\\\\"}', [0, 1]),
        ('{ job = "a" , }', [1, 0]),
    ],
)
def test_an_event_is_of_the_name_or_of_all_that_have_its_labels(
    series: str, expected: list[int]
) -> None:
    found = labels.events_by_series((event(series),), ["up/a", "up/b"], [A, B])
    assert [len(each) for each in found] == expected


@pytest.mark.parametrize("series", ["up{job=", "nobody", '{job="c"}', "{job=a}"])
def test_an_event_of_no_series_is_an_error_that_names_it(series: str) -> None:
    with pytest.raises(errors.ConfigError, match=r"line 2: .*matches none of the 2 series"):
        labels.events_by_series((event(series),), ["x", "y"], [A, B])
