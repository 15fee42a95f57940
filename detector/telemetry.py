"""Every metric that the detector has of itself, on one registry."""

from __future__ import annotations

from dataclasses import dataclass

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from detector import __version__

FAILURE_KINDS = (
    "unreachable",
    "timeout",
    "status",
    "decode",
    "refused",
    "query",
    "store",
    "other",
    "bug",
)
"""Every value of the label `kind`: UpstreamError's, and one each for the other errors. A counter
is made at 0 for each, because rate() cannot see the first failure of a series that begins with it.
"""
POLICY_STATES = ("enabled", "disabled", "refused")
_TURN_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Telemetry:
    """The metrics, made once by app.py and handed to what counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)
        loop, query = ("loop",), ("query",)

        self.loop_last_success = Gauge(
            "detector_loop_last_success_timestamp_seconds",
            "When the loop's last successful turn ended.",
            loop,
            registry=registry,
        )
        self.loop_interval = Gauge(
            "detector_loop_interval_seconds",
            "How often the loop is to turn.",
            loop,
            registry=registry,
        )
        self.loop_duration = Histogram(
            "detector_loop_duration_seconds",
            "How long turns of the loop take.",
            loop,
            buckets=_TURN_BUCKETS_S,
            registry=registry,
        )
        self.loop_failures = Counter(
            "detector_loop_failures_total",
            "Turns of the loop, or units in a turn, that failed, by kind of failure.",
            ("loop", "kind"),
            registry=registry,
        )
        self.loop_in = Counter(
            "detector_loop_in_total", "Samples or rows that came in.", loop, registry=registry
        )
        self.loop_out = Counter(
            "detector_loop_out_total", "Scores or rows that went out.", loop, registry=registry
        )
        self.loop_dropped = Counter(
            "detector_loop_dropped_total",
            "What came in and was given up, by reason.",
            ("loop", "reason"),
            registry=registry,
        )
        self.loop_stalled = Gauge(
            "detector_loop_stalled",
            "1 while the loop has not succeeded for several intervals.",
            loop,
            registry=registry,
        )

        self.query_series = Gauge(
            "detector_query_series",
            "Series of the query that are scored.",
            query,
            registry=registry,
        )
        self.query_samples_seen = Gauge(
            "detector_query_samples_seen",
            "Samples of the query's best known series so far, at most what is needed.",
            query,
            registry=registry,
        )
        self.query_samples_needed = Gauge(
            "detector_query_samples_needed",
            "Samples of a series that scoring needs before it gives a score.",
            query,
            registry=registry,
        )
        self.query_failures = Counter(
            "detector_query_failures_total",
            "Cycles of the query that failed, by kind of failure.",
            ("query", "kind"),
            registry=registry,
        )
        self.query_last_success = Gauge(
            "detector_query_last_success_timestamp_seconds",
            "When the query was last read and scored.",
            query,
            registry=registry,
        )
        self.query_skipped_steps = Counter(
            "detector_query_skipped_steps_total",
            "Steps of the query given up because they were too old to catch up.",
            query,
            registry=registry,
        )
        self.query_raised_series = Gauge(
            "detector_query_raised_series",
            "Series whose threshold is raised, since people called their alarms false.",
            query,
            registry=registry,
        )
        self.confidence = Gauge(
            "detector_confidence_ratio",
            "How well the query's alert budget is founded on history, mean of its series.",
            query,
            registry=registry,
        )

        trial = ("query", "kind", "scales")
        self.self_test_detected = Gauge(
            "detector_self_test_detected_ratio",
            "Series in which trouble of this kind and size was found when it was put into a copy.",
            trial,
            registry=registry,
        )
        self.self_test_delay = Gauge(
            "detector_self_test_delay_seconds",
            "Mean time until it was found, NaN if it never was.",
            trial,
            registry=registry,
        )

        self.write_samples = Counter(
            "detector_remote_write_samples_total", "Samples that were accepted.", registry=registry
        )
        self.write_dropped = Counter(
            "detector_remote_write_dropped_total",
            "Samples that were given up, by reason.",
            ("reason",),
            registry=registry,
        )
        self.write_retries = Counter(
            "detector_remote_write_retries_total", "Requests sent again.", registry=registry
        )
        self.write_queue = Gauge(
            "detector_remote_write_queue_samples", "Samples that wait.", registry=registry
        )

        self.webhook_notifications = Counter(
            "detector_webhook_notifications_total",
            "Notifications received from Alertmanager, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self.webhook_events = Counter(
            "detector_webhook_events_total",
            "Events received from Alertmanager's event recorder, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self.messages = Counter(
            "detector_messages_total",
            "SMS, by how far they came: queued, sent, delivered, failed, unknown, dropped.",
            ("state",),
            registry=registry,
        )
        self.message_attempts = Counter(
            "detector_message_attempts_total",
            "SMS handed to a provider, by what it said: accepted, refused, unclear.",
            ("provider", "outcome"),
            registry=registry,
        )
        self.messages_given_up = Gauge(
            "detector_messages_given_up",
            "SMS that failed, are of unknown fate or were dropped in the last 15 minutes.",
            registry=registry,
        )
        self.messages_spent = Gauge(
            "detector_messages_spent_today",
            "Money spent on SMS since midnight, in the providers' currency.",
            registry=registry,
        )
        self.heartbeat_received = Gauge(
            "detector_heartbeat_last_received_timestamp_seconds",
            "When the alert Watchdog came last from Alertmanager.",
            registry=registry,
        )
        self.heartbeat_sent = Gauge(
            "detector_heartbeat_last_success_timestamp_seconds",
            "When the heartbeat URL was told last, 0 where there is none.",
            registry=registry,
        )
        self.heartbeat_failures = Counter(
            "detector_heartbeat_failures_total",
            "Heartbeats that the URL did not take, by kind of failure.",
            ("kind",),
            registry=registry,
        )
        self.policies = Gauge(
            "detector_policies",
            "Policies that are kept, by state; refused are those that this release does not take.",
            ("state",),
            registry=registry,
        )
        self.policy_changes = Counter(
            "detector_policy_changes_total",
            "Changes of policies that were asked for, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self.reload_succeeded = Gauge(
            "detector_config_last_reload_successful",
            "1 if the configuration in use is the one that was read last, 0 if that was refused.",
            registry=registry,
        )
        self.reload_time = Gauge(
            "detector_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was taken up.",
            registry=registry,
        )
        self.ready = Gauge("detector_ready", "1 while every part works.", registry=registry)
        self.detection_enabled = Gauge(
            "detector_anomaly_detection_enabled",
            "1 if queries are scored, 0 if detection is turned off.",
            registry=registry,
        )
        Gauge(
            "detector_build_info", "The version that runs.", ("version",), registry=registry
        ).labels(__version__).set(1)
        self._of_queries = (
            self.query_series,
            self.query_samples_seen,
            self.query_samples_needed,
            self.query_failures,
            self.query_last_success,
            self.query_skipped_steps,
            self.query_raised_series,
            self.confidence,
            self.self_test_detected,
            self.self_test_delay,
        )
        for kind in ("unreachable", "timeout", "status"):
            self.heartbeat_failures.labels(kind)
        for outcome in ("stored", "duplicate", "refused", "failed"):
            self.webhook_notifications.labels(outcome)
        for outcome in ("kept", "passed_over", "refused", "failed"):
            self.webhook_events.labels(outcome)
        for outcome in ("published", "refused", "conflict", "failed"):
            self.policy_changes.labels(outcome)

    def forget_query(self, name: str) -> None:
        """Take away the series of a query that is not run any more."""
        for metric in self._of_queries:
            metric.remove_by_labels({"query": name})


@dataclass(frozen=True, slots=True)
class WriterMeters:
    """Counts of the remote writer (the protocol that detector.prometheus asks for)."""

    telemetry: Telemetry

    def samples_sent(self, count: int) -> None:
        """Count accepted samples."""
        self.telemetry.write_samples.inc(count)

    def dropped(self, count: int, reason: str) -> None:
        """Count samples given up."""
        self.telemetry.write_dropped.labels(reason).inc(count)

    def retried(self) -> None:
        """Count a request sent again."""
        self.telemetry.write_retries.inc()

    def queue_samples(self, count: int) -> None:
        """Set the number of samples that wait."""
        self.telemetry.write_queue.set(count)
