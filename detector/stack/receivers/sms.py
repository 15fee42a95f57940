"""SMS: the detector's outbox, which is told by a webhook."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base

NAME = "sms"
PATH = "/api/webhooks/sms"
NOT_OF_ITSELF = 'alertname != "SmsNotSent"'
"""That a message of ours did not go out is no news for another one: it would fail too."""


def path(reach: base.Reach) -> str:
    """Where the detector hears of what is to be told to these people."""
    return f"{PATH}/{reach.target}" if reach.target else PATH


def _reaches(settings: config.Settings) -> list[base.Reach]:
    sms = settings.sms
    found = base.of_teams(
        NAME, settings, sms.severities, lambda name, team: name if team.sms else None
    )
    if sms.recipients:
        found.append(base.Reach(NAME, sms.severities))
    return found


def _missing(settings: config.Settings) -> list[str]:
    return [] if settings.sms.recipients else ["SMS_TO"]


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    if not integration:
        integration.update(base.webhook_of_ours(place, PATH))
    integration["url"] = f"{integration['url'].removesuffix(PATH)}{path(reach)}"


def owns(integration: base.Tree) -> bool:
    """Whether it is a webhook to the outbox."""
    return str(integration.get("url", "")).endswith(PATH)


CHANNEL = base.Channel(
    NAME,
    "webhook_configs",
    _reaches,
    _missing,
    _complete,
    owns=owns,
    matchers=(NOT_OF_ITSELF,),
)
