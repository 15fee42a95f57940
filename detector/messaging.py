"""Builds what sends SMS, and what Apprise sends, from the settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from detector import config, loops, messages, ports, signing, telemetry
from detector.api import application, receipts
from detector.notify import catalogue
from detector.services import delivering, telling
from detector.store import database
from detector.store import messages as message_store


@dataclass(frozen=True, slots=True)
class Messaging:
    """What sends messages: its loops, and what the API needs of it."""

    loops: tuple[loops.Loop, ...]
    parts: application.MessageParts


@dataclass(frozen=True, slots=True)
class _Around:
    """What all parts are given."""

    settings: config.Settings
    store: database.Database
    meters: telemetry.Telemetry
    clock: Callable[[], float]
    instant: Callable[[], datetime]

    def loop(self, name: str, delivered: delivering.Delivering) -> loops.Loop:
        """That hands over what waits."""
        return loops.Loop(
            name,
            delivered.turn,
            interval=delivering.EVERY,
            meters=self.meters,
            clock=self.clock,
            pause=delivered.pause,
        )


def messaging(
    settings: config.Settings,
    store: database.Database,
    meters: telemetry.Telemetry,
    *,
    clock: Callable[[], float],
    instant: Callable[[], datetime],
) -> Messaging | None:
    """None where nobody is to be told by SMS or Apprise. Raises ConfigError."""
    numbers = _numbers(settings)
    if not numbers and not settings.notify:
        return None
    around = _Around(settings, store, meters, clock, instant)
    services = catalogue.services_of(settings.notify)
    asked = catalogue.providers_of(settings.sms, instant) if numbers else []
    signer = signing.Signer(signing.key_of(settings.home))
    delivered = _delivering_sms(around, asked, numbers, signer)
    running = [around.loop("messages", delivered)]
    running += [
        around.loop(f"notify_{name}", _delivering_letters(around, name, service))
        for name, service in services.items()
    ]
    kept = message_store.PostgresMessageStore(store)
    teams = {name: team.sms for name, team in settings.teams.items() if team.sms}
    return Messaging(
        tuple(running),
        application.MessageParts(
            store=kept,
            tell=_telling_sms(around, settings.sms.recipients),
            receive=delivered.receive,
            parsers={each.name: each.receipt for each in asked},
            signer=signer,
            teams={name: _telling_sms(around, who) for name, who in teams.items()},
            services=_telling_letters(around, services),
        ),
    )


def _numbers(settings: config.Settings) -> list[str]:
    """Of all who are told by SMS, each once."""
    of_teams = [number for team in settings.teams.values() for number in team.sms]
    return list(dict.fromkeys([*settings.sms.recipients, *of_teams]))


def _delivering_sms(
    around: _Around,
    asked: Sequence[ports.SmsProvider],
    numbers: Sequence[str],
    signer: signing.Signer,
) -> delivering.Delivering:
    """It takes messages of services that are no longer named too, to drop them."""
    sms = around.settings.sms
    return delivering.Delivering(
        message_store.PostgresMessageStore(around.store, but=around.settings.notify),
        asked,
        _style(sms),
        recipients=numbers,
        stand_ins=sms.escalate_to,
        stand_in_after=sms.escalate_after,
        unless=messages.Unless(sms.escalate_unless),
        daily_cap=sms.daily_cap,
        keep=sms.keep,
        callback_url=_callbacks(around.settings.public_url, signer),
        clock=around.instant,
        meters=around.meters,
    )


def _delivering_letters(
    around: _Around, name: str, service: ports.SmsProvider
) -> delivering.Delivering:
    return delivering.Delivering(
        message_store.PostgresMessageStore(around.store, only=[name]),
        [service],
        _letter(around.settings, service),
        recipients=[name],
        daily_cap=math.inf,
        keep=around.settings.sms.keep,
        clock=around.instant,
        meters=around.meters,
    )


def _telling_sms(around: _Around, who: Sequence[str]) -> application.Tell | None:
    """None where these are nobody."""
    if not who:
        return None
    sms = around.settings.sms
    return telling.Telling(
        message_store.PostgresMessageStore(around.store),
        _style(sms),
        recipients=who,
        stand_ins=sms.escalate_to,
        clock=around.instant,
        meters=around.meters,
    ).tell


def _telling_letters(
    around: _Around, services: Mapping[str, ports.SmsProvider]
) -> Mapping[str, application.Tell]:
    return {
        name: telling.Telling(
            message_store.PostgresMessageStore(around.store),
            _letter(around.settings, service),
            recipients=[name],
            stand_ins=(),
            clock=around.instant,
            meters=around.meters,
        ).tell
        for name, service in services.items()
    }


def _letter(settings: config.Settings, service: ports.SmsProvider) -> telling.Letter:
    return telling.Letter(service.name, settings.sms.timezone)


def _style(sms: config.SmsSettings) -> telling.Style:
    given = sms.quiet
    quiet = None if given is None else telling.Quiet(given.start, given.end, frozenset(given.but))
    return telling.Style(sms.parts, sms.part_price, sms.provider, sms.timezone, quiet)


def _callbacks(public_url: str | None, signer: signing.Signer) -> delivering.CallbackUrl:
    if public_url is None:
        return lambda _, __: None
    base = public_url.rstrip("/")
    return lambda provider, reference: base + receipts.path(signer, provider, reference)
