"""Services that Apprise knows: the detector's outbox, which is told by a webhook."""

from __future__ import annotations

from detector import config
from detector.stack.receivers import base, sms

NAME = "notify"
PATH = "/api/webhooks/notify"


def path(reach: base.Reach) -> str:
    """Where the detector hears of what is to be told to it."""
    return f"{PATH}/{reach.target}"


def _reaches(settings: config.Settings) -> list[base.Reach]:
    return [
        base.Reach(f"{NAME}-{name}", given.severities, target=name)
        for name, given in settings.notify.items()
    ]


def _missing(settings: config.Settings) -> list[str]:
    return [] if settings.notify else ["MDA_NOTIFY__<NAME>__URL"]


def _complete(
    integration: base.Tree,
    global_: base.Tree,
    reach: base.Reach,
    settings: config.Settings,
    place: base.Place,
) -> None:
    integration.update(base.webhook_of_ours(place, path(reach)))


CHANNEL = base.Channel(
    NAME,
    "webhook_configs",
    _reaches,
    _missing,
    _complete,
    owns=lambda _: False,
    matchers=(sms.NOT_OF_ITSELF,),
)
