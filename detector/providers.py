"""The providers of SMS that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from detector import config, errors, ports
from detector.notify import catalogue


def providers_of(sms: config.SmsSettings, clock: Callable[[], datetime]) -> list[ports.SmsProvider]:
    """Those that are asked, in their order. Raises ConfigError for what one lacks."""
    return [_provider(each, clock) for each in (sms, *sms.fallback)]


def _provider(given: config.SmsProvider, clock: Callable[[], datetime]) -> ports.SmsProvider:
    secret = given.api_secret.get_secret_value() if given.api_secret else ""
    is_url = given.provider == "apprise"
    try:
        return catalogue.provider_of(
            given.provider,
            catalogue.Settings(
                key=given.api_key.get_secret_value() if given.api_key else "",
                secret="" if is_url else secret,
                sender=given.from_number or "",
                base_url=given.url,
                region=given.region or "",
                url=secret if is_url else "",
            ),
            clock,
        )
    except errors.ConfigError as error:
        raise errors.ConfigError(f"sms: {error}") from None
