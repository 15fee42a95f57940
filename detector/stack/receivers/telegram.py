"""Telegram by a bot.

It came with 0.24; the bot's token is read from a file since 0.26.
"""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base


def _complete(integration: base.Tree, settings: config.Settings, place: base.Place) -> None:
    given = settings.telegram
    integration["chat_id"] = given.chat_id
    if given.url is not None:
        integration["api_url"] = given.url
    # Plain text: Telegram would read markup in what a label holds, and refuse what is none.
    integration.setdefault("parse_mode", "")
    integration.setdefault("message", f"{base.SHORT}\n{base.PLAIN}")


CHANNEL = base.by_secret(
    "telegram",
    "telegram_configs",
    "bot_token",
    secret=lambda settings: settings.telegram.bot_token,
    severities=lambda settings: settings.telegram.severities,
    complete=_complete,
    since=base.Version(0, 26),
    needs=("TELEGRAM_CHAT_ID",),
)
