"""Compiled reader of remote_read's streamed frames: protobuf framing and XOR chunks.

Formats: prometheus/prompb remote.proto (ChunkedReadResponse) and tsdb/chunkenc/xor.go; the
compression is that of Gorilla (Pelkonen et al., VLDB 2015). Positions are byte or bit offsets.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import extending

SPARE_BYTES = 32
"""Readable bytes that must follow a frame: bits are taken from 8 bytes at a time."""
XOR = 1
OK, MALFORMED, OTHER_ENCODING, UNORDERED = 0, 1, 2, 3
_STALE_BITS = 0x7FF0000000000002
_LONG_AGO_MS = -(1 << 61)


@extending.register_jitable
def _varint(buf: Any, i: int, end: int) -> tuple[int, int]:
    """(value, next position), position -1 if the bytes end within it."""
    value: Any = 0
    shift = 0
    while i < end and shift < 64:
        byte = np.int64(buf[i])
        value |= (byte & 0x7F) << shift
        i += 1
        if byte < 0x80:
            return value, i
        shift += 7
    return 0, -1


@extending.register_jitable
def _skip(buf: Any, tag: int, i: int, end: int) -> int:
    """Where the field of this tag, whose content is at i, ends; -1 if it is malformed."""
    wire = tag & 7
    if wire == 0:
        return _varint(buf, i, end)[1]
    if wire == 1:
        i += 8
    elif wire == 5:
        i += 4
    elif wire == 2:
        length, i = _varint(buf, i, end)
        if i < 0 or length < 0:
            return -1
        i += length
    else:
        return -1
    return i if i <= end else -1


@numba.njit(cache=True, nogil=True)
def split_frame(buf: Any, i: int, end: int, series: Any) -> int:
    """Find the series (field 1) of a frame: series[n] = (begin, end of the message).

    Returns their number, or -1 where the frame is malformed or holds more than len(series).
    """
    count = 0
    while i < end:
        tag, i = _varint(buf, i, end)
        if i < 0:
            return -1
        after = _skip(buf, tag, i, end)
        if after < 0:
            return -1
        if tag == 0x0A:
            if count >= len(series):
                return -1
            series[count, 0] = _varint(buf, i, end)[1]
            series[count, 1] = after
            count += 1
        i = after
    return count


@numba.njit(cache=True, nogil=True)
def labels_end(buf: Any, i: int, end: int) -> int:
    """Where the labels (fields 1) at the head of a series' message end."""
    while i < end and buf[i] == 0x0A:
        after = _skip(buf, 0x0A, i + 1, end)
        if after < 0:
            return i
        i = after
    return i


@extending.register_jitable
def _peek(buf: Any, bit: int) -> Any:
    """At least 57 bits from this one on, the first of them highest."""
    i = bit >> 3
    word = np.uint64(0)
    for k in range(8):
        word = (word << np.uint64(8)) | np.uint64(buf[i + k])
    return word << np.uint64(bit & 7)


@extending.register_jitable
def _bits(buf: Any, bit: int, count: int) -> Any:
    """The next count bits, 1 to 64 of them, as an unsigned number."""
    if count <= 57:
        return _peek(buf, bit) >> np.uint64(64 - count)
    high = _peek(buf, bit) >> np.uint64(32)
    low = _peek(buf, bit + 32) >> np.uint64(64 - (count - 32))
    return (high << np.uint64(count - 32)) | low


@extending.register_jitable
def _stand(row: Any, step: int, time_ms: int, word: Any, until_ms: int, grid: Any) -> int:
    """Let a sample stand for the steps before until_ms for which it is not too old.

    step  the first step that is not before the sample
    grid  int64[3]: start_ms, step_ms, the age at which a sample is too old
    Returns the first step that is not before until_ms. NaN, stale markers too, stand for nothing.
    """
    start_ms, step_ms, too_old_ms = grid[0], grid[1], grid[2]
    is_number = (word & np.uint64(0x7FFFFFFFFFFFFFFF)) <= np.uint64(0x7FF0000000000000)
    at_ms = start_ms + step * step_ms
    while step < len(row) and at_ms < until_ms:
        if is_number and at_ms - time_ms < too_old_ms:
            row[step] = np.int64(word)
        step += 1
        at_ms += step_ms
    return step


@extending.register_jitable
def _decode_xor(buf: Any, begin: int, end: int, row: Any, last: Any, grid: Any) -> int:
    """Let the samples of an XOR chunk follow on the row's last one; OK, MALFORMED or UNORDERED.

    last  int64[3]: the row's last sample: time, bits of its value, first step not before it
    """
    if end - begin < 2:
        return MALFORMED
    samples = (np.int64(buf[begin]) << 8) | np.int64(buf[begin + 1])
    if samples == 0:
        return OK
    bit_end = end * 8
    raw, i = _varint(buf, begin + 2, end)
    if i < 0:
        return MALFORMED
    time_ms: Any = np.int64((raw >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(raw & 1)
    bit = i * 8
    word = _bits(buf, bit, 64)
    bit += 64
    delta: Any = 0
    leading: Any = 0
    significant: Any = 0
    last_ms, last_word, step = last[0], np.uint64(last[1]), last[2]
    for number in range(samples):
        if number == 1:
            delta, i = _varint(buf, bit >> 3, end)
            if i < 0:
                return MALFORMED
            bit = i * 8
        elif number > 1:
            head = _peek(buf, bit)
            if head >> np.uint64(63) == 0:
                bit += 1
            else:
                size, used = 64, 4
                prefix = np.int64(head >> np.uint64(60))
                if prefix < 0b1100:
                    size, used = 14, 2
                elif prefix < 0b1110:
                    size, used = 17, 3
                elif prefix == 0b1110:
                    size = 20
                change = np.int64(_bits(buf, bit + used, size))
                if size < 64 and change > (1 << (size - 1)):
                    change -= 1 << size
                bit += used + size
                delta += change
        if number > 0:
            time_ms += delta
            head = _peek(buf, bit)
            if head >> np.uint64(63) == 0:
                bit += 1
            else:
                if (head >> np.uint64(62)) & np.uint64(1):
                    leading = np.int64((head >> np.uint64(57)) & np.uint64(31))
                    significant = np.int64((head >> np.uint64(51)) & np.uint64(63))
                    significant = 64 if significant == 0 else significant
                    bit += 13
                else:
                    bit += 2
                trailing = 64 - leading - significant
                if trailing < 0 or significant == 0:
                    return MALFORMED
                word ^= _bits(buf, bit, significant) << np.uint64(trailing)
                bit += significant
        if bit > bit_end:
            return MALFORMED
        if time_ms <= last_ms:
            return UNORDERED
        step = _stand(row, step, last_ms, last_word, time_ms, grid)
        last_ms, last_word = time_ms, word
    last[0], last[1], last[2] = last_ms, np.int64(last_word), step
    return OK


@extending.register_jitable
def _decode_chunk(buf: Any, i: int, end: int, row: Any, last: Any, grid: Any) -> int:
    encoding, begin, stop = 0, 0, 0
    while i < end:
        tag, i = _varint(buf, i, end)
        if i < 0:
            return MALFORMED
        after = _skip(buf, tag, i, end)
        if after < 0:
            return MALFORMED
        if tag == 0x18:
            encoding = _varint(buf, i, end)[0]
        elif tag == 0x22:
            begin, stop = _varint(buf, i, end)[1], after
        i = after
    if encoding != XOR:
        return OTHER_ENCODING
    return _decode_xor(buf, begin, stop, row, last, grid)


@extending.register_jitable
def _decode_series(buf: Any, i: int, end: int, row: Any, last: Any, grid: Any) -> int:
    """Put the chunks (fields 2) of a series' message into its row; OK or what went wrong."""
    while i < end:
        tag, i = _varint(buf, i, end)
        if i < 0:
            return MALFORMED
        after = _skip(buf, tag, i, end)
        if after < 0:
            return MALFORMED
        if tag == 0x12:
            outcome = _decode_chunk(buf, _varint(buf, i, end)[1], after, row, last, grid)
            if outcome != OK:
                return outcome
        i = after
    return OK


@numba.njit(cache=True, nogil=True)
def decode_frame(buf: Any, series: Any, rows: Any, bits: Any, last: Any, grid: Any) -> int:
    """Put the series of a frame, as split_frame found them, into their rows.

    bits    int64[S, T], the bits of the values, NaN's where nothing was put
    last    int64[S, 3] as blank_last makes it
    grid    int64[3]: start_ms, step_ms, the age at which a sample is too old
    """
    for number in range(len(rows)):
        row = rows[number]
        begin, end = series[number, 0], series[number, 1]
        outcome = _decode_series(buf, begin, end, bits[row], last[row], grid)
        if outcome != OK:
            return outcome
    return OK


@numba.njit(cache=True, nogil=True)
def finish(bits: Any, last: Any, grid: Any) -> None:
    """Let the last sample of each row stand for the steps after it."""
    for row in range(min(len(bits), len(last))):
        time_ms, word, step = last[row, 0], np.uint64(last[row, 1]), last[row, 2]
        _stand(bits[row], step, time_ms, word, 1 << 62, grid)


def blank_last(rows: int) -> npt.NDArray[np.int64]:
    """The last samples of rows that have none yet."""
    return np.tile(np.array([_LONG_AGO_MS, _STALE_BITS, 0]), (rows, 1))


def warm_up() -> None:
    """Compile the kernels into their cache."""
    view = np.zeros(SPARE_BYTES, dtype=np.uint8)
    spans = np.zeros((1, 2), dtype=np.int64)
    grid = np.array([0, 1, 1])
    bits, last = np.zeros((1, 1), dtype=np.int64), blank_last(1)
    split_frame(view, 0, 0, spans)
    labels_end(view, 0, 0)
    decode_frame(view, spans, np.zeros(1, dtype=np.int64), bits, last, grid)
    finish(bits, last, grid)
