"""Whom Alertmanager has told of alerts by receivers of its own, as its event recorder tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from detector import alerts


@dataclass(frozen=True, slots=True)
class Delivery:
    """A receiver's service has taken a message that tells of an alert.

    integration  its kind (email), with its place (email[1]) where a receiver has several
    state        what was told: that the alert fires, or that it has ended
    at           when it was taken
    """

    fingerprint: alerts.Fingerprint
    starts_at: datetime
    receiver: str
    integration: str
    state: alerts.State
    at: datetime

    @property
    def key(self) -> alerts.Key:
        """Of the episode."""
        return self.fingerprint, self.starts_at
