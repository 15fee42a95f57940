"""What is known of each series beside its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from detector import errors, frames
from detector.files import sheets

SHORTEST_STEP, LONGEST_STEP = timedelta(milliseconds=1), timedelta(days=366)
STEP_ALLOWED = "1 ms to 366 days is allowed"
PAST_ALLOWED = "a whole number of rows, 0 or more, is allowed"


@dataclass(frozen=True, slots=True)
class Meta:
    """What the meta file says of one series.

    dataset  the series that it is looked at together with; "" where none is said
    step     time between samples, None where it is to be seen from them
    past     first rows that are known beforehand
    labels   those that were asked for and are told of, also where they are empty
    """

    dataset: str
    step: timedelta | None
    past: int
    labels: tuple[tuple[str, str], ...] = ()


UNKNOWN = Meta(dataset="", step=None, past=0)
"""Of a series that no meta file tells of."""


def read_metas(path: Path, *, labels: Sequence[str] = ()) -> dict[str, Meta]:
    """What is said of each id, also of labels with these names; only the column `id` has to be
    there.

    Raises ConfigError: file, line, column, value and what is allowed.
    """
    sheet = sheets.read_sheet(path)
    column = sheet.need(["id"])
    ids = sheet.texts(column)
    again = np.flatnonzero(ids.duplicated())
    if again.size:
        raise sheet.wrong(int(again[0]), column, "each id is allowed once")
    datasets = _datasets(sheet)
    shortest_s, longest_s = SHORTEST_STEP.total_seconds(), LONGEST_STEP.total_seconds()
    steps_s = _numbers(sheet, "step_s", STEP_ALLOWED, shortest_s, longest_s)
    pasts = np.nan_to_num(_numbers(sheet, "train_n", PAST_ALLOWED, 0.0, 2.0**53, whole=True))
    told = sheet.labels(labels)
    return {
        name: Meta(dataset, None if np.isnan(step_s) else timedelta(seconds=step_s), int(past), own)
        for name, dataset, step_s, past, own in zip(
            ids, datasets, steps_s.tolist(), pasts.tolist(), told, strict=True
        )
    }


def metas_of(ids: tuple[str, ...], metas: dict[str, Meta], path: Path) -> tuple[Meta, ...]:
    """What the meta file says of each of these series. Raises ConfigError if it lacks one."""
    lacking = next((name for name in ids if name not in metas), None)
    if lacking is not None:
        raise errors.ConfigError(f"{path}: id: {lacking!r}: every id of the scored file is needed")
    return tuple(metas[name] for name in ids)


def _datasets(sheet: sheets.Sheet) -> list[str]:
    column = sheet.find(["dataset"])
    return [""] * len(sheet) if column is None else sheet.words(column)


def _numbers(
    sheet: sheets.Sheet,
    name: str,
    allowed: str,
    least: float,
    most: float,
    *,
    whole: bool = False,
) -> frames.Floats:
    """float64[R], NaN where nothing is said."""
    column = sheet.find([name])
    if column is None:
        return np.full(len(sheet), np.nan)
    numbers = sheet.numbers(column, allowed)
    bad = (numbers < least) | (numbers > most) | (whole & (numbers != np.rint(numbers)))
    bad = np.flatnonzero(bad & ~np.isnan(numbers))
    if bad.size:
        raise sheet.wrong(int(bad[0]), column, allowed)
    return numbers
