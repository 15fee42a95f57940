"""Twilio: its Messages resource.

https://www.twilio.com/docs/messaging/api/message-resource. It keeps no reference of ours, so that a
message is found again by recipient, text and time.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from detector import errors, messages
from detector.notify import exchange, said

BASE_URL = "https://api.twilio.com"
SETTLES = timedelta(minutes=2)
"""After which a message that was taken is taken to be in the list: it is made before the answer."""
CLOCKS_DIFFER = timedelta(minutes=5)
PAGE_SIZE = 1000
"""The most that it lists at once, newest first."""
SID = re.compile(r"AC[0-9a-f]{32}", re.IGNORECASE)
SERVICE = re.compile(r"MG[0-9a-f]{32}", re.IGNORECASE)

STATES: Mapping[str, messages.State] = {
    "accepted": messages.State.SENT,
    "scheduled": messages.State.SENT,
    "queued": messages.State.SENT,
    "sending": messages.State.SENT,
    "sent": messages.State.SENT,
    "delivered": messages.State.DELIVERED,
    "read": messages.State.DELIVERED,
    "undelivered": messages.State.FAILED,
    "failed": messages.State.FAILED,
    "canceled": messages.State.FAILED,
}
CODES: Mapping[str, str] = {
    "21610": "its user wants no messages from this sender",
    "30003": "phone off or out of reach",
    "30004": "blocked",
    "30005": "number unknown or no longer in use",
    "30006": "a landline, or its carrier is unreachable",
    "30007": "taken for spam by the carrier",
    "30008": "unknown error",
}
"""What ErrorCode means, as far as it helps: https://www.twilio.com/docs/api/errors."""


class Twilio:
    """ports.SmsProvider.

    key     the account's SID, which is no secret
    secret  its auth token
    sender  a number, a name, or the SID of a messaging service (MG...)
    """

    name = "twilio"

    def __init__(
        self,
        *,
        key: str,
        secret: str,
        sender: str,
        clock: exchange.Clock,
        base_url: str = BASE_URL,
        connect_timeout: timedelta = exchange.CONNECT_TIMEOUT,
        read_timeout: timedelta = exchange.READ_TIMEOUT,
    ) -> None:
        exchange.need(self.name, api_key=key, api_secret=secret, from_number=sender)
        if not SID.fullmatch(key):  # not shown: it may be the token, given in the wrong place
            raise errors.ConfigError(
                f"{self.name}: api_key: the account's SID, AC and 32 hexadecimal digits"
            )
        self._sender = sender
        self._clock = clock
        self._scrubber = said.Scrubber(secret, f"{key}:{secret}")
        self._path = f"/2010-04-01/Accounts/{key}/Messages.json"
        self._endpoint = exchange.Endpoint(
            base_url,
            source=f"{self.name}: url",
            scrubber=self._scrubber,
            clock=clock,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            credentials=(key, secret),
        )

    def send(self, message: messages.Outgoing) -> messages.Outcome:
        """Hand a message over, once."""
        form = {"To": message.recipient, "Body": message.text}
        form["MessagingServiceSid" if SERVICE.fullmatch(self._sender) else "From"] = self._sender
        if message.callback_url is not None:
            form["StatusCallback"] = message.callback_url
        answer = self._endpoint.post(self._path, form)
        if not isinstance(answer, exchange.Answer):
            return answer
        told = answer.decoded()
        fault = self._endpoint.fault(answer, _words(told))
        if fault is not None:
            return fault
        sid = self._scrubber.identifier(told.get("sid")) if said.is_mapping(told) else ""
        if not sid or not said.is_mapping(told):
            return messages.Unclear("an answer that does not tell whether the message was taken")
        if STATES.get(str(told.get("status"))) is messages.State.FAILED:
            return messages.Refused(self._scrubber.line(_reason(told)))
        return messages.Accepted(sid, said.price(told.get("price")))

    def find(self, message: messages.Outgoing) -> messages.Receipt | messages.Lookup:
        """What the list says of a message to this number with this text about this time.

        It is not narrowed by DateSent: one that waits to be sent has no such date yet.
        """
        answer = self._endpoint.get(
            self._path, {"To": message.recipient, "PageSize": str(PAGE_SIZE)}
        )
        if not isinstance(answer, exchange.Answer):
            return exchange.cannot_tell(self.name, answer.reason)
        told = answer.decoded()
        fault = self._endpoint.fault(answer, _words(told))
        if fault is not None:
            return exchange.cannot_tell(self.name, fault.reason)
        listed = said.objects(told.get("messages")) if said.is_mapping(told) else None
        if listed is None or not said.is_mapping(told):
            return exchange.cannot_tell(self.name, "an answer without messages")
        since = message.handed_at - CLOCKS_DIFFER
        ours = [each for each in listed if _is_of(each, message, since)]
        if ours:
            return self._found(ours)
        if told.get("next_page_uri") and not any(_is_before(each, since) for each in listed):
            return exchange.cannot_tell(self.name, f"more than {PAGE_SIZE} messages since then")
        if self._clock() - message.settles_from < SETTLES:
            return messages.Lookup.CANNOT_TELL
        return messages.Lookup.NEVER_TAKEN

    def receipt(self, form: Mapping[str, str]) -> messages.Receipt | None:
        """What a status callback says; there is none of ours in it but what its URL carries."""
        state = STATES.get(form.get("MessageStatus") or form.get("SmsStatus") or "")
        provider_id = self._scrubber.identifier(form.get("MessageSid") or form.get("SmsSid"))
        if state is None or not provider_id:
            return None
        reason = ""
        if state is messages.State.FAILED:
            reason = _failure(form.get("MessageStatus") or form.get("SmsStatus"), form)
        return messages.Receipt(state, provider_id, self._scrubber.line(reason))

    def _found(self, listed: Sequence[Mapping[str, object]]) -> messages.Receipt:
        """Of several alike that which has come furthest, lest it is sent again."""
        best = min(listed, key=lambda each: _NEARNESS[_state(each)])
        state = _state(best)
        return messages.Receipt(
            state,
            self._scrubber.identifier(best.get("sid")),
            self._scrubber.line(_reason(best)) if state is messages.State.FAILED else "",
            said.price(best.get("price")),
        )


_NEARNESS = {messages.State.DELIVERED: 0, messages.State.SENT: 1, messages.State.FAILED: 2}


def _is_of(listed: Mapping[str, object], message: messages.Outgoing, since: datetime) -> bool:
    """Whether it may be this message: one too many that is taken for it is not sent again."""
    if str(listed.get("direction", "outbound-api")).startswith("inbound"):
        return False
    return _is_like(str(listed.get("body")), message.text) and not _is_before(listed, since)


def _is_like(body: str, text: str) -> bool:
    """Whether a body is this text as Twilio keeps it: behind a line of a trial account's own, and
    with plain characters for typographical ones (smart encoding)."""
    plain_body, plain_text = (re.sub(r"[^0-9A-Za-z]", "", each) for each in (body, text))
    return body.endswith(text) or (plain_text != "" and plain_body.endswith(plain_text))


def _is_before(listed: Mapping[str, object], since: datetime) -> bool:
    """Whether it was made before then; what has no date was not."""
    try:
        made = email.utils.parsedate_to_datetime(str(listed.get("date_created")))
    except ValueError:
        return False
    return made.replace(tzinfo=made.tzinfo or UTC) < since


def _state(listed: Mapping[str, object]) -> messages.State:
    """That it is listed means that it was taken, whatever its status is."""
    return STATES.get(str(listed.get("status")), messages.State.SENT)


def _reason(told: Mapping[str, object]) -> str:
    return _failure(
        told.get("status"),
        {"ErrorCode": said.words(told.get("error_code"))},
        told.get("error_message"),
    )


def _failure(status: object, form: Mapping[str, str], text: object = None) -> str:
    code = form.get("ErrorCode", "")
    named = f"{said.words(status)}, code {code}" if code else said.words(status)
    return said.words(named, CODES.get(code) or text)


def _words(told: object) -> str:
    """What the body of an error says: {code, message, more_info, status}."""
    if not said.is_mapping(told):
        return ""
    code = said.words(told.get("code"))
    return said.words(f"code {code}" if code else "", told.get("message"))
