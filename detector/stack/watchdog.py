"""Whether alerts arrive at all, seen from outside the chain that they come by (docs/adr/0020)."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from detector import last_watchdog
from detector.stack import addresses as addresses_
from detector.stack import probe

T = TypeVar("T")
LOOK_EVERY_S = 2.0
# In the order in which an alert passes them, and where each says that it serves.
CHAIN = (("prometheus", "/-/ready"), ("alertmanager", "/-/ready"), ("detector", "/-/healthy"))

Log = Callable[[str], pathlib.Path]
"""Where a part writes."""


class Watch:
    """Says once that Watchdogs have stopped coming and why, and once that they come again.

    A silence is measured from when this process saw the last one, so that no step of a clock
    matters, nor a time of before its start.

    read        when the last one came, None for never
    find_cause  which part does not do what it should, asked once in each silence
    """

    def __init__(
        self,
        read: Callable[[], datetime | None],
        *,
        late_after: timedelta,
        find_cause: Callable[[], str],
        say: Callable[[str], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._find_cause, self._say = read, find_cause, say
        self._late_after_s = late_after.total_seconds()
        self._monotonic_s = monotonic_s
        self._seen = read()
        self._heard_s = self._looked_s = monotonic_s()
        self._is_silent = False

    def turn(self) -> None:
        """Look if it is time to, and say what has changed."""
        now_s = self._monotonic_s()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        seen = self._read()
        if seen is not None and seen != self._seen:
            if self._is_silent:
                self._say(f"Watchdog comes again after {_span(now_s - self._heard_s)}")
            self._seen, self._heard_s, self._is_silent = seen, now_s, False
        elif not self._is_silent and now_s - self._heard_s > self._late_after_s:
            self._is_silent = True
            silence = _span(now_s - self._heard_s)
            self._say(f"no Watchdog for {silence}: alerts do not arrive: {self._find_cause()}")


class _Raised(msgspec.Struct):
    labels: dict[str, str]


class _RaisedAlerts(msgspec.Struct):
    alerts: list[_Raised]


class _OfPrometheus(msgspec.Struct):
    data: _RaisedAlerts


class _Status(msgspec.Struct, rename="camel"):
    silenced_by: list[str]


class _Held(msgspec.Struct):
    status: _Status


def cause(addresses: addresses_.Addresses, log: Log) -> str:
    """The first part of the chain that does not pass Watchdog on, and where to look.

    A part that hangs costs probe.TIMEOUT_S, and ends the search.
    """
    for part, path in CHAIN:
        if not _serves(getattr(addresses, part), path):
            return f"{part} does not answer: look at {log(part)}"
    try:
        found = _asked(addresses.prometheus, "/api/v1/alerts", _OfPrometheus)
        names = {each.labels.get("alertname") for each in found.data.alerts}
        held = _asked(addresses.alertmanager, _HELD, list[_Held])
    except (OSError, msgspec.MsgspecError) as error:
        return f"prometheus or alertmanager cannot be asked about it: {error}"
    if last_watchdog.ALERT not in names:
        return f"prometheus does not raise it: look at {addresses.url('prometheus')}/rules"
    if not held:
        return f"prometheus does not hand it to alertmanager: look at {log('prometheus')}"
    if held[0].status.silenced_by:
        silence = f"{addresses.url('alertmanager')}/#/silences/{held[0].status.silenced_by[0]}"
        return f"a silence mutes it, and whatever else it matches: expire {silence}"
    return f"alertmanager does not bring it to the detector: look at {log('alertmanager')}"


_HELD = f"/api/v2/alerts?filter=alertname%3D%22{last_watchdog.ALERT}%22"


def _serves(address: str, path: str) -> bool:
    try:
        return probe.get(address, path)[0] == 200
    except OSError:
        return False


def _asked(address: str, path: str, kind: type[T]) -> T:
    status, body = probe.get(address, path)
    if status != 200:
        raise OSError(f"{address} answers {status}")
    return msgspec.json.decode(body, type=kind)


def _span(seconds: float) -> str:
    """Whole minutes, below two of them seconds.

    >>> _span(181.2), _span(8.4)
    ('3 min', '8 s')
    """
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
