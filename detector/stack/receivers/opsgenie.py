"""Opsgenie by its Alert API."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

PRIORITY = (
    '{{ if eq .CommonLabels.severity "critical" }}P1'
    '{{ else if eq .CommonLabels.severity "high" }}P2'
    '{{ else if eq .CommonLabels.severity "low" }}P4'
    '{{ else if eq .CommonLabels.severity "info" }}P5'
    "{{ else }}P3{{ end }}"
)


def _complete(integration: base.Tree, settings: config.Settings, place: base.Place) -> None:
    if settings.opsgenie.url is not None:
        integration["api_url"] = settings.opsgenie.url
    integration.setdefault("priority", PRIORITY)
    integration.setdefault("message", base.SHORT)
    integration.setdefault("description", base.PLAIN)


CHANNEL = base.by_secret(
    "opsgenie",
    "opsgenie_configs",
    "api_key",
    secret=lambda settings: settings.opsgenie.api_key,
    severities=lambda settings: settings.opsgenie.severities,
    complete=_complete,
)
