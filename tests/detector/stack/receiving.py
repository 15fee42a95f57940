"""Settings for channels, and rendered configurations."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from detector import config
from detector.stack import addresses, render
from detector.stack.receivers import base

HERE = addresses.Addresses(
    exporter="127.0.0.1:19100",
    prometheus="127.0.0.1:19090",
    alertmanager="127.0.0.1:19093",
    detector="127.0.0.1:18490",
)
EMAIL = {
    "EMAIL_SMTP_SERVER": "smtp.example.org",
    "EMAIL_USERNAME": "monitor",
    "EMAIL_PASSWORD": "s3cret-mail",
    "EMAIL_FROM": "monitor@example.org",
    "EMAIL_TO": "a@example.org, b@example.org",
}
SMS = {"SMS_TO": "+491701234567"}
SLACK = {"SLACK_WEBHOOK_URL": "https://hooks.example.org/s3cret-slack", "SLACK_CHANNEL": "#ops"}
NATIVE: Mapping[str, dict[str, str]] = {
    "email": EMAIL,
    "slack": SLACK,
    "pagerduty": {"PAGERDUTY_ROUTING_KEY": "s3cret-pagerduty"},
    "opsgenie": {"OPSGENIE_API_KEY": "s3cret-opsgenie"},
    "msteams": {"MSTEAMS_WEBHOOK_URL": "https://prod-1.logic.azure.com/s3cret-msteams"},
    "discord": {"DISCORD_WEBHOOK_URL": "https://discord.com/api/webhooks/1/s3cret-discord"},
    "telegram": {"TELEGRAM_BOT_TOKEN": "1:s3cret-telegram", "TELEGRAM_CHAT_ID": "-100123"},
    "webhook": {
        "WEBHOOK_URL": "https://hook.example.org/s3cret-webhook",
        "WEBHOOK_BEARER_TOKEN": "s3cret-bearer",
    },
    "sms": SMS,
}
SINCE = {
    "msteams": base.Version(0, 28),
    "discord": base.Version(0, 28),
    "telegram": base.Version(0, 26),
    "webhook": base.Version(0, 28),
}
"""Channels that the oldest Alertmanager lacks."""


def rendered(
    out: pathlib.Path,
    tools: render.Tools,
    environ: Mapping[str, str],
    version: base.Version = base.OLDEST,
    *,
    text: str | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """alertmanager.yml and the notes.

    text  of a configuration file of ours
    """
    file = None
    if text is not None:
        file = out / "mda.yml"
        file.write_text(text)
    found = render.render(config.load(file, environ), HERE, out, tools, version=version)
    return yaml.safe_load(found.alertmanager.read_text()), found.notes
