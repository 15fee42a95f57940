"""Discord by a webhook of a channel.

It came with 0.25; its address is read from a file since 0.28 only (alertmanager #3728).
"""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "discord"


def _reaches(settings: config.Settings) -> list[base.Reach]:
    given = settings.discord
    return [] if given.webhook_url is None else [base.Reach(NAME, given.severities)]


def _missing(settings: config.Settings) -> list[str]:
    return ["DISCORD_WEBHOOK_URL"] if settings.discord.webhook_url is None else []


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    url = settings.discord.webhook_url
    if url is not None:
        integration["webhook_url_file"] = place.secrets.write(
            "discord_webhook_url", url.get_secret_value()
        )
    integration.setdefault("title", base.SHORT)
    integration.setdefault("message", base.PLAIN)


CHANNEL = base.Channel(
    NAME,
    "discord_configs",
    _reaches,
    _missing,
    _complete,
    since=base.Version(0, 28),
    secrets=("discord_webhook_url",),
)
