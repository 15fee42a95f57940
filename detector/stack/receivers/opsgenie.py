"""Opsgenie by its Alert API."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "opsgenie"
PRIORITY = (
    '{{ if eq .CommonLabels.severity "critical" }}P1'
    '{{ else if eq .CommonLabels.severity "high" }}P2'
    '{{ else if eq .CommonLabels.severity "low" }}P4'
    '{{ else if eq .CommonLabels.severity "info" }}P5'
    "{{ else }}P3{{ end }}"
)


def _reaches(settings: config.Settings) -> list[base.Reach]:
    given = settings.opsgenie
    return [] if given.api_key is None else [base.Reach(NAME, given.severities)]


def _missing(settings: config.Settings) -> list[str]:
    return ["OPSGENIE_API_KEY"] if settings.opsgenie.api_key is None else []


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    given = settings.opsgenie
    if given.api_key is not None:
        integration["api_key_file"] = place.secrets.write(
            "opsgenie_api_key", given.api_key.get_secret_value()
        )
    if given.url is not None:
        integration["api_url"] = given.url
    integration.setdefault("priority", PRIORITY)
    integration.setdefault("message", base.SHORT)
    integration.setdefault("description", base.PLAIN)


CHANNEL = base.Channel(
    NAME, "opsgenie_configs", _reaches, _missing, _complete, secrets=("opsgenie_api_key",)
)
