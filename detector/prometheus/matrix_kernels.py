"""Compiled reader of one series of a query_range answer, straight from the bytes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import extending

INCOMPLETE = -1
ODD = -2
"""The bytes are JSON of another shape than Prometheus': a slower reader must look at them."""

_POWERS = np.array([10.0**power for power in range(23)])
"""10^0 to 10^22, the powers of ten that a float64 holds exactly."""
_EXACT = 1 << 53
_DIGITS = 18
"""So many digits never overflow an int64."""

_OPEN, _CLOSE, _QUOTE, _BACKSLASH = ord("{"), ord("}"), ord('"'), ord("\\")
_HEAD = np.frombuffer(b'{"metric":{', dtype=np.uint8)
_MIDDLE = np.frombuffer(b',"values":[', dtype=np.uint8)


@extending.register_jitable
def _starts_with(buf: Any, i: int, n: int, word: Any) -> int:
    """1 if the word stands at i, 0 if not, INCOMPLETE if the bytes end within it."""
    for k in range(len(word)):
        if i + k >= n:
            return -1
        if buf[i + k] != word[k]:
            return 0
    return 1


@numba.njit(cache=True, nogil=True)
def object_end(buf: Any, i: int, n: int) -> int:
    """Where the JSON object that opens at i ends (one past its brace), or INCOMPLETE."""
    depth = 0
    in_string = False
    while i < n:
        char = buf[i]
        if in_string:
            if char == _BACKSLASH:
                i += 1
            elif char == _QUOTE:
                in_string = False
        elif char == _QUOTE:
            in_string = True
        elif char == _OPEN:
            depth += 1
        elif char == _CLOSE:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return -1


@extending.register_jitable
def _number(buf: Any, i: int, end: int) -> tuple[float, bool]:
    """The decimal number in buf[i:end] and whether it is exact; else float() has to read it."""
    negative = buf[i] == 45
    if negative:
        i += 1
    mantissa, digits, exponent = 0, 0, 0
    seen_point = False
    while i < end:
        char = buf[i]
        if 48 <= char <= 57:
            mantissa = mantissa * 10 + (char - 48)
            digits += mantissa > 0
            exponent -= seen_point
        elif char == 46 and not seen_point:
            seen_point = True
        else:
            break
        i += 1
    if i < end:
        if buf[i] != 101 or i + 2 > end:
            return 0.0, False
        i += 1
        sign = 1
        if buf[i] == 45 or buf[i] == 43:
            sign = 44 - buf[i]
            i += 1
        power = 0
        while i < end:
            if not 48 <= buf[i] <= 57:
                return 0.0, False
            power = min(power * 10 + (buf[i] - 48), 9999)
            i += 1
        exponent += sign * power
    if digits > _DIGITS or mantissa > _EXACT or exponent > 22 or exponent < -22:
        return 0.0, False
    value = float(mantissa)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return (-value if negative else value), True


@numba.njit(cache=True, nogil=True)
def read_series(
    buf: Any, i: int, n: int, start_ms: int, step_ms: int, out: Any, spans: Any, hard: Any
) -> int:
    """Read the series object at i into out, a row of the grid that begins at start_ms.

    buf    uint8, valid to n
    out    float64[T], NaN where the series has no point
    spans  int64[3]: where the metric object begins and ends, and how many values are hard
    hard   int64[T, 3]: step, begin and end of each value that float() has to read
    Returns where the object ends, INCOMPLETE if it goes on after n, ODD for another shape.
    """
    head = _starts_with(buf, i, n, _HEAD)
    if head != 1:
        return -1 if head == -1 else -2
    spans[0] = i + 10
    i = object_end(buf, i + 10, n)
    if i < 0:
        return -1
    spans[1] = i
    middle = _starts_with(buf, i, n, _MIDDLE)
    if middle != 1:
        return -1 if middle == -1 else -2
    i += len(_MIDDLE)
    out[:] = np.nan
    count = 0
    while True:
        if i + 1 >= n:
            return -1
        if buf[i] == 93:  # ]
            break
        if buf[i] == 44:  # ,
            i += 1
        if buf[i] != 91:  # [
            return -2
        i += 1
        time_ms, decimals = 0, -1
        while i < n and buf[i] != 44:
            char = buf[i]
            if char == 46:
                decimals = 0
            elif 48 <= char <= 57 and decimals < 3:
                time_ms = time_ms * 10 + (char - 48)
                decimals += decimals >= 0
            elif not 48 <= char <= 57:
                return -2
            i += 1
        for _ in range(3 - max(decimals, 0)):
            time_ms *= 10
        i += 1
        if i >= n:
            return -1
        if buf[i] != _QUOTE:
            return -2
        begin = i + 1
        i = begin
        while i < n and buf[i] != _QUOTE:
            i += 1
        if i + 1 >= n:
            return -1
        if buf[i + 1] != 93 or i == begin:
            return -2
        step = (time_ms - start_ms) // step_ms
        if step < 0 or step >= len(out) or (time_ms - start_ms) % step_ms:
            return -2
        value, exact = _number(buf, begin, i)
        if exact:
            out[step] = value
        else:
            if count >= len(hard):
                return -2
            hard[count, 0], hard[count, 1], hard[count, 2] = step, begin, i
            count += 1
        i += 2
    spans[2] = count
    if buf[i + 1] != _CLOSE:
        return -2
    return i + 2


def warm_up() -> None:
    """Compile the kernels into their cache."""
    text = bytearray(b'{"metric":{},"values":[[1,"1"]]}')
    view = np.frombuffer(text, dtype=np.uint8)
    read_series(view, 0, len(view), 1000, 1000, *scratch(1))


def scratch(steps: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The arrays out, spans and hard of read_series."""
    return (
        np.empty(steps),
        np.zeros(3, dtype=np.int64),
        np.empty((steps, 3), dtype=np.int64),
    )
