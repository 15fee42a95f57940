"""Addresses that stand in messages about an alert: signed, and good for some days.

    /api/charts/{fingerprint}/{starts_at_ms}/{expires}/{signature}.png
    /alerts/{action}/{fingerprint}/{starts_at_ms}/{expires}/{signature}

`expires` are epoch seconds. Whoever has such an address may do what it says and nothing else: it
needs no token. That one acts once only is for the page behind it to see to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from detector import alerts, errors, signing

CHARTS = "/api/charts"
ACTIONS = "/alerts"
LIFETIME = timedelta(days=7)
"""An address is good for so long, and for up to a day more."""
_DAY_S = 86_400
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"[0-9]{1,15}")


class Action(StrEnum):
    """What an address does."""

    ACK = "ack"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Target:
    """What a signed address is about: an episode, and until when the address is good."""

    fingerprint: alerts.Fingerprint
    starts_at: datetime
    expires: datetime

    @property
    def key(self) -> alerts.Key:
        """What the episode is known by."""
        return self.fingerprint, self.starts_at


@dataclass(frozen=True, slots=True)
class Given:
    """The parts of an address as they came; nothing of them is trusted."""

    fingerprint: str
    starts_at_ms: str
    expires: str
    signature: str


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and reads these addresses.

    base  what stands before the path: `public_url`
    """

    base: str
    signer: signing.Signer

    def chart(self, target: Target) -> str:
        """Where a picture of the alert's series is."""
        return f"{self._signed(CHARTS, target)}.png"

    def action(self, action: Action, target: Target) -> str:
        """Where the alert is acknowledged, or silenced."""
        return self._signed(f"{ACTIONS}/{action}", target)

    def _signed(self, prefix: str, target: Target) -> str:
        path = _path(
            prefix, target.fingerprint, _ms(target.starts_at), int(target.expires.timestamp())
        )
        return f"{self.base.rstrip('/')}{path}/{self.signer.signature(path)}"


def expiry(at: datetime) -> datetime:
    """Until when an address made at `at` is good; the same one all day.

    >>> expiry(datetime(2026, 5, 4, 14, 30, tzinfo=UTC)).isoformat()
    '2026-05-12T00:00:00+00:00'
    """
    end_s = (at + LIFETIME).timestamp()
    return datetime.fromtimestamp((end_s // _DAY_S + 1) * _DAY_S, UTC)


def read_chart(given: Given, signer: signing.Signer, *, at: datetime) -> Target:
    """What the address of a picture is about. Raises LinkError."""
    return _read(CHARTS, given, signer, at)


def read_action(action: Action, given: Given, signer: signing.Signer, *, at: datetime) -> Target:
    """What the address of an action is about. Raises LinkError."""
    return _read(f"{ACTIONS}/{action}", given, signer, at)


def _read(prefix: str, given: Given, signer: signing.Signer, at: datetime) -> Target:
    path = _path(prefix, given.fingerprint, given.starts_at_ms, given.expires)
    numbers = (given.starts_at_ms, given.expires)
    is_whole = _FINGERPRINT.fullmatch(given.fingerprint) and all(
        _NUMBER.fullmatch(each) for each in numbers
    )
    if not is_whole or not signer.is_right(path, given.signature):
        raise errors.LinkError("no message has this address: see that it was copied whole")
    expires = datetime.fromtimestamp(int(given.expires), UTC)
    if at >= expires:
        raise errors.LinkError(
            f"this address was good until {expires:%Y-%m-%d}: look for the alert in /api/alerts",
            is_expired=True,
        )
    starts_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(given.starts_at_ms))
    return Target(alerts.Fingerprint(given.fingerprint), starts_at, expires)


def _path(prefix: str, fingerprint: str, starts_at_ms: int | str, expires_s: int | str) -> str:
    return f"{prefix}/{fingerprint}/{starts_at_ms}/{expires_s}"


def _ms(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
