"""Microsoft Teams, by a workflow's webhook or by a connector's, which Microsoft retires.

Which one it is tells the host of the address: connectors have one of their own below office.com.
Both came earlier; their addresses are read from files since 0.28 only (alertmanager #3728).
"""

from __future__ import annotations

import urllib.parse

from detector import config
from detector.stack.receivers import base

NAME = "msteams"
SINCE = base.Version(0, 28)
SECRETS = ("msteams_webhook_url",)
OF_CONNECTORS = ("office.com", "outlook.com")


def _url(settings: config.Settings) -> str:
    given = settings.msteams.webhook_url
    return "" if given is None else given.get_secret_value()


def _is_connector(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    return any(host == each or host.endswith(f".{each}") for each in OF_CONNECTORS)


def _reaches(settings: config.Settings) -> list[base.Reach]:
    url = _url(settings)
    return [base.Reach(NAME, settings.msteams.severities)] if url else []


def _missing(settings: config.Settings) -> list[str]:
    return [] if _url(settings) else ["MSTEAMS_WEBHOOK_URL"]


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    integration["webhook_url_file"] = place.secrets.write(SECRETS[0], _url(settings))
    integration.setdefault("title", base.SHORT)
    integration.setdefault("text", base.PLAIN)


WORKFLOW = base.Channel(
    NAME,
    "msteamsv2_configs",
    lambda settings: [] if _is_connector(_url(settings)) else _reaches(settings),
    _missing,
    _complete,
    since=SINCE,
    secrets=SECRETS,
)
CONNECTOR = base.Channel(
    NAME,
    "msteams_configs",
    lambda settings: _reaches(settings) if _is_connector(_url(settings)) else [],
    _missing,
    _complete,
    since=SINCE,
    secrets=SECRETS,
)
