"""The road of a test message, hop by hop."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from detector import config, errors
from detector.stack.receivers import routes
from detector.trial import asking

POLL_S = 0.2
ALERTNAME = "TestMessage"
ENDS_AFTER = timedelta(minutes=10)
"""If nobody ends it before."""
WITH_RECEIPTS = frozenset({"vonage", "twilio"})
WEBHOOK = "webhook"
SENT = frozenset({"sent", "delivered"})
GIVEN_UP = frozenset({"failed", "unknown", "dropped"})


@dataclass(frozen=True, slots=True)
class Hop:
    """A station of the road.

    seconds  since the message was posted
    text     what was seen, or why nothing was
    """

    name: str
    is_seen: bool
    seconds: float
    text: str


class Road:
    """Posts one test message and watches it; ends it whatever happens.

    channel  the receiver's name
    number   the id of the message
    patience for all hops together
    """

    def __init__(
        self,
        settings: config.Settings,
        alertmanager: asking.Alertmanager,
        detector: asking.Detector,
        channel: str,
        *,
        number: str,
        patience: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._settings, self._channel, self._number = settings, channel, number
        self._alertmanager, self._detector = alertmanager, detector
        self._patience_s, self._now = patience.total_seconds(), now
        self._began = now()
        self._started_s = time.monotonic()

    def hops(self) -> Iterator[Hop]:
        """Each hop as soon as it is seen; one that is not is the last.

        Raises ConfigError for a receiver that cannot be tested, UpstreamError where Alertmanager
        does not answer.
        """
        configured = self._alertmanager.configured()
        receiver = self._receiver(configured)
        before = {each: self._alertmanager.counts(each) for each in receiver.integrations}
        self._began, self._started_s = self._now(), time.monotonic()
        self._alertmanager.post(self._alert(ends_at=self._began + ENDS_AFTER))
        try:
            yield self._hop("accepted", f"by Alertmanager {configured.version}")
            for name, look in self._looks(receiver, before):
                hop = self._wait(name, look)
                yield hop
                if not hop.is_seen:
                    return
        finally:
            self._alertmanager.post(self._alert(ends_at=self._now()))

    def _receiver(self, configured: asking.Configured) -> asking.Receiver:
        found = configured.receivers.get(self._channel)
        if found is None:
            known = ", ".join(sorted(configured.testable)) or "none is set up"
            raise errors.ConfigError(
                f"alerts test: {self._channel!r}: no receiver of Alertmanager's: {known}"
            )
        if self._channel not in configured.testable:
            raise errors.ConfigError(
                f"alerts test: {self._channel!r}: no route of Alertmanager's leads a test message "
                f'to it: one with the matcher {routes.TEST_LABEL} = "{self._channel}" is needed'
            )
        return found

    def _alert(self, *, ends_at: datetime) -> Mapping[str, Any]:
        return {
            "labels": {
                "alertname": ALERTNAME,
                "severity": "info",
                routes.TEST_LABEL: self._channel,
                asking.ID_LABEL: self._number,
            },
            "annotations": {
                "summary": f"This is test message {self._number} for {self._channel}",
                "description": "Nothing is wrong. Somebody has run: mda alerts test "
                f"{self._channel}",
            },
            "startsAt": self._began.isoformat(),
            "endsAt": ends_at.isoformat(),
        }

    def _looks(
        self, receiver: asking.Receiver, before: Mapping[str, asking.Counts]
    ) -> Iterator[tuple[str, Callable[[], tuple[str, str]]]]:
        """(name, look): look tells what is seen, or what is not yet; either may be empty."""
        yield "held", self._is_held
        for integration in dict.fromkeys(receiver.integrations):
            times = receiver.integrations.count(integration) + (integration == WEBHOOK)
            look = functools.partial(self._is_notified, integration, before[integration], times)
            yield f"notified by {integration}", look
        recipients = self._recipients()
        if recipients:
            yield "queued", lambda: self._has_come(recipients, lambda _: True)
            yield "handed over", lambda: self._has_come(recipients, lambda each: each in SENT)
        if recipients and self._has_receipts():
            yield "delivered", lambda: self._has_come(recipients, lambda each: each == "delivered")
        yield "remembered", self._is_remembered

    def _wait(self, name: str, look: Callable[[], tuple[str, str]]) -> Hop:
        missing = ""
        while True:
            try:
                seen, missing = look()
                if seen:
                    return self._hop(name, seen)
            except errors.UpstreamError as error:
                missing = str(error)
            if missing.startswith("!") or self._passed_s() > self._patience_s:
                text = missing.removeprefix("!") or "nothing was seen"
                return Hop(name, False, self._passed_s(), text)
            time.sleep(POLL_S)

    def _hop(self, name: str, text: str) -> Hop:
        return Hop(name, True, self._passed_s(), text)

    def _passed_s(self) -> float:
        return time.monotonic() - self._started_s

    def _is_held(self) -> tuple[str, str]:
        found = self._alertmanager.receivers_of(self._number)
        if self._channel in found:
            return f"for {', '.join(found)}", ""
        return "", f"it is for {', '.join(found) or 'nobody'}"

    def _is_notified(self, integration: str, before: asking.Counts, times: int) -> tuple[str, str]:
        """The memory is told by a webhook too, so a webhook's counter has to rise once more."""
        now = self._alertmanager.counts(integration)
        if now.done - before.done >= times:
            return "the request was answered well", ""
        if now.given_up > before.given_up:
            return "", "!it was refused: Alertmanager's log says why"
        if now.failed > before.failed:
            return "", "requests fail and are tried again: Alertmanager's log says why"
        return "", "Alertmanager has not asked it yet, or waits for the answer"

    def _recipients(self) -> Sequence[str]:
        """Whose messages in the outbox there are to be; none of channels that have no outbox."""
        kind, _, name = self._channel.partition("-")
        if kind == "notify" and name in self._settings.notify:
            return (name,)
        if kind != "sms":
            return ()
        team = self._settings.teams.get(name)
        return self._settings.sms.recipients if team is None else team.sms

    def _has_receipts(self) -> bool:
        sms = self._settings.sms
        return (
            self._channel.partition("-")[0] == "sms"
            and self._settings.public_url is not None
            and sms.provider in WITH_RECEIPTS
        )

    def _has_come(
        self, recipients: Sequence[str], is_enough: Callable[[str], bool]
    ) -> tuple[str, str]:
        """Whether the messages of all recipients have come so far."""
        lacking, states = [], []
        for recipient in recipients:
            found = self._detector.messages(recipient, self._number)
            states += [f"{recipient} by {each['provider']}" for each in found]
            for each in found:
                if each["state"] in GIVEN_UP:
                    return "", f"!{recipient}: {each['state']}: {each['reason']}"
            if not any(is_enough(each["state"]) for each in found):
                state = ", ".join(f"{each['state']} {each['reason']}".strip() for each in found)
                lacking.append(f"{recipient}: {state or 'no message'}")
        return ("", "; ".join(lacking)) if lacking else (", ".join(states), "")

    def _is_remembered(self) -> tuple[str, str]:
        if self._detector.is_remembered(self._number):
            return "in GET /api/alerts", ""
        return "", "it is not among GET /api/alerts"
