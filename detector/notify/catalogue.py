"""The providers by name, and how each is made from settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from detector import errors, ports
from detector.notify import apprise_url, exchange, sns, twilio, vonage


@dataclass(frozen=True, slots=True)
class Settings:
    """What one provider is given; which of these it needs, docs/sms.md says.

    base_url  None: the provider's own
    url       Apprise's
    """

    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    sender: str = ""
    base_url: str | None = None
    region: str = ""
    url: str = field(default="", repr=False)
    connect_timeout: timedelta = exchange.CONNECT_TIMEOUT
    read_timeout: timedelta = exchange.READ_TIMEOUT


Maker = Callable[[Settings, exchange.Clock], ports.SmsProvider]


def _vonage(given: Settings, clock: exchange.Clock) -> ports.SmsProvider:
    return vonage.Vonage(
        key=given.key,
        secret=given.secret,
        sender=given.sender,
        clock=clock,
        base_url=given.base_url or vonage.BASE_URL,
        connect_timeout=given.connect_timeout,
        read_timeout=given.read_timeout,
    )


def _twilio(given: Settings, clock: exchange.Clock) -> ports.SmsProvider:
    return twilio.Twilio(
        key=given.key,
        secret=given.secret,
        sender=given.sender,
        clock=clock,
        base_url=given.base_url or twilio.BASE_URL,
        connect_timeout=given.connect_timeout,
        read_timeout=given.read_timeout,
    )


def _sns(given: Settings, clock: exchange.Clock) -> ports.SmsProvider:
    return sns.Sns(
        key=given.key,
        secret=given.secret,
        sender=given.sender,
        region=given.region,
        clock=clock,
        base_url=given.base_url,
        connect_timeout=given.connect_timeout,
        read_timeout=given.read_timeout,
    )


def _apprise(given: Settings, _: exchange.Clock) -> ports.SmsProvider:
    return apprise_url.AppriseUrl(
        url=given.url,
        connect_timeout=given.connect_timeout,
        read_timeout=given.read_timeout,
    )


PROVIDERS: Mapping[str, Maker] = {
    "vonage": _vonage,
    "twilio": _twilio,
    "sns": _sns,
    "apprise": _apprise,
}


def provider_of(name: str, settings: Settings, clock: exchange.Clock) -> ports.SmsProvider:
    """The provider of this name.

    Raises ConfigError where there is none, or its settings will not do.
    """
    maker = PROVIDERS.get(name)
    if maker is None:
        raise errors.ConfigError(f"{name!r}: no provider of SMS: one of {', '.join(PROVIDERS)}")
    return maker(settings, clock)
