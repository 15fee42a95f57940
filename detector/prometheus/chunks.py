"""The chunk road: raw samples by remote_read's streamed chunks, stood on the grid by ourselves.

What query_range does to samples is done here, so that the frame comes out the same bit by bit:
the newest sample at or before a step stands for it, unless it is older than the lookback or a
stale marker (Prometheus promql/engine.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import cramjam
import numpy as np

from detector import frames
from detector.policy import promql
from detector.prometheus import chunk_kernels, connection, grid, wire

PATH = "/api/v1/read"
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}
STREAMED = "application/x-streamed-protobuf"
_READ_BYTES = 1 << 20
_LONGEST_FRAME_BYTES = 64 << 20
_CHECKSUM_BYTES = 4
_FRAME_HEAD_BYTES = 10 + _CHECKSUM_BYTES
_SERIES_OF_A_FRAME = 1 << 16


class Unsuitable(Exception):
    """The answer holds what only the server can evaluate, such as native histograms."""


def request(matchers: Sequence[promql.Matcher], start_ms: int, end_ms: int) -> bytes:
    """The body of a remote read, both ends included (prometheus.ReadRequest, snappy)."""
    query = b"\x08" + wire.int64(start_ms) + b"\x10" + wire.int64(end_ms)
    for matcher in matchers:
        text = b"\x08" + wire.varint(matcher.type)
        text += wire.field(0x12, matcher.name.encode()) + wire.field(0x1A, matcher.value.encode())
        query += wire.field(0x1A, text)
    streamed_xor_chunks = b"\x12\x01\x01"
    return bytes(cramjam.snappy.compress_raw(wire.field(0x0A, query) + streamed_xor_chunks))


def chunks_into_grid(
    stream: connection.Stream,
    target: grid.Grid,
    table: frames.SeriesTable,
    *,
    lookback: timedelta,
    includes_lookback: bool,
) -> None:
    """Fill the grid from a streamed answer.

    includes_lookback  whether a sample exactly as old as the lookback still stands: so it was
                       before Prometheus 3
    Raises UpstreamError (decode), Unsuitable.
    """
    _ChunkReader(stream, target, table, lookback, includes_lookback).read()


class _ChunkReader:
    def __init__(
        self,
        stream: connection.Stream,
        target: grid.Grid,
        table: frames.SeriesTable,
        lookback: timedelta,
        includes_lookback: bool,
    ) -> None:
        self._stream, self._grid, self._table = stream, target, table
        too_old_ms = lookback // timedelta(milliseconds=1) + includes_lookback
        self._steps = np.array([target.start_ms, target.step_ms, too_old_ms], dtype=np.int64)
        self._row_by_key: dict[bytes, int] = {}
        self._known = {row for row, labels in enumerate(table.labels) if labels is not None}
        self._last = chunk_kernels.blank_last(len(target.values))
        self._buffer = bytearray(2 * _READ_BYTES + chunk_kernels.SPARE_BYTES)
        self._begin = self._end = 0
        self._series = np.empty((_SERIES_OF_A_FRAME, 2), dtype=np.int64)

    def read(self) -> None:
        while self._receive():
            while self._take_frame():
                pass
        if self._begin != self._end:
            raise connection.unreadable("the last frame is not whole")
        chunk_kernels.finish(self._grid.values.view(np.int64), self._last, self._steps)
        self._forget_unseen()

    def _forget_unseen(self) -> None:
        """Free the new rows of series that have samples, but none that stands for a step."""
        values = self._grid.values
        new = [row for row in self._row_by_key.values() if row not in self._known]
        self._table.forget([row for row in new if np.isnan(values[row]).all()])

    def _receive(self) -> bool:
        """Append what has arrived, after moving what is unread to the front."""
        unread = self._end - self._begin
        size = unread + _READ_BYTES + chunk_kernels.SPARE_BYTES
        if size > len(self._buffer):
            if unread > _LONGEST_FRAME_BYTES:
                raise connection.unreadable("a frame of more than 64 MB")
            self._buffer = self._buffer[self._begin : self._end] + bytearray(2 * size - unread)
        elif self._begin:
            self._buffer[:unread] = self._buffer[self._begin : self._end]
        self._begin, self._end = 0, unread
        with memoryview(self._buffer) as view:
            count = self._stream.readinto(view[unread : unread + _READ_BYTES])
        self._end += count
        return count > 0

    def _take_frame(self) -> bool:
        head = self._buffer[self._begin : min(self._end, self._begin + _FRAME_HEAD_BYTES)]
        length, size = _length(head)
        begin = self._begin + size + _CHECKSUM_BYTES
        if size == 0 or begin + length > self._end:
            return False
        self._put_frame(begin, begin + length)
        self._begin = begin + length
        return True

    def _put_frame(self, begin: int, end: int) -> None:
        view = np.frombuffer(self._buffer, dtype=np.uint8)
        count = chunk_kernels.split_frame(view, begin, end, self._series)
        if count < 0:
            raise connection.unreadable("a frame is malformed")
        series = self._series[:count]
        rows = np.array([self._row(view, *span) for span in series.tolist()], dtype=np.int64)
        outcome = chunk_kernels.decode_frame(
            view, series, rows, self._grid.values.view(np.int64), self._last, self._steps
        )
        if outcome == chunk_kernels.MALFORMED:
            raise connection.unreadable("a chunk is malformed")
        if outcome != chunk_kernels.OK:
            raise Unsuitable("samples that only the server can evaluate")

    def _row(self, view: object, begin: int, end: int) -> int:
        key = bytes(self._buffer[begin : chunk_kernels.labels_end(view, begin, end)])
        row = self._row_by_key.get(key)
        if row is None:
            row = self._row_by_key[key] = self._table.row(_labels_from_bytes(key))
            self._grid.reserve(row + 1)
            missing = len(self._grid.values) - len(self._last)
            if missing > 0:
                self._last = np.concatenate((self._last, chunk_kernels.blank_last(missing)))
        return row


def _labels_from_bytes(key: bytes) -> frames.Labels:
    """The labels of a series' message: fields 1, each with a name (1) and a value (2)."""
    pairs = []
    i = 0
    try:
        while i < len(key):
            length, i = wire.read_varint(key, i + 1)
            name, value, end = "", "", i + length
            while i < end:
                tag = key[i]
                length, i = wire.read_varint(key, i + 1)
                text = key[i : i + length].decode()
                name, value = (text, value) if tag == 0x0A else (name, text)
                i += length
            pairs.append((name, value))
    except (IndexError, UnicodeDecodeError) as exc:
        raise connection.unreadable("labels are malformed") from exc
    return frames.labels_from_pairs(pairs)


def _length(head: bytes | bytearray) -> tuple[int, int]:
    """(value of the varint at the head, its bytes), (0, 0) while it is not whole."""
    try:
        return wire.read_varint(head, 0)
    except IndexError:
        if len(head) >= 10:
            raise connection.unreadable("a frame's length is malformed") from None
        return 0, 0
