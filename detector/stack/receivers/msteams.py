"""Microsoft Teams, by a workflow's webhook or by a connector's, which Microsoft retires.

Which one it is tells the host of the address: connectors have one of their own below office.com.
Both came earlier; their addresses are read from files since 0.28 only (alertmanager #3728).
"""

from __future__ import annotations

import urllib.parse

import pydantic

from detector import config
from detector.stack.receivers import base

OF_CONNECTORS = ("office.com", "outlook.com")


def _is_connector(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    return any(host == each or host.endswith(f".{each}") for each in OF_CONNECTORS)


def _complete(integration: base.Tree, settings: config.Settings, place: base.Place) -> None:
    integration.setdefault("title", base.SHORT)
    integration.setdefault("text", base.PLAIN)


def _channel(kind: str, *, is_connector: bool) -> base.Channel:
    def secret(settings: config.Settings) -> pydantic.SecretStr | None:
        url = settings.msteams.webhook_url
        if url is None or _is_connector(url.get_secret_value()) != is_connector:
            return None
        return url

    return base.by_secret(
        "msteams",
        kind,
        "webhook_url",
        secret=secret,
        severities=lambda settings: settings.msteams.severities,
        complete=_complete,
        since=base.Version(0, 28),
    )


WORKFLOW = _channel("msteamsv2_configs", is_connector=False)
CONNECTOR = _channel("msteams_configs", is_connector=True)
