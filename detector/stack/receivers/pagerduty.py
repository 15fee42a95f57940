"""PagerDuty by its Events API v2."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "pagerduty"
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


def _reaches(settings: config.Settings) -> list[base.Reach]:
    given = settings.pagerduty
    return [] if given.routing_key is None else [base.Reach(NAME, given.severities)]


def _missing(settings: config.Settings) -> list[str]:
    return ["PAGERDUTY_ROUTING_KEY"] if settings.pagerduty.routing_key is None else []


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    given = settings.pagerduty
    if given.routing_key is not None:
        integration["routing_key_file"] = place.secrets.write(
            "pagerduty_routing_key", given.routing_key.get_secret_value()
        )
    if given.url is not None:
        integration["url"] = given.url
    integration.setdefault("severity", SEVERITY)
    integration.setdefault("description", base.SHORT)
    integration.setdefault("details", dict(DETAILS))


CHANNEL = base.Channel(
    NAME, "pagerduty_configs", _reaches, _missing, _complete, secrets=("pagerduty_routing_key",)
)
