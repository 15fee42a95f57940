"""A webhook of somebody else's, in Alertmanager's own format.

Its address may hold a secret, and is read from a file since 0.26, without a crash since 0.28
(alertmanager #3800).
"""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "webhook"


def _reaches(settings: config.Settings) -> list[base.Reach]:
    given = settings.webhook
    return [] if given.url is None else [base.Reach(NAME, given.severities)]


def _missing(settings: config.Settings) -> list[str]:
    return ["WEBHOOK_URL"] if settings.webhook.url is None else []


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    given = settings.webhook
    if given.url is not None:
        integration["url_file"] = place.secrets.write("webhook_url", given.url.get_secret_value())
    if given.bearer_token is not None:
        token = place.secrets.write("webhook_bearer", given.bearer_token.get_secret_value())
        integration["http_config"] = {
            "authorization": {"type": "Bearer", "credentials_file": token}
        }


CHANNEL = base.Channel(
    NAME,
    "webhook_configs",
    _reaches,
    _missing,
    _complete,
    owns=lambda integration: "url_file" in integration,
    since=base.Version(0, 28),
    secrets=("webhook_url", "webhook_bearer"),
)
