"""PagerDuty by its Events API v2."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

SEVERITY = (
    '{{ if eq .CommonLabels.severity "critical" }}critical'
    '{{ else if eq .CommonLabels.severity "high" }}error'
    '{{ else if or (eq .CommonLabels.severity "low") (eq .CommonLabels.severity "info") }}info'
    "{{ else }}warning{{ end }}"
)
"""PagerDuty knows critical, error, warning and info."""
DETAILS = {
    "message": "\t" + base.PLAIN,
    "firing": "",
    "resolved": "",
    "num_firing": "{{ .Alerts.Firing | len }}",
    "num_resolved": "{{ .Alerts.Resolved | len }}",
}
"""From 0.30 on Alertmanager takes a detail that can be read as YAML for nested details, and what
stands in these for templates again, so that a label could hold one. No YAML begins with a tab. The
details that it adds by itself have that fault too, so these replace them."""


def _complete(integration: base.Tree, settings: config.Settings, place: base.Place) -> None:
    if settings.pagerduty.url is not None:
        integration["url"] = settings.pagerduty.url
    integration.setdefault("severity", SEVERITY)
    integration.setdefault("description", base.SHORT)
    integration.setdefault("details", dict(DETAILS))


CHANNEL = base.by_secret(
    "pagerduty",
    "pagerduty_configs",
    "routing_key",
    secret=lambda settings: settings.pagerduty.routing_key,
    severities=lambda settings: settings.pagerduty.severities,
    complete=_complete,
)
