"""Each provider as the suite makes it, against any address on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic

from detector import config, messages, ports
from detector.notify import catalogue
from tests import faults
from tests.fakes import sms

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
KEY, SECRET = "canaryKY", "canary/secret+Zq9=7 €"
SID = "AC" + "5e" * 16
REFERENCE = "0123456789abcdef0123456789abcdef"
TEXT = 'CPU at 93 % {{ $labels }} ${HOME} %s \\n <b>"é"</b>\nsecond line ☃ 🔥 \u202e'
"""Line breaks, templates, quotes, wide characters and one that turns the writing round."""
SHORT = timedelta(seconds=0.4)
TIMEOUTS = catalogue.Timeouts(SHORT, SHORT)


@dataclass(frozen=True)
class Kind:
    """A provider under test.

    good     what its server answers who has taken a message
    settings for an address
    tells    whether it tells a refusal from what it does not know
    """

    name: str
    good: faults.Planned
    settings: Callable[[str], config.SmsProvider]
    tells: bool = True

    def made(self, url: str) -> ports.SmsProvider:
        return catalogue.provider_of(self.settings(url), lambda: NOW, TIMEOUTS)


_MESSAGE = messages.Outgoing(
    reference=REFERENCE,
    recipient="+491701234567",
    text=TEXT,
    handed_at=NOW - timedelta(hours=1),
    callback_url="https://example.org/receipts/1",
)


def outgoing(**more: Any) -> messages.Outgoing:
    """A message that was handed over an hour ago."""
    return replace(_MESSAGE, **more)


def _settings(url: str, name: str, *, key: str = KEY) -> config.SmsProvider:
    return config.SmsProvider(
        provider=name,
        api_key=pydantic.SecretStr(key),
        api_secret=pydantic.SecretStr(SECRET),
        from_number="+491700000001",
        url=url,
        region="eu-central-1",
    )


def _apprise(url: str) -> config.SmsProvider:
    schema, _, host = url.partition("://")
    secret = (
        f"json{'s' if schema == 'https' else ''}://canaryuser:canarysecret@{host}/canarypath"
        "?+X-Token=canarytoken&retry=3"
    )
    return config.SmsProvider(provider="apprise", api_secret=pydantic.SecretStr(secret))


PUBLISHED = b"""<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata>
<RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishResponse>"""

KINDS = {
    each.name: each
    for each in (
        Kind(
            "vonage",
            sms.parts({"status": "0", "message-id": "0A01", "message-price": "0.0333"}),
            lambda url: _settings(url, "vonage"),
        ),
        Kind(
            "twilio",
            sms.as_json(201, {"sid": "SM01", "status": "queued", "price": None}),
            lambda url: _settings(url, "twilio", key=SID),
        ),
        Kind(
            "sns",
            faults.Planned(200, {"Content-Type": "text/xml"}, PUBLISHED),
            lambda url: _settings(url, "sns"),
        ),
        Kind("apprise", faults.Planned(200), _apprise, tells=False),
    )
}
CANARIES = ("canary", SECRET, sms.basic(KEY, SECRET)[-20:], sms.basic(SID, SECRET)[-20:])
"""In no reason, repr or log."""


@contextmanager
def answering(*plan: faults.Planned) -> Iterator[faults.Receiver]:
    """A server that gives these answers in turn, the last for ever."""
    with faults.Receiver(faults.in_turn(plan[:-1], plan[-1])) as receiver:
        yield receiver
