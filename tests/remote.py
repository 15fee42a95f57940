"""Puts samples into a real Prometheus, any values at any times, by google.protobuf's encoder."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import cramjam
import requests

from detector import frames
from tests import prompb

Sample = tuple[frames.Labels, float, int]
"""Labels, value, epoch milliseconds."""
STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def labels(name: str, **others: str) -> frames.Labels:
    """The labels of a series of this name."""
    return frames.labels_from_pairs([("__name__", name), *others.items()])


def push(url: str, samples: Sequence[Sample]) -> requests.Response:
    """The answer to one remote write request of these samples, labels as they are."""
    request = prompb.V1["WriteRequest"]()
    for series, points in itertools.groupby(samples, key=lambda sample: sample[0]):
        entry = request.timeseries.add()
        for name, value in series:
            entry.labels.add(name=name, value=value)
        for _, value, time_ms in points:
            entry.samples.add(value=value, timestamp=time_ms)
    return push_raw(url, request.SerializeToString())


def push_raw(url: str, body: bytes) -> requests.Response:
    """The answer to this body, sent as remote write 1.0."""
    packed = bytes(cramjam.snappy.compress_raw(body))
    return requests.post(f"{url}/api/v1/write", data=packed, headers=HEADERS, timeout=30)
