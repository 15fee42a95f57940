"""A webhook of somebody else's, in Alertmanager's own format.

Its address may hold a secret, and is read from a file since 0.26, without a crash since 0.28
(alertmanager #3800).
"""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

BEARER = "webhook_bearer"


def _complete(integration: base.Tree, settings: config.Settings, place: base.Place) -> None:
    token = settings.webhook.bearer_token
    if token is not None:
        file = place.secrets.write(BEARER, token.get_secret_value())
        integration["http_config"] = {"authorization": {"type": "Bearer", "credentials_file": file}}


CHANNEL = base.by_secret(
    "webhook",
    "webhook_configs",
    "url",
    secret=lambda settings: settings.webhook.url,
    severities=lambda settings: settings.webhook.severities,
    complete=_complete,
    owns=lambda integration: "url_file" in integration,
    since=base.Version(0, 28),
    secrets=(BEARER,),
)
