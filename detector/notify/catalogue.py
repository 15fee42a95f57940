"""The providers by name, and how each is made from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

import pydantic

from detector import config, errors, ports
from detector.notify import apprise_url, exchange, sns, twilio, vonage


class Timeouts(NamedTuple):
    """How long connecting to a provider may take, and its answer."""

    connect: timedelta = exchange.CONNECT_TIMEOUT
    read: timedelta = exchange.READ_TIMEOUT


USUAL = Timeouts()

Maker = Callable[[config.SmsProvider, exchange.Clock, Timeouts], ports.SmsProvider]


def _vonage(
    given: config.SmsProvider, clock: exchange.Clock, timeouts: Timeouts
) -> ports.SmsProvider:
    return vonage.Vonage(
        key=_text(given.api_key),
        secret=_text(given.api_secret),
        sender=given.from_number or "",
        clock=clock,
        base_url=given.url or vonage.BASE_URL,
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
    )


def _twilio(
    given: config.SmsProvider, clock: exchange.Clock, timeouts: Timeouts
) -> ports.SmsProvider:
    return twilio.Twilio(
        key=_text(given.api_key),
        secret=_text(given.api_secret),
        sender=given.from_number or "",
        clock=clock,
        base_url=given.url or twilio.BASE_URL,
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
    )


def _sns(given: config.SmsProvider, clock: exchange.Clock, timeouts: Timeouts) -> ports.SmsProvider:
    return sns.Sns(
        key=_text(given.api_key),
        secret=_text(given.api_secret),
        sender=given.from_number or "",
        region=given.region or "",
        clock=clock,
        base_url=given.url,
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
    )


def _apprise(given: config.SmsProvider, _: exchange.Clock, timeouts: Timeouts) -> ports.SmsProvider:
    """Its URL holds secrets, so it is one."""
    return apprise_url.AppriseUrl(
        url=_text(given.api_secret),
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
    )


PROVIDERS: Mapping[str, Maker] = {
    "vonage": _vonage,
    "twilio": _twilio,
    "sns": _sns,
    "apprise": _apprise,
}


def providers_of(sms: config.SmsSettings, clock: exchange.Clock) -> list[ports.SmsProvider]:
    """Those that are asked, in their order. Raises ConfigError for what one lacks."""
    try:
        return [provider_of(each, clock) for each in (sms, *sms.fallback)]
    except errors.ConfigError as error:
        raise errors.ConfigError(f"sms: {error}") from None


def services_of(
    notify: Mapping[str, config.NotifySettings], timeouts: Timeouts = USUAL
) -> dict[str, ports.SmsProvider]:
    """What sends to each service of `notify`, by the name that it has there.

    Raises ConfigError for a URL that cannot be read, or that Apprise does not know.
    """
    found: dict[str, ports.SmsProvider] = {}
    for name, given in notify.items():
        try:
            url = given.secret_url()
        except errors.ConfigError as error:
            raise errors.ConfigError(f"notify.{name}.{error}") from None
        found[name] = apprise_url.AppriseUrl(
            url=url,
            name=f"notify-{name}",
            source=f"notify.{name}.{'url' if given.url_file is None else 'url_file'}",
            connect_timeout=timeouts.connect,
            read_timeout=timeouts.read,
        )
    return found


def provider_of(
    given: config.SmsProvider, clock: exchange.Clock, timeouts: Timeouts = USUAL
) -> ports.SmsProvider:
    """The provider that is named.

    Raises ConfigError where there is none, or its settings will not do.
    """
    maker = PROVIDERS.get(given.provider)
    if maker is None:
        known = ", ".join(PROVIDERS)
        raise errors.ConfigError(f"{given.provider!r}: no provider of SMS: one of {known}")
    return maker(given, clock, timeouts)


def _text(secret: pydantic.SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
