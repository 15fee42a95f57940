"""Loads a Prometheus with regular series, and adds a point to all of them at a time of choice."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence

import cramjam
import numpy as np

from detector import frames
from detector.prometheus import encode

METRIC = "bench_metric"
SERIES_PER_REQUEST = 1_000
POINTS_PER_REQUEST = 30
NOISE = 2.0
"""Standard deviation of every series about its level."""
TIMEOUT_S = 60


def series_labels(count: int, metric: str = METRIC) -> list[frames.Labels]:
    """Label sets as hosts have them: six labels, 100 series a host."""
    return [
        frames.labels_from_pairs(
            (
                ("__name__", metric),
                ("job", "node"),
                ("instance", f"host-{number // 100:04d}.example.org:9100"),
                ("device", f"dev{number % 100:02d}"),
                ("zone", f"zone-{number // 100 % 3}"),
                ("env", "prod"),
            )
        )
        for number in range(count)
    ]


class Load:
    """Writes points of `count` series; the values are plausible and have two decimals."""

    def __init__(
        self,
        url: str,
        count: int,
        *,
        metric: str = METRIC,
        seed: int = 0,
        levels: tuple[float, float] = (10.0, 90.0),
    ) -> None:
        self._url = f"{url}/api/v1/write"
        self._rng = np.random.default_rng(seed)
        self._level = self._rng.uniform(*levels, count)
        labels = series_labels(count, metric)
        self._groups = [
            labels[first : first + SERIES_PER_REQUEST]
            for first in range(0, count, SERIES_PER_REQUEST)
        ]
        self._templates: dict[tuple[int, int], encode.Template] = {}

    def append(self, times_ms: Sequence[int]) -> int:
        """Write one point for each series at each of these times; the number of samples."""
        for first in range(0, len(times_ms), POINTS_PER_REQUEST):
            slice_ms = np.array(times_ms[first : first + POINTS_PER_REQUEST], dtype=np.int64)
            for number in range(len(self._groups)):
                self._post(number, slice_ms)
        return len(times_ms) * len(self._level)

    def _post(self, number: int, times_ms: frames.Ints) -> None:
        points = len(times_ms)
        template = self._templates.get((number, points))
        if template is None:
            template = encode.Template(self._groups[number], samples=points)
            self._templates[number, points] = template
        first = number * SERIES_PER_REQUEST
        level = self._level[first : first + SERIES_PER_REQUEST, np.newaxis]
        noise = self._rng.normal(0, NOISE, (len(level), points))
        body = template.body(np.round(level + noise, 2).ravel(), np.tile(times_ms, len(level)))
        request = urllib.request.Request(  # noqa: S310 - the url of a server that we started
            self._url,
            data=bytes(cramjam.snappy.compress_raw(body.data)),
            headers=encode.Protocol.V1.headers,
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            answer.read()
