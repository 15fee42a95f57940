"""A file as named columns, and the one line that is said where one of its fields is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow

from detector import errors, frames

CSV, PARQUET = ".csv", ".parquet"
_NO_NUMBER = {"", "nan", "+nan", "-nan"}
_NUMERIC = "iufb"
_READABLE = "name a file that can be read"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The columns of a file: text in all of a CSV, in a parquet what the file says.

    places  int64[R]: the line or row of the file that each row stands in
    word    `line` or `row`
    """

    path: Path
    columns: pd.DataFrame
    places: frames.Ints
    word: str

    def __len__(self) -> int:
        return len(self.places)

    def find(self, names: Sequence[str]) -> str | None:
        """The column of the first of these names that is there, whatever its case."""
        held = {str(name).strip().lower(): str(name) for name in reversed(self.columns.columns)}
        return next((held[name.lower()] for name in names if name.lower() in held), None)

    def need(self, names: Sequence[str]) -> str:
        """The same, where one of them has to be there. Raises ConfigError."""
        found = self.find(names)
        if found is None:
            held = ", ".join(str(name) for name in self.columns.columns) or "none"
            raise errors.ConfigError(
                f"{self.path}: columns {held}: {' or '.join(names)} is missing"
            )
        return found

    def wrong(self, row: int, column: str, allowed: str) -> errors.ConfigError:
        """What is wrong with this field: file, place, column, value and what is allowed."""
        value = str(self.columns[column].iloc[row])[:100]
        place = f"{self.word} {self.places[row]}"
        return errors.ConfigError(f"{self.path}: {place}: {column}: {value!r}: {allowed}")

    def texts(self, column: str) -> pd.Series:
        """The column as text without blanks around it. Raises ConfigError where it is empty."""
        texts = self.columns[column].astype(str).str.strip()
        empty = np.flatnonzero(self.columns[column].isna() | (texts == ""))
        if empty.size:
            raise self.wrong(int(empty[0]), column, "a name is needed")
        return texts

    def words(self, column: str) -> list[str]:
        """The column as text without blanks around it, "" where it is empty."""
        fields = self.columns[column]
        return [str(text).strip() for text in fields.where(~fields.isna(), "")]

    def labels(self, names: Sequence[str]) -> list[tuple[tuple[str, str], ...]]:
        """Of each row the labels of these names for which there is a column."""
        columns = [(name, self.find([name])) for name in names]
        told = [[(name, word) for word in self.words(each)] for name, each in columns if each]
        return list(zip(*told, strict=True)) if told else [()] * len(self)

    def numbers(self, column: str, allowed: str) -> frames.Floats:
        """float64[R], NaN where the field is empty or NaN.

        Raises ConfigError for what is no number.
        """
        fields = self.columns[column]
        if fields.dtype.kind in _NUMERIC:
            held: frames.Floats = fields.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
            return held
        texts = fields.astype(str).str.strip().str.lower()
        read = pd.to_numeric(texts, errors="coerce")
        numbers: frames.Floats = read.to_numpy(dtype=np.float64, copy=True)
        bad = np.flatnonzero(np.isnan(numbers) & ~fields.isna() & ~texts.isin(_NO_NUMBER))
        if bad.size:
            raise self.wrong(int(bad[0]), column, allowed)
        return numbers


def read_sheet(path: Path) -> Sheet:
    """The columns of a CSV or parquet file, by its ending; blank lines are left out.

    Raises ConfigError, also for a file without rows.
    """
    check_ending(path)
    sheet = _csv(path) if path.suffix.lower() == CSV else _parquet(path)
    if not len(sheet):
        raise errors.ConfigError(f"{path}: empty: a row or more below the column names is needed")
    return sheet


def check_ending(path: Path) -> None:
    """Raise ConfigError unless the file's name ends as one that we read and write."""
    if path.suffix.lower() not in (CSV, PARQUET):
        raise errors.ConfigError(f"{path}: ending {path.suffix!r}: {CSV} or {PARQUET} is allowed")


def _csv(path: Path) -> Sheet:
    try:
        with warnings.catch_warnings():
            # Fields beyond the header would be dropped with no more than this warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            columns = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                index_col=False,
                compression=None,
                encoding="utf-8",
            )
    except pd.errors.EmptyDataError:
        raise errors.ConfigError(f"{path}: empty: a line of column names is needed") from None
    except pd.errors.ParserWarning:
        raise errors.ConfigError(f"{path}: line 2: more fields than column names") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{path}: not CSV: {_one_line(error)}") from None
    except OSError as error:
        raise errors.ConfigError(
            f"{path}: {error.strerror}: name a file that can be read"
        ) from None
    is_kept = (columns != "").any(axis=1).to_numpy()
    places = np.flatnonzero(is_kept) + 2
    return Sheet(path, columns[is_kept], places, "line")


def _parquet(path: Path) -> Sheet:
    try:
        with path.open("rb") as file:
            columns = pd.read_parquet(file)
    except OSError as error:
        raise errors.ConfigError(f"{path}: {error.strerror or error}: {_READABLE}") from None
    except (pyarrow.ArrowException, ValueError) as error:
        raise errors.ConfigError(f"{path}: not parquet: {_one_line(error)}") from None
    return Sheet(path, columns, np.arange(1, len(columns) + 1), "row")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
