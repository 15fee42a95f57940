"""The scores of a table's rows as a file of its own, whole or not there at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from detector import errors, frames
from detector.files import sheets, tables

Write: TypeAlias = Callable[[tables.Table, frames.Scores], None]

_KINDS = np.array([kind.name.lower() for kind in frames.Kind], dtype=object)


@contextlib.contextmanager
def open_output(path: Path) -> Iterator[Write]:
    """Writes the rows of a table with their scores, float64[R, 1], to this file at its end.

    ts is in unix seconds; score is 0 where there was no sample, the band is empty there. What was
    there stays until then, and for good if anything is raised.

    Raises ConfigError where the file cannot be written, before anything else is done.
    """
    sheets.check_ending(path)
    if path.is_dir():
        raise errors.ConfigError(f"{path}: a directory: name a file that can be written")
    part = path.with_name(f".{path.stem}.part{path.suffix}")

    def write(table: tables.Table, scores: frames.Scores) -> None:
        with _told(path):
            _write(part, _columns(table, scores))

    try:
        with _told(path):
            part.touch()
        yield write
        with _told(path):
            part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise errors.ConfigError(f"{path}: {reason}: name a file that can be written") from None


def _columns(table: tables.Table, scores: frames.Scores) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": np.array(table.ids, dtype=object)[table.series],
            "ts": _seconds(table.times_ms),
            "value": table.values,
            "score": np.nan_to_num(scores.score[:, 0], nan=0.0),
            "expected": scores.expected[:, 0],
            "lower": scores.lower[:, 0],
            "upper": scores.upper[:, 0],
            "kind": _KINDS[scores.kind[:, 0]],
        }
    )


def _seconds(times_ms: frames.Ints) -> frames.Ints | frames.Floats:
    whole = not (times_ms % 1000).any()
    return times_ms // 1000 if whole else times_ms / 1000.0


def _write(path: Path, columns: pd.DataFrame) -> None:
    if path.suffix.lower() == sheets.CSV:
        columns.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    else:
        columns.to_parquet(path, index=False)
