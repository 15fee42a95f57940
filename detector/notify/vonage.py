"""Vonage, formerly Nexmo: the SMS API sends, the Reports API is asked.

https://developer.vonage.com/en/api/sms, https://developer.vonage.com/en/api/reports. The SMS API
answers 200 to nearly everything, so that success is in the body, of each part on its own; so do
receipts come for each part, under names of their own and with our reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from detector import messages, segments
from detector.notify import exchange, said

BASE_URL = "https://rest.nexmo.com"
REPORTS_URL = "https://api.nexmo.com"
LONGEST_CALLBACK = 100
"""Of the SMS API; a longer one has the message refused."""
SETTLES = timedelta(minutes=5)
"""After which a message that was taken is taken to be among the records. No figure is published;
receipts, which they are made of, mostly come within minutes."""
CLOCKS_DIFFER = timedelta(minutes=10)
LONGEST_RANGE = timedelta(hours=24)
"""Between date_start and date_end of one request for records."""
TAKEN = "0"
AGAIN = frozenset({"1", "5", "10"})
"""Throttled, internal error, too many connections: what is documented as worth another try."""

STATES: Mapping[str, messages.State] = {
    "delivered": messages.State.DELIVERED,
    "accepted": messages.State.SENT,
    "buffered": messages.State.SENT,
    "submitted": messages.State.SENT,
    "unknown": messages.State.SENT,
    "expired": messages.State.FAILED,
    "failed": messages.State.FAILED,
    "rejected": messages.State.FAILED,
    "deleted": messages.State.FAILED,
}
CODES: Mapping[str, str] = {
    "2": "phone off or out of reach",
    "3": "number no longer in use",
    "4": "barred by its user",
    "5": "trouble with a ported number",
    "6": "taken for spam by the carrier",
    "7": "phone busy",
    "8": "network error",
    "9": "its user wants no such messages",
    "10": "illegal message",
    "11": "no route",
    "12": "number unreachable",
    "13": "barred by the user's age",
    "14": "blocked by the carrier",
}
"""What err-code of a receipt means, as far as it helps."""


class Vonage:
    """ports.SmsProvider.

    key, secret  of the account
    sender       a number, or a name of at most 11 letters and digits
    base_url     of the SMS API; records are asked for at api.nexmo.com, or here too if it is given
    """

    name = "vonage"

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
        self._key, self._secret = key, secret
        self._sender = sender.removeprefix("+")
        self._clock = clock
        self._scrubber = said.Scrubber(key, secret, f"{key}:{secret}")
        self._sms, self._reports = (
            exchange.Endpoint(
                url,
                source=f"{self.name}: url",
                scrubber=self._scrubber,
                clock=clock,
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                credentials=credentials,
            )
            for url, credentials in (
                (base_url, None),
                (REPORTS_URL if base_url == BASE_URL else base_url, (key, secret)),
            )
        )

    def send(self, message: messages.Outgoing) -> messages.Outcome:
        """Hand a message over, once."""
        form, note = self._form(message)
        answer = self._sms.post("/sms/json", form)
        if not isinstance(answer, exchange.Answer):
            return answer
        told = answer.decoded()
        fault = self._sms.fault(answer, _words(told))
        if fault is not None:
            return fault
        parts = said.objects(told.get("messages")) if said.is_mapping(told) else None
        return self._outcome(parts or [], note)

    def find(self, message: messages.Outgoing) -> messages.Receipt | messages.Lookup:
        """What the records say of our reference."""
        end = message.settles_from + CLOCKS_DIFFER
        start = max(message.handed_at - CLOCKS_DIFFER, end - LONGEST_RANGE)
        answer = self._reports.get(
            "/v2/reports/records",
            {
                "account_id": self._key,
                "product": "SMS",
                "direction": "outbound",
                "client_ref": message.reference,
                "date_start": _instant(start),
                "date_end": _instant(end),
            },
        )
        if not isinstance(answer, exchange.Answer):
            return exchange.cannot_tell(self.name, answer.reason)
        told = answer.decoded()
        fault = self._reports.fault(answer, _words(told))
        if fault is not None:
            return exchange.cannot_tell(self.name, fault.reason)
        records = said.objects(told.get("records")) if said.is_mapping(told) else None
        if records is None or not said.is_mapping(told):
            return exchange.cannot_tell(self.name, "an answer without records")
        ours = [each for each in records if each.get("client_ref") == message.reference]
        if ours:
            return self._found(ours, message.reference)
        if told.get("request_status") != "SUCCESS":
            return exchange.cannot_tell(self.name, "an answer without all records")
        if self._clock() - message.settles_from < SETTLES:
            return messages.Lookup.CANNOT_TELL
        return messages.Lookup.NEVER_TAKEN

    def receipt(self, form: Mapping[str, str]) -> messages.Receipt | None:
        """What a delivery receipt says, of one part: so its price, which is that part's, is not
        told."""
        state = STATES.get(form.get("status", "").lower())
        provider_id = self._scrubber.identifier(form.get("messageId"))
        reference = self._scrubber.identifier(form.get("client-ref"))
        if state is None or not (provider_id or reference):
            return None
        reason = "" if state is messages.State.DELIVERED else _reason(form, "err-code")
        return messages.Receipt(
            state, provider_id, self._scrubber.line(reason), reference=reference
        )

    def _form(self, message: messages.Outgoing) -> tuple[dict[str, str], str]:
        """The form, and what is to be said of it."""
        form = {
            "api_key": self._key,
            "api_secret": self._secret,
            "from": self._sender,
            "to": message.recipient.removeprefix("+"),
            "text": message.text,
            "type": "text" if segments.is_plain(message.text) else "unicode",
            "client-ref": message.reference,
            "status-report-req": "false" if message.callback_url is None else "true",
        }
        if message.callback_url is None:
            return form, ""
        if len(message.callback_url) > LONGEST_CALLBACK:
            return form, (
                f"its receipts go where the account says: Vonage takes no callback address of "
                f"more than {LONGEST_CALLBACK} characters"
            )
        return {**form, "callback": message.callback_url}, ""

    def _outcome(self, parts: Sequence[Mapping[str, object]], note: str) -> messages.Outcome:
        taken = [each for each in parts if _status(each) == TAKEN]
        others = [each for each in parts if _status(each) != TAKEN]
        reasons = dict.fromkeys(
            said.words(f"status {_status(each) or 'missing'}", each.get("error-text"))
            for each in others
        )
        if taken:
            failed = f"{len(others)} of {len(parts)} parts refused" if others else ""
            return messages.Accepted(
                provider_id=self._scrubber.identifier(taken[0].get("message-id")),
                price=said.total([each.get("message-price") for each in taken]),
                reason=self._scrubber.line(said.words(failed, *reasons, note)),
            )
        if not parts or not all(_status(each) for each in parts):
            return messages.Unclear("an answer that does not tell whether the message was taken")
        return messages.Refused(
            self._scrubber.line("; ".join(reasons)),
            again=all(_status(each) in AGAIN for each in parts),
        )

    def _found(self, records: Sequence[Mapping[str, object]], reference: str) -> messages.Receipt:
        """One record a part. Where some failed and some did not, the message as a whole did not
        fail: it is not sent again to arrive twice."""
        states = [_state(each) for each in records]
        failed = [
            _reason(each, "error_code")
            for each, state in zip(records, states, strict=True)
            if state is messages.State.FAILED
        ]
        if len(failed) == len(records):
            state = messages.State.FAILED
        elif messages.State.SENT in states:
            state = messages.State.SENT
        else:
            state = messages.State.DELIVERED
        some = f"{len(failed)} of {len(records)} parts" if 0 < len(failed) < len(records) else ""
        return messages.Receipt(
            state,
            self._scrubber.identifier(records[0].get("message_id")),
            self._scrubber.line(said.words(some, *dict.fromkeys(failed))),
            said.total([each.get("total_price") for each in records]),
            reference,
        )


def _status(part: Mapping[str, object]) -> str:
    status = part.get("status")
    return str(status) if isinstance(status, str | int) and not isinstance(status, bool) else ""


def _state(record: Mapping[str, object]) -> messages.State:
    """That there is a record means that the message was taken, whatever its status is."""
    return STATES.get(str(record.get("status")).lower(), messages.State.SENT)


def _reason(told: Mapping[str, object], code_key: str) -> str:
    """Why a part has not arrived, from a receipt or a record."""
    code = said.words(told.get(code_key))
    meaning = CODES.get(code) or told.get("error_code_description")
    status = said.words(told.get("status"))
    if code in {"", TAKEN}:
        return status
    return said.words(f"{status}, code {code}", meaning)


def _words(told: object) -> str:
    """What the body of an HTTP error says: that of the SMS API, or a problem of the Reports API."""
    if not said.is_mapping(told):
        return ""
    parts = said.objects(told.get("messages")) or []
    return said.words(
        told.get("title"), told.get("detail"), *(each.get("error-text") for each in parts)
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
