"""One or many series out of a file, its rows in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from detector import frames
from detector.files import sheets, times

TIME_COLUMNS = ("ts", "timestamp", "time", "date")
ID_COLUMN = "id"
ONE_ALLOWED = "a label that is the same in all rows of a series is allowed"
NUMBER_ALLOWED = "a number is allowed, or nothing where there is no sample"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file as they stand in it.

    ids       the series, in the order of their first rows
    series    int64[R], the place in `ids` of each row's series
    times_ms  int64[R], in any order, also twice the same
    values    float64[R], NaN or infinite where there is no sample
    labels    of each series, those that were asked for and are told of, also where they are empty
    """

    ids: tuple[str, ...]
    series: frames.Ints
    times_ms: frames.Ints
    values: frames.Floats
    labels: tuple[tuple[tuple[str, str], ...], ...] = ()

    def rows_of_series(self) -> list[frames.Ints]:
        """The rows of each series, in their order."""
        order = np.argsort(self.series, kind="stable")
        counts = np.bincount(self.series, minlength=len(self.ids))
        return np.split(order, np.cumsum(counts)[:-1])


def read_table(path: Path, *, value_column: str = "value", labels: Sequence[str] = ()) -> Table:
    """The series of a CSV or parquet file: a time, a value, and an id where there are many.

    Without a column `id` all rows are one series, which has the name of the file. Columns with the
    names of these labels have one value in all rows of a series.

    Raises ConfigError: file, line, column, value and what is allowed.
    """
    sheet = sheets.read_sheet(path)
    time_column = sheet.need(TIME_COLUMNS)
    values = sheet.numbers(sheet.need([value_column]), NUMBER_ALLOWED)
    id_column = sheet.find([ID_COLUMN])
    if id_column is None:
        ids, series = np.array([path.stem]), np.zeros(len(sheet), np.int64)
    else:
        series, ids = pd.factorize(sheet.texts(id_column).to_numpy(dtype=object))
    series = series.astype(np.int64)
    return Table(
        ids=tuple(str(name) for name in ids),
        series=series,
        times_ms=times.times_ms(sheet, time_column),
        values=values,
        labels=_labels(sheet, series, labels),
    )


def _labels(
    sheet: sheets.Sheet, series: frames.Ints, names: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], ...]:
    told = sheet.labels(names)
    _, firsts = np.unique(series, return_index=True)
    for column in filter(None, (sheet.find([name]) for name in names)):
        codes, _ = pd.factorize(np.array(sheet.words(column), dtype=object))
        other = np.flatnonzero(codes != codes[firsts][series])
        if other.size:
            raise sheet.wrong(int(other[0]), column, ONE_ALLOWED)
    return tuple(told[row] for row in firsts.tolist())
