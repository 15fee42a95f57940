"""Alerts that Alertmanager holds, ended by us where nobody else will end them.

When a rule goes, or its labels change, Prometheus forgets the alerts that it had, without a word to
Alertmanager, which then keeps them until they expire: four minutes, by default, after they were
heard of last. Until then an alert of a policy that was mended seconds ago looks as if it fired.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from detector import alerts, frames
from detector.alertmanager import client

OF_POLICIES = 'policy_rule=~".+"'


class Ender:
    """ports.AlertEnder over HTTP. Threads may share it."""

    def __init__(self, alertmanager: client.Client) -> None:
        self._alertmanager = alertmanager

    def end(self, ended: Collection[frames.Labels], *, at: datetime) -> int:
        """Tell it that alerts with these labels, and whatever Prometheus adds to them, are over."""
        wanted = [set(labels) for labels in ended]
        found = [
            alerts.Posted(each.labels, each.annotations, each.starts_at, at, each.generator_url)
            for each in self._alertmanager.held(OF_POLICIES)
            if any(labels <= set(each.labels) for labels in wanted)
        ]
        self._alertmanager.post(found)
        return len(found)
