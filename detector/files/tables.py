"""One or many series out of a file, its rows in their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from detector import frames
from detector.files import sheets, times

TIME_COLUMNS = ("ts", "timestamp", "time", "date")
ID_COLUMN = "id"
NUMBER_ALLOWED = "a number is allowed, or nothing where there is no sample"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file as they stand in it.

    ids       the series, in the order of their first rows
    series    int64[R], the place in `ids` of each row's series
    times_ms  int64[R], in any order, also twice the same
    values    float64[R], NaN or infinite where there is no sample
    """

    ids: tuple[str, ...]
    series: frames.Ints
    times_ms: frames.Ints
    values: frames.Floats

    def rows_of_series(self) -> list[frames.Ints]:
        """The rows of each series, in their order."""
        order = np.argsort(self.series, kind="stable")
        counts = np.bincount(self.series, minlength=len(self.ids))
        return np.split(order, np.cumsum(counts)[:-1])


def read_table(path: Path, *, value_column: str = "value") -> Table:
    """The series of a CSV or parquet file: a time, a value, and an id where there are many.

    Without a column `id` all rows are one series, which has the name of the file.

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
    return Table(
        ids=tuple(str(name) for name in ids),
        series=series.astype(np.int64),
        times_ms=times.times_ms(sheet, time_column),
        values=values,
    )
