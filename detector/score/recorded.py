"""The series of a file, with what its own columns and its meta file say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from detector import config, errors, frames
from detector.files import metas, tables
from detector.services import file_scoring


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file that has been read, and what is known of each of its series."""

    file: Path
    table: tables.Table
    known: tuple[metas.Meta, ...]

    def series(
        self, query: config.Query, *, step: timedelta | None, else_step: timedelta
    ) -> list[file_scoring.Series]:
        """The series as the service takes them, to be scored as this query.

        step       of all of them, whatever their meta says; None: their own
        else_step  of those whose meta and times do not tell one
        Raises ConfigError where the query groups series and the file does not say how, or has them
        at times that are not those of one grid.
        """
        found = series_of(self.table, self.known, step=step, else_step=else_step)
        if query.group_by:
            self._check_groups(query, found)
        return found

    def _check_groups(self, query: config.Query, series: Sequence[file_scoring.Series]) -> None:
        told = {name for each in self.known for name, _ in each.labels}
        told.update(name for each in self.table.labels for name, _ in each)
        for (_, step), places in file_scoring.queries_of(series).items():
            if len(places) == 1:
                continue
            lacking = [name for name in query.group_by if name not in told]
            if lacking:
                raise errors.ConfigError(
                    f"{self.file}: query {query.name}: group_by: {lacking[0]}: a column of this "
                    "name is needed, here or in --meta, that says it of each series; or a query "
                    "without group_by"
                )
            members = [series[place] for place in places]
            off = file_scoring.off_grid(members)
            if off is not None:
                place, time_ms = off
                raise errors.ConfigError(
                    f"{self.file}: query {query.name}: group_by: {self.table.ids[places[place]]!r} "
                    f"has a sample at {_instant(time_ms)}, which is not on the grid of "
                    f"{step.total_seconds():g} s that {self.table.ids[places[0]]!r} begins: series "
                    "of a query with groups have to share one grid"
                )


def read(
    file: Path, *, meta: Path | None, value_column: str, labels: Iterable[str] = ()
) -> Recorded:
    """The series of a file, and of these labels what it and its meta file say; the meta file's
    word goes before the file's own. Raises ConfigError."""
    names = tuple(dict.fromkeys(labels))
    said = {} if meta is None else metas.read_metas(meta, labels=names)
    of_meta = {name for each in said.values() for name, _ in each.labels}
    table = tables.read_table(
        file,
        value_column=value_column,
        labels=[name for name in names if name not in of_meta],
    )
    if meta is None:
        return Recorded(file, table, (metas.UNKNOWN,) * len(table.ids))
    return Recorded(file, table, metas.metas_of(table.ids, said, meta))


def series_of(
    table: tables.Table,
    known: Sequence[metas.Meta],
    *,
    step: timedelta | None,
    else_step: timedelta,
) -> list[file_scoring.Series]:
    """The series of the table as the service takes them.

    known      of each series
    step       of all of them, whatever their meta says; None: their own
    else_step  of those whose meta and times do not tell one
    """
    series = []
    for place, (rows, meta) in enumerate(zip(table.rows_of_series(), known, strict=True)):
        times_ms = table.times_ms[rows]
        # The id makes them the labels of this series and no other, as a server's are.
        pairs = {"id": table.ids[place], **dict(_own(table, place)), **dict(meta.labels)}
        series.append(
            file_scoring.Series(
                query=meta.dataset,
                step=step or meta.step or file_scoring.usual_step(times_ms) or else_step,
                past=meta.past,
                times_ms=file_scoring.rising(times_ms),
                values=table.values[rows],
                labels=frames.labels_from_pairs(pairs.items()),
            )
        )
    return series


def _instant(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _own(table: tables.Table, place: int) -> frames.Labels:
    return table.labels[place] if table.labels else ()
