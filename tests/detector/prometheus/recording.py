"""What the tests of the writer share: a clock and sleeps that take no time, counted metrics."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import cramjam
import numpy as np

from detector import frames
from detector.prometheus import encode, writer
from tests import faults, prompb

NOW_S = 1_800_000_000.0
NOW_MS = int(NOW_S * 1000)
OK = faults.Planned(204)
FLUSH = timedelta(seconds=20)


class Metrics:
    """Counts."""

    def __init__(self) -> None:
        self.sent = self.retries = self.waiting = self.most_waiting = 0
        self.lost: Counter[str] = Counter()

    def samples_sent(self, count: int) -> None:
        self.sent += count

    def dropped(self, count: int, reason: str) -> None:
        self.lost[reason] += count

    def retried(self) -> None:
        self.retries += 1

    def queue_samples(self, count: int) -> None:
        self.waiting = count
        self.most_waiting = max(self.most_waiting, count)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now_s += seconds
        return False


def table_of(count: int) -> frames.SeriesTable:
    """Series up{host="0"} and so on."""
    table = frames.SeriesTable()
    for number in range(count):
        table.row((("__name__", "up"), ("host", str(number))))
    return table


def scores_of(values: Any, times_ms: list[int]) -> frames.Scores:
    """Scores whose four arrays are values, +1, -1, +2."""
    score = np.array(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # the stale marker is a signalling NaN
        return frames.Scores(
            times_ms=np.array(times_ms, dtype=np.int64),
            score=score,
            expected=score + 1,
            lower=score - 1,
            upper=score + 2,
            drift=np.full(score.shape, np.nan),
            kind=np.zeros(score.shape, dtype=np.int8),
        )


def writer_to(
    url: str,
    metrics: Metrics,
    time: Time,
    protocol: encode.Protocol = encode.Protocol.V1,
    **others: Any,
) -> writer.Writer:
    """A writer that has not started."""
    return writer.Writer(
        url,
        timeout=others.pop("timeout", timedelta(seconds=5)),
        auth=others.pop("auth", None),
        metrics=metrics,
        clock=time.clock,
        wait=time.wait,
        protocol=protocol,
        **others,
    )


Decoded = list[tuple[frames.Labels, list[tuple[int, float]]]]


def decoded(request: faults.Received) -> Decoded:
    """The series of a 1.0 request by google.protobuf: labels and (time, value)."""
    message = prompb.V1["WriteRequest"].FromString(bytes(_unpacked(request)))
    return [
        (
            tuple((label.name, label.value) for label in series.labels),
            [(sample.timestamp, sample.value) for sample in series.samples],
        )
        for series in message.timeseries
    ]


def decoded_v2(request: faults.Received) -> Decoded:
    """The series of a 2.0 request likewise."""
    message = prompb.V2["Request"].FromString(bytes(_unpacked(request)))
    symbols = list(message.symbols)
    assert symbols[0] == ""
    found = []
    for series in message.timeseries:
        texts = [symbols[reference] for reference in series.labels_refs]
        labels = tuple(zip(texts[::2], texts[1::2], strict=True))
        found.append((labels, [(sample.timestamp, sample.value) for sample in series.samples]))
    return found


def _unpacked(request: faults.Received) -> bytes:
    return bytes(cramjam.snappy.decompress_raw(request.body))
