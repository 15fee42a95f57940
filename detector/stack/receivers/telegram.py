"""Telegram by a bot.

It came with 0.24; the bot's token is read from a file since 0.26.
"""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "telegram"


def _reaches(settings: config.Settings) -> list[base.Reach]:
    given = settings.telegram
    return [] if given.bot_token is None else [base.Reach(NAME, given.severities)]


def _missing(settings: config.Settings) -> list[str]:
    given = settings.telegram
    return ["TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"] if given.bot_token is None else []


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    given = settings.telegram
    if given.bot_token is not None:
        integration["bot_token_file"] = place.secrets.write(
            "telegram_bot_token", given.bot_token.get_secret_value()
        )
    integration["chat_id"] = given.chat_id
    if given.url is not None:
        integration["api_url"] = given.url
    # Plain text: Telegram would read markup in what a label holds, and refuse what is none.
    integration.setdefault("parse_mode", "")
    integration.setdefault("message", f"{base.SHORT}\n{base.PLAIN}")


CHANNEL = base.Channel(
    NAME,
    "telegram_configs",
    _reaches,
    _missing,
    _complete,
    since=base.Version(0, 26),
    secrets=("telegram_bot_token",),
)
