"""Blocks of output series: which rows go into one request, and the request's layout."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from detector import frames
from detector.prometheus import encode, outputs

ROWS = 2_500
"""Rows of a block. Times 4 series that is the most that a request should hold."""


class Block:
    """Output series in a fixed order, with a request layout for each protocol made on demand.

    key   the same for all versions of a block, so for one series always the same
    like  the version before, whose encoded series are taken over
    """

    def __init__(
        self,
        key: tuple[str, int],
        series: Sequence[frames.Labels | None],
        like: Block | None = None,
    ) -> None:
        self.key = key
        self.series = tuple(series)
        self._templates: dict[encode.Protocol, encode.Template] = {}
        self._like = {} if like is None else like._templates

    def template(self, protocol: encode.Protocol) -> encode.Template:
        """The layout; only the thread of the block's lane may ask and fill it."""
        if protocol not in self._templates:
            before = self._like.get(protocol)
            self._templates[protocol] = encode.Template(self.series, protocol=protocol, like=before)
            self._like = {}
        return self._templates[protocol]


class QueryBlocks:
    """The blocks of one query's table, brought up to date row by row.

    Block b holds the rows from b * rows, each with one series of each of these metrics, in order;
    or, with `values`, one for each value of this label, of the one metric.
    """

    def __init__(
        self,
        query: str,
        metrics: Sequence[str] = outputs.METRICS,
        values: Sequence[str] = (),
        label: str = "model",
    ) -> None:
        self._query, self._metrics = query, tuple(metrics)
        self._values, self._label = tuple(values), label
        self.width = len(self._values) or len(self._metrics)
        self.rows = ROWS * len(outputs.METRICS) // self.width
        self._key = query if self._metrics == outputs.METRICS else f"{query} {self._metrics[0]}"
        self._nothing: tuple[frames.Labels | None, ...] = (None,) * self.width
        self._followed: tuple[frames.SeriesTable, int] | None = None
        self._labels: list[frames.Labels | None] = []
        self._owner: dict[frames.Labels, int] = {}
        self._waiting: dict[int, frames.Labels] = {}
        self._series: list[tuple[frames.Labels | None, ...]] = []
        self.blocks: list[Block] = []
        self.usable: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        """bool[len(table)]: rows whose output series are valid and theirs alone."""

    def follow(self, table: frames.SeriesTable) -> int:
        """Take over what has changed in the table; the number of rows newly refused."""
        followed = (table, table.version)
        if followed == self._followed:
            return 0
        size = max(len(table), len(self._labels))
        old = self._labels + [None] * (size - len(self._labels))
        new = table.labels + [None] * (size - len(table))
        changed = [row for row, labels in enumerate(new) if labels is not old[row]]
        self._followed, self._labels = followed, new
        self._series += [self._nothing] * (size - len(self._series))
        self.usable = np.concatenate((self.usable, np.zeros(size - len(self.usable), dtype=bool)))
        for row in changed:
            self._release(row, old[row])
        was_waiting = set(self._waiting)
        touched = [*changed, *self._waiting]
        for row in touched:
            self._claim(row)
        self._rebuild(sorted({row // self.rows for row in touched}))
        return len(self._waiting.keys() - was_waiting)

    def _release(self, row: int, labels: frames.Labels | None) -> None:
        self._waiting.pop(row, None)
        if labels is not None:
            outcome = outputs.output_labels(labels, _ANY, query=self._query)
            if self._owner.get(outcome) == row:
                del self._owner[outcome]

    def _claim(self, row: int) -> None:
        """Give the row its output series, unless another row has them or they are not valid."""
        labels = self._labels[row]
        self._series[row], self.usable[row] = self._nothing, False
        self._waiting.pop(row, None)
        if labels is None:
            return
        outcome = outputs.output_labels(labels, _ANY, query=self._query)
        if outputs.problem(outcome) or self._owner.setdefault(outcome, row) != row:
            self._waiting[row] = outcome
            return
        self.usable[row] = True
        self._series[row] = tuple(self._series_of(labels, outcome))

    def _series_of(self, labels: frames.Labels, outcome: frames.Labels) -> Iterator[frames.Labels]:
        for value in self._values:
            own = {"query": self._query, self._label: value}
            yield outputs.output_labels(labels, self._metrics[0], **own)
        for metric in () if self._values else self._metrics:
            yield tuple((name, metric if name == "__name__" else value) for name, value in outcome)

    def _rebuild(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            rows = self._series[number * self.rows : (number + 1) * self.rows]
            before = self.blocks[number] if number < len(self.blocks) else None
            block = Block((self._key, number), list(itertools.chain(*rows)), before)
            self.blocks[number : number + 1] = [block]


def lane_of(key: tuple[str, int], lanes: int) -> int:
    """The lane of a block: always the same, so that a series keeps its order."""
    return (zlib.crc32(key[0].encode()) + key[1]) % lanes


_ANY = "_"
"""Stands for the four metric names while labels are compared."""
