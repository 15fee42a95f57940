"""What the names that policies use mean, and what they are now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from detector import config, errors, frames, ports
from detector.policy import catalogue, promql

KNOWN_FOR = timedelta(hours=1)
"""A metric that has had no samples for so long is not known any more."""
MOST_VALUES = 100
"""Series of one metric whose values are told."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric and its values now, the highest first.

    series     how many there are, of which `values` has MOST_VALUES at most
    threshold  of the settings, for policies that name none; None: there is no such thing
    """

    name: str
    metric: catalogue.Metric
    threshold: float | None
    series: int
    values: tuple[tuple[frames.Labels, float], ...]


class Readings:
    """Reads metrics by the names that policies use. Threads may share it.

    thresholds  of the settings as they are now
    """

    def __init__(
        self,
        reader: ports.SeriesReader,
        *,
        thresholds: Callable[[], config.Thresholds],
    ) -> None:
        self._reader, self._thresholds = reader, thresholds

    def all_metrics(self, at: datetime) -> Iterator[Reading]:
        """Every name of the catalogue. Raises UpstreamError."""
        for name, metric in catalogue.CATALOGUE.items():
            yield self._reading(name, metric, at)

    def one_metric(self, name: str, at: datetime) -> Reading:
        """A name of the catalogue or a metric of Prometheus.

        Raises NotFoundError with the nearest names if it is neither, UpstreamError.
        """
        if name in catalogue.CATALOGUE:
            return self._reading(name, catalogue.CATALOGUE[name], at)
        at_ms = round(at.timestamp() * 1000)
        within_ms = KNOWN_FOR // timedelta(milliseconds=1)
        known = self._reader.metric_names(start_ms=at_ms - within_ms, end_ms=at_ms)
        if name not in known:
            close = catalogue.nearest(name, known)
            meant = f": did you mean {' or '.join(close)}?" if close else ""
            raise errors.NotFoundError(
                f"metric {name}: neither in the catalogue nor in Prometheus{meant}"
            )
        return self._reading(name, catalogue.metric_of(name), at)

    def _reading(self, name: str, metric: catalogue.Metric, at: datetime) -> Reading:
        table = frames.SeriesTable()
        expr = promql.selector(metric.series)
        if metric.scale != 1:
            expr = f"{promql.number(metric.scale)} * {expr}"
        values = self._reader.read_instant(expr, at_ms=round(at.timestamp() * 1000), table=table)
        rows = np.flatnonzero(np.isfinite(values))
        best = rows[np.argsort(-values[rows], kind="stable")][:MOST_VALUES]
        found = tuple((_unnamed(table.labels[row]), float(values[row])) for row in best.tolist())
        threshold = None if metric.limit is None else getattr(self._thresholds(), metric.limit)
        return Reading(name, metric, threshold, len(rows), found)


def _unnamed(labels: frames.Labels | None) -> frames.Labels:
    """Without the metric's own name, which is told once."""
    return tuple(each for each in labels or () if each[0] != promql.NAME)
