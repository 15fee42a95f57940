"""The answer of an instant query as (row, value) pairs, with labels left as the server's bytes.

The server writes a series' labels the same way each time, so their raw bytes find the row and
they are parsed once in a series' life. That takes a quarter of the time of a full parse.
"""

from __future__ import annotations

import json
import math
from typing import Literal

import msgspec
import numpy as np

from detector import errors, frames
from detector.prometheus import connection

_NEGATIVE_ZERO = b'"-0"'
"""msgspec takes this for 0, and refuses "+Inf": such answers are read the slow way."""
_KEYS_PER_ROW = 8
"""A server that writes the same labels in many orders must not fill the table with keys."""


class _Point(msgspec.Struct, gc=False):
    metric: msgspec.Raw
    value: tuple[float, float]


class _Vector(msgspec.Struct):
    type: Literal["vector"] = msgspec.field(name="resultType")
    result: list[_Point]


class _Answer(msgspec.Struct):
    """The usual answer, in one pass."""

    status: Literal["success"]
    data: _Vector


class _SlowPoint(msgspec.Struct, gc=False):
    metric: msgspec.Raw
    value: tuple[float, str] | None = None


class _Result(msgspec.Struct):
    result_type: str = msgspec.field(name="resultType", default="")
    result: msgspec.Raw = msgspec.Raw(b"null")


class Envelope(msgspec.Struct):
    """What surrounds every answer of the API."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error_type: str = msgspec.field(name="errorType", default="")
    error: str = ""
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


_ENVELOPES = msgspec.json.Decoder(Envelope)
_RESULTS = msgspec.json.Decoder(_Result)
_ANSWERS = msgspec.json.Decoder(_Answer, strict=False)
_SLOW_POINTS = msgspec.json.Decoder(list[_SlowPoint])
_LABELS = msgspec.json.Decoder(dict[str, str])
_NAMES = msgspec.json.Decoder(frozenset[str])


def envelope_from_answer(status: int, body: bytes) -> Envelope:
    """The envelope of a success.

    Raises UpstreamError: query (the server refuses the expression), timeout, refused (401, 403),
    status (any other refusal) or decode.
    """
    if status in {401, 403}:
        raise errors.UpstreamError(
            f"Prometheus answered {status}: check its credentials", kind="refused", retryable=False
        )
    try:
        envelope = _ENVELOPES.decode(body)
    except msgspec.DecodeError as exc:
        if status == 200:
            raise connection.unreadable(str(exc)) from exc
        raise _status(status, body.decode(errors="replace")) from exc
    if envelope.status == "success" and status == 200:
        return envelope
    raise _refusal(status, envelope)


def vector_into_table(body: bytes, table: frames.SeriesTable) -> frames.Floats:
    """float64[len(table)] of an instant query's whole answer; new series get rows.

    Raises UpstreamError.
    """
    try:
        keys, found = _usual_points(body) or _any_points(body)
        rows = rows_of_keys(keys, table)
    except (msgspec.DecodeError, ValueError) as exc:
        raise connection.unreadable(str(exc)) from exc
    values = np.full(len(table), math.nan)
    values[rows] = found
    return values


def names_from_answer(status: int, body: bytes) -> frozenset[str]:
    """The values of a label that were asked for; raises UpstreamError."""
    try:
        return _NAMES.decode(envelope_from_answer(status, body).data)
    except msgspec.DecodeError as exc:
        raise connection.unreadable(str(exc)) from exc


def labels_from_json(raw: bytes) -> frames.Labels:
    """The labels that the server wrote as a JSON object; raises msgspec.DecodeError."""
    return frames.labels_from_pairs(_LABELS.decode(raw).items())


def wrong_type(result_type: str) -> errors.UpstreamError:
    """What to raise for an expression that does not give series."""
    return errors.UpstreamError(
        f"the expression gives a {result_type or 'result without a type'}, not series; "
        "wrap a number as vector(...), a range in a function such as rate(...)",
        kind="query",
        retryable=False,
    )


def _usual_points(body: bytes) -> tuple[list[bytes], frames.Floats] | None:
    """The series' keys and values, None for an answer that needs a closer look."""
    try:
        points = _ANSWERS.decode(body).data.result
    except msgspec.DecodeError:
        return None
    values = np.array([point.value[1] for point in points], dtype=np.float64)
    if not values.all() and _NEGATIVE_ZERO in body:
        return None
    return [bytes(point.metric) for point in points], values


def _any_points(body: bytes) -> tuple[list[bytes], frames.Floats]:
    """The same, whatever the values; native histograms are left out."""
    result = _RESULTS.decode(envelope_from_answer(200, body).data)
    if result.result_type != "vector":
        raise wrong_type(result.result_type)
    pairs = [
        (bytes(point.metric), float(point.value[1]))
        for point in _SLOW_POINTS.decode(result.result)
        if point.value is not None
    ]
    return [key for key, _ in pairs], np.array([value for _, value in pairs], dtype=np.float64)


def rows_of_keys(keys: list[bytes], table: frames.SeriesTable) -> list[int]:
    """The rows of series known by the server's bytes for their labels; new ones are parsed."""
    try:
        return [table.row_by_key[key] for key in keys]
    except KeyError:
        pass
    if len(table.row_by_key) > _KEYS_PER_ROW * (len(table) + len(keys)):
        table.row_by_key.clear()
    known = table.row_by_key.get
    rows = []
    for key in keys:
        row = known(key)
        rows.append(table.bind(key, labels_from_json(key)) if row is None else row)
    return rows


def _refusal(status: int, envelope: Envelope) -> errors.UpstreamError:
    text = connection.one_line(f"{envelope.error_type}: {envelope.error}")
    if envelope.error_type in {"bad_data", "execution"}:
        return errors.UpstreamError(f"query refused: {text}", kind="query", retryable=False)
    if envelope.error_type in {"timeout", "canceled"}:
        return errors.UpstreamError(f"query given up: {text}", kind="timeout", retryable=True)
    return _status(status, json.dumps(text) if not envelope.error else text)


def _status(status: int, text: str) -> errors.UpstreamError:
    said = connection.one_line(text)
    return errors.UpstreamError(
        f"Prometheus answered {status}: {said}", kind="status", retryable=status >= 500
    )
