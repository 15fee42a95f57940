"""Made-up values for tests: everything has a default, a test names what it is about."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from detector import access, alerts, anomalies, deliveries, frames

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def delivery(fingerprint: str = "a1b2c3d4e5f60718", **changed: object) -> deliveries.Delivery:
    """By mail, of a beginning at T0 that was told five seconds later."""
    plain = deliveries.Delivery(
        fingerprint=alerts.Fingerprint(fingerprint),
        starts_at=T0,
        receiver="email",
        integration="email",
        state=alerts.State.FIRING,
        at=at(5),
    )
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def notification(
    fingerprint: str = "a1b2c3d4e5f60718",
    *,
    starts_at: datetime = T0,
    ends_at: datetime | None = None,
    labels: frames.Labels = (("alertname", "HighCpu"), ("instance", "web-1")),
    annotations: frames.Labels = (("summary", "CPU is at 93 %"),),
    generator_url: str = "http://prometheus.example/graph",
    receiver: str = "memory",
) -> alerts.Notification:
    """A firing notification, or a resolved one when an end is given."""
    return alerts.Notification(
        fingerprint=alerts.Fingerprint(fingerprint),
        starts_at=starts_at,
        ends_at=ends_at,
        state=alerts.State.FIRING if ends_at is None else alerts.State.RESOLVED,
        labels=labels,
        annotations=annotations,
        generator_url=generator_url,
        receiver=receiver,
    )


def anomaly(
    query: str = "cpu",
    labels: frames.Labels = (("instance", "web-1"),),
    *,
    opens: float = 0,
    ends: float | None = None,
    told: float | None = None,
    kind: str = "spike",
    peak_score: float = 2.5,
    explanation: anomalies.Explanation = anomalies.UNEXPLAINED,
) -> anomalies.Anomaly:
    """An anomaly that opens and ends so many seconds after T0, told of at its end or `told`."""
    last = told if told is not None else opens if ends is None else ends
    return anomalies.Anomaly(
        query=query,
        labels=labels,
        opened_at=at(opens),
        ended_at=None if ends is None else at(ends),
        kind=kind,
        peak_at=at(opens),
        peak_score=peak_score,
        value=93.0,
        expected=20.0,
        lower=10.0,
        upper=30.0,
        last_at=at(last),
        last_score=1.5,
        explanation=explanation,
    )


def new_token(
    text: str = "mda_text-of-a-token",
    name: str = "ci",
    role: access.Role = access.Role.VIEWER,
    *,
    created: float = 0,
    created_by: str = "anna",
    expires: float | None = None,
) -> access.NewToken:
    """A token that is made, and expires, so many seconds after T0."""
    return access.NewToken(
        digest=access.digest_of(text),
        name=name,
        role=role,
        created_at=at(created),
        created_by=created_by,
        expires_at=None if expires is None else at(expires),
    )
