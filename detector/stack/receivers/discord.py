"""Discord by a webhook of a channel.

It came with 0.25; its address is read from a file since 0.28 only (alertmanager #3728).
"""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base


def _complete(integration: base.Tree, settings: config.Settings, place: base.Place) -> None:
    integration.setdefault("title", base.SHORT)
    integration.setdefault("message", base.PLAIN)


CHANNEL = base.by_secret(
    "discord",
    "discord_configs",
    "webhook_url",
    secret=lambda settings: settings.discord.webhook_url,
    severities=lambda settings: settings.discord.severities,
    complete=_complete,
    since=base.Version(0, 28),
)
