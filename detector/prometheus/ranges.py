"""The JSON road: query_range answers read as they arrive, one series in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from detector import frames
from detector.prometheus import connection, grid, matrix_kernels, query

_READ_BYTES = 1 << 20
_MARK = b'"result":['
_HEAD_BYTES = 64 * 1024
"""The list of series begins within so many bytes of an answer."""
_SEPARATORS = b", \r\n\t"
_LONGEST_SERIES_BYTES = 64 << 20


class _Series(msgspec.Struct, gc=False):
    metric: msgspec.Raw
    values: list[tuple[float, str]] = []


class _Matrix(msgspec.Struct):
    result_type: str = msgspec.field(name="resultType", default="")
    result: tuple[()] = ()


_ODD_SERIES = msgspec.json.Decoder(_Series)
_MATRICES = msgspec.json.Decoder(_Matrix)


@dataclass(frozen=True, slots=True)
class Block:
    """The steps of the frame that one answer fills."""

    first: int
    steps: int


def matrix_into_grid(
    stream: connection.Stream, target: grid.Grid, block: Block, table: frames.SeriesTable
) -> int:
    """Fill a block of the grid's steps from a query_range answer; the number of its series.

    Threads may fill the same grid and table; they take turns by the grid's lock.
    Raises UpstreamError (decode, query, timeout, refused, status).
    """
    if stream.status != 200:
        query.envelope_from_answer(stream.status, stream.read(connection.ERROR_BODY_BYTES))
    return _MatrixReader(stream, target, block, table).read()


class _MatrixReader:
    """Takes series after series out of the stream; what stands around them is kept and checked."""

    def __init__(
        self,
        stream: connection.Stream,
        target: grid.Grid,
        block: Block,
        table: frames.SeriesTable,
    ) -> None:
        self._stream, self._grid, self._block, self._table = stream, target, block, table
        self._start_ms = target.start_ms + block.first * target.step_ms
        self._buffer = bytearray(2 * _READ_BYTES)
        self._begin = self._end = 0
        self._envelope = b""
        self._series = 0
        self._out, self._spans, self._hard = matrix_kernels.scratch(block.steps)

    def read(self) -> int:
        while self._receive():
            if not self._envelope and not self._take_head():
                continue
            while self._take_series():
                self._series += 1
        self._check_envelope(self._envelope + self._rest())
        return self._series

    def _receive(self) -> bool:
        """Append what has arrived, after moving what is unread to the front."""
        unread = self._end - self._begin
        if unread > _LONGEST_SERIES_BYTES:
            raise connection.unreadable("a series of more than 64 MB")
        size = max(len(self._buffer), 2 * unread + _READ_BYTES)
        if size > len(self._buffer):
            self._buffer = self._buffer[self._begin : self._end] + bytearray(size - unread)
        elif self._begin:
            self._buffer[:unread] = self._buffer[self._begin : self._end]
        self._begin, self._end = 0, unread
        with memoryview(self._buffer) as view:
            count = self._stream.readinto(view[unread : unread + _READ_BYTES])
        self._end += count
        return count > 0

    def _take_head(self) -> bool:
        found = self._buffer.find(_MARK, self._begin, self._end)
        if found >= 0:
            self._begin = found + len(_MARK)
            self._envelope = bytes(self._buffer[: self._begin])
        elif self._end > _HEAD_BYTES:
            raise connection.unreadable("no list of series")
        return found >= 0

    def _take_series(self) -> bool:
        buffer, i, end = self._buffer, self._begin, self._end
        while i < end and buffer[i] in _SEPARATORS:
            i += 1
        self._begin = i
        if i >= end or buffer[i] != ord("{"):
            return False
        view = np.frombuffer(buffer, dtype=np.uint8)
        after = matrix_kernels.read_series(
            view, i, end, self._start_ms, self._grid.step_ms, self._out, self._spans, self._hard
        )
        if after == matrix_kernels.ODD:
            after = self._take_odd_series(matrix_kernels.object_end(view, i, end))
        elif after >= 0:
            key = bytes(buffer[self._spans[0] : self._spans[1]])
            for step, begin, stop in self._hard[: self._spans[2]].tolist():
                self._out[step] = _float(bytes(buffer[begin:stop]))
            self._put(key)
        if after < 0:
            return False
        self._begin = after
        return True

    def _take_odd_series(self, after: int) -> int:
        if after < 0:
            return after
        try:
            series = _ODD_SERIES.decode(self._buffer[self._begin : after])
        except msgspec.DecodeError as exc:
            raise connection.unreadable(str(exc)) from exc
        self._out[:] = np.nan
        for time_s, text in series.values:
            step, off = divmod(round(time_s * 1000) - self._start_ms, self._grid.step_ms)
            if off or not 0 <= step < self._block.steps:
                raise connection.unreadable(f"a point at {time_s} s, which was not asked for")
            self._out[step] = _float(text.encode())
        if series.values:  # a series of nothing but native histograms has no row
            self._put(bytes(series.metric))
        return after

    def _put(self, key: bytes) -> None:
        first = self._block.first
        with self._grid.lock:
            try:
                (row,) = query.rows_of_keys([key], self._table)
            except msgspec.DecodeError as exc:
                raise connection.unreadable(str(exc)) from exc
            self._grid.reserve(max(row + 1, len(self._table)))
            self._grid.values[row, first : first + self._block.steps] = self._out

    def _rest(self) -> bytes:
        return bytes(self._buffer[self._begin : self._end])

    def _check_envelope(self, body: bytes) -> None:
        """The answer without its series must be a whole, successful matrix."""
        envelope = query.envelope_from_answer(200, body)
        try:
            result_type = _MATRICES.decode(envelope.data).result_type
        except msgspec.DecodeError as exc:
            raise connection.unreadable(str(exc)) from exc
        if result_type != "matrix":
            raise query.wrong_type(result_type)


def _float(text: bytes) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise connection.unreadable(f"{text[:40]!r} is not a number") from exc
