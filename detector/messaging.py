"""Builds what sends SMS, from the settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detector import config, errors, loops, telemetry, whole
from detector.api import application, receipts
from detector.notify import catalogue
from detector.services import delivering, telling
from detector.store import database, messages

KEY_BYTES = 32
OWNER_ONLY = 0o600


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
    kept = messages.PostgresMessageStore(store)
    style = _style(sms)
    signer = receipts.Signer(_key(settings.home / "callback_key"))
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


def _callbacks(public_url: str | None, signer: receipts.Signer) -> delivering.CallbackUrl:
    if public_url is None:
        return lambda _, __: None
    base = public_url.rstrip("/")
    return lambda provider, reference: base + signer.path(provider, reference)


def _key(path: Path) -> bytes:
    """The secret that paths of receipts are signed with, made once. Raises ConfigError."""
    try:
        if not path.exists():
            whole.write(path, secrets.token_hex(KEY_BYTES) + "\n", OWNER_ONLY)
        key = path.read_bytes().strip()
    except OSError as error:
        raise errors.ConfigError(f"{path}: {error.strerror}") from error
    if len(key) < KEY_BYTES:
        raise errors.ConfigError(f"{path}: {KEY_BYTES} characters are needed: delete it")
    return key
