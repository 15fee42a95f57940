"""The exporter's metrics about itself, all declared here: exporter_*, node_scrape_*, process_*."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

import exporter
from exporter import exposition, scrape

STATUSES: Final = tuple(scrape.Status)
REQUEST_CODES: Final = ("200", "400", "401", "404", "405", "408", "431", "501", "503")


def status_template(names: Sequence[str]) -> exposition.Template:
    """Duration, success and status of these collectors, values in the order of status_values."""
    plain = [exposition.labels(collector=name.encode()) for name in names]
    by_status = [
        exposition.labels(collector=name.encode(), status=status.encode())
        for name in names
        for status in STATUSES
    ]
    return exposition.Template(
        [
            # Names and texts of node_exporter, for the dashboards and alerts that know them.
            exposition.Family(
                b"node_scrape_collector_duration_seconds",
                "gauge",
                b"node_exporter: Duration of a collector scrape.",
                plain,
                b"%.6f",
            ),
            exposition.Family(
                b"node_scrape_collector_success",
                "gauge",
                b"node_exporter: Whether a collector succeeded.",
                plain,
                b"%d",
            ),
            exposition.Family(
                b"exporter_collector_status",
                "gauge",
                b"1 for how the collector fared in this scrape: ok, no_data or failed.",
                by_status,
                b"%d",
            ),
        ]
    )


def status_values(outcomes: Mapping[str, scrape.Outcome]) -> tuple[float | int, ...]:
    """The values of status_template for its names in order."""
    found = outcomes.values()
    return (
        *(outcome.duration_s for outcome in found),
        *(outcome.status is scrape.Status.OK for outcome in found),
        *(outcome.status is status for outcome in found for status in STATUSES),
    )


class Telemetry:
    """Counts what is served."""

    def __init__(self) -> None:
        self.requests = dict.fromkeys(REQUEST_CODES, 0)
        self.scrapes = 0
        self.scrape_seconds = 0.0
        self.duplicate_families = 0
        self.connections_refused = 0
        self._process = ProcessCollector(registry=None)

    def collect(self) -> list[Metric]:
        """The families about this process and what it has served so far."""
        return [
            *self._process.collect(),
            _build_info(),
            _counter("exporter_scrapes_total", "Scrapes answered.", self.scrapes),
            _counter(
                "exporter_scrape_duration_seconds_total",
                "Time from a scrape's request to its answer, summed.",
                self.scrape_seconds,
            ),
            _counter(
                "exporter_scrape_duplicate_families_total",
                "Families left out because another collector has their name.",
                self.duplicate_families,
            ),
            _counter(
                "exporter_http_connections_refused_total",
                "Connections closed at once because too many were open.",
                self.connections_refused,
            ),
            self._requests(),
        ]

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "exporter_http_requests_total", "Requests answered, by status code.", labels=["code"]
        )
        for code, count in self.requests.items():
            family.add_metric([code], count)
        return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)


def _build_info() -> Metric:
    family = GaugeMetricFamily(
        "exporter_build_info",
        "A metric with a constant 1, labelled by version and by the Python that runs it.",
        labels=["version", "python"],
    )
    family.add_metric([exporter.__version__, platform.python_version()], 1)
    return family
