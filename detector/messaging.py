"""Builds what sends SMS, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from detector import config, loops, messages, signing, telemetry
from detector.api import application, receipts
from detector.notify import catalogue
from detector.services import delivering, telling
from detector.store import database
from detector.store import messages as message_store


@dataclass(frozen=True, slots=True)
class Messaging:
    """What sends SMS: its loop, and what the API needs of it."""

    loop: loops.Loop
    parts: application.MessageParts


def messaging(
    settings: config.Settings,
    store: database.Database,
    meters: telemetry.Telemetry,
    *,
    clock: Callable[[], float],
    instant: Callable[[], datetime],
) -> Messaging | None:
    """None where nobody is to be told by SMS. Raises ConfigError."""
    sms = settings.sms
    if not sms.recipients:
        return None
    asked = catalogue.providers_of(sms, instant)
    kept = message_store.PostgresMessageStore(store)
    style = _style(sms)
    signer = signing.Signer(signing.key_of(settings.home))
    told = telling.Telling(
        kept,
        style,
        recipients=sms.recipients,
        stand_ins=sms.escalate_to,
        clock=instant,
        meters=meters,
    )
    delivered = delivering.Delivering(
        kept,
        asked,
        style,
        recipients=sms.recipients,
        stand_ins=sms.escalate_to,
        stand_in_after=sms.escalate_after,
        unless=messages.Unless(sms.escalate_unless),
        daily_cap=sms.daily_cap,
        keep=sms.keep,
        callback_url=_callbacks(settings.public_url, signer),
        clock=instant,
        meters=meters,
    )
    return Messaging(
        loops.Loop(
            "messages",
            delivered.turn,
            interval=delivering.EVERY,
            meters=meters,
            clock=clock,
            pause=delivered.pause,
        ),
        application.MessageParts(
            store=kept,
            tell=told.tell,
            receive=delivered.receive,
            parsers={each.name: each.receipt for each in asked},
            signer=signer,
        ),
    )


def _style(sms: config.SmsSettings) -> telling.Style:
    given = sms.quiet
    quiet = None if given is None else telling.Quiet(given.start, given.end, frozenset(given.but))
    return telling.Style(sms.parts, sms.part_price, sms.provider, sms.timezone, quiet)


def _callbacks(public_url: str | None, signer: signing.Signer) -> delivering.CallbackUrl:
    if public_url is None:
        return lambda _, __: None
    base = public_url.rstrip("/")
    return lambda provider, reference: base + receipts.path(signer, provider, reference)
