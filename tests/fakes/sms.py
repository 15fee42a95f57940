"""Vonage and Twilio on loopback, as far as we use them: they keep what they take.

Shapes: https://developer.vonage.com/en/api/sms, https://developer.vonage.com/en/api/reports,
https://www.twilio.com/docs/messaging/api/message-resource. Each serves by itself as a context
manager, or gives its answers to a faults.Receiver.
"""

from __future__ import annotations

import base64
import email.utils
import json
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import requests

from detector import segments
from tests import faults

PRICE = "0.03330000"
HANG_S = 30.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Taken:
    """A message that was taken.

    ids  one a part at Vonage; one at Twilio
    """

    form: Mapping[str, str]
    ids: list[str]
    at: datetime
    status: str
    code: str = ""


@dataclass(frozen=True)
class _Fault:
    answer: faults.Planned | None
    takes: bool


@dataclass
class _Provider:
    """What both have: taken messages in order, and faults for the next requests to send.

    clock  what its records are dated by
    """

    clock: Callable[[], datetime] = _now
    taken: list[Taken] = field(default_factory=list)
    _plan: list[_Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.receiver = faults.Receiver(self.answer)

    @property
    def url(self) -> str:
        return self.receiver.url

    def __enter__(self) -> Self:
        self.receiver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.receiver.__exit__()

    def plan(self, answer: faults.Planned, *, takes: bool = False) -> None:
        """Give this answer to the next request to send that has none yet; `takes`: the message
        is taken all the same."""
        self._plan.append(_Fault(answer, takes))

    def plan_silence(self, *, takes: bool = True) -> None:
        """Likewise never answer it."""
        self._plan.append(_Fault(None, takes))

    def forget_plan(self) -> None:
        """What was planned for requests that never came."""
        with self._lock:
            self._plan.clear()

    def answer(self, received: faults.Received) -> faults.Planned:
        with self._lock:
            if received.method != "POST":
                return self.look_up(received)
            fault = self._plan.pop(0) if self._plan else None
            if fault is None:
                return self.take(received)
            if fault.takes:
                self.take(received)
        if fault.answer is None:
            self._ended.wait(HANG_S)
            return faults.Planned(503, drops=True)
        return fault.answer

    def take(self, received: faults.Received) -> faults.Planned:
        raise NotImplementedError

    def look_up(self, received: faults.Received) -> faults.Planned:
        raise NotImplementedError

    def receipts(self, taken: Taken) -> list[dict[str, str]]:
        raise NotImplementedError

    def call_back(self, taken: Taken, url: str) -> None:
        """Send the receipts of this message there, as it stands now."""
        for form in self.receipts(taken):
            requests.post(url, data=form, timeout=10).raise_for_status()


@dataclass
class FakeVonage(_Provider):
    """SMS API and Reports API at one address."""

    key: str = "abcd1234"
    secret: str = "vonage-canary-secret"

    def take(self, received: faults.Received) -> faults.Planned:
        form = form_of(received)
        if received.path != "/sms/json":
            return as_json(404, {"title": "Not Found"})
        if (form.get("api_key"), form.get("api_secret")) != (self.key, self.secret):
            return parts({"status": "4", "error-text": "Bad Credentials"})
        for name in ("from", "to", "text"):
            if not form.get(name):
                return parts({"status": "2", "error-text": f"Missing {name} param"})
        if not form["to"].isdecimal() or len(form.get("callback", "")) > 100:
            return parts({"status": "3", "error-text": "Invalid param"})
        count = segments.parts_of(form["text"])
        number = len(self.taken) + 1
        ids = [f"0A{number:08X}{part:06X}" for part in range(count)]
        self.taken.append(Taken(form, ids, self.clock(), "submitted"))
        return parts(
            *(
                {
                    "to": form["to"],
                    "message-id": each,
                    "status": "0",
                    "remaining-balance": "3.14159265",
                    "message-price": PRICE,
                    "network": "12345",
                    "client-ref": form.get("client-ref", ""),
                }
                for each in ids
            )
        )

    def look_up(self, received: faults.Received) -> faults.Planned:
        path, query = query_of(received)
        if path != "/v2/reports/records":
            return as_json(404, {"title": "Not Found"})
        if received.headers.get("authorization") != basic(self.key, self.secret):
            return as_json(401, {"title": "Unauthorized", "detail": "Wrong credentials."})
        missing = {"account_id", "product", "direction", "date_start", "date_end"} - query.keys()
        if missing:
            return as_json(422, {"title": "Unprocessable", "detail": f"Missing {min(missing)}"})
        start, end = (datetime.fromisoformat(query[key]) for key in ("date_start", "date_end"))
        if (end - start).total_seconds() > 24 * 3600:
            return as_json(422, {"title": "Unprocessable", "detail": "More than 24 hours"})
        records = [
            {
                "account_id": self.key,
                "message_id": each,
                "client_ref": taken.form.get("client-ref", ""),
                "direction": "outbound",
                "from": taken.form["from"],
                "to": taken.form["to"],
                "status": taken.status,
                "error_code": taken.code or "0",
                "error_code_description": "",
                "currency": "EUR",
                "total_price": PRICE,
                "date_received": taken.at.isoformat(),
            }
            for taken in self.taken
            for each in taken.ids
            if start <= taken.at < end
            and query.get("client_ref") in {None, taken.form.get("client-ref")}
        ]
        return as_json(
            200,
            {
                "request_id": "1e62a8ac",
                "request_status": "SUCCESS",
                "direction": "outbound",
                "product": "SMS",
                "items_count": len(records),
                "records": records,
            },
        )

    def receipts(self, taken: Taken) -> list[dict[str, str]]:
        """One a part."""
        return [
            {
                "api-key": self.key,
                "client-ref": taken.form.get("client-ref", ""),
                "err-code": taken.code or "0",
                "message-timestamp": f"{self.clock():%Y-%m-%d %H:%M:%S}",
                "messageId": each,
                "msisdn": taken.form["to"],
                "network-code": "12345",
                "price": PRICE,
                "scts": f"{self.clock():%y%m%d%H%M}",
                "status": taken.status,
                "to": taken.form["from"],
            }
            for each in taken.ids
        ]


@dataclass
class FakeTwilio(_Provider):
    """The Messages resource of one account.

    prefix  what a trial account puts before each text
    """

    sid: str = "AC" + "0123456789abcdef" * 2
    token: str = "twilio-canary-token"
    prefix: str = ""

    @property
    def path(self) -> str:
        return f"/2010-04-01/Accounts/{self.sid}/Messages.json"

    def take(self, received: faults.Received) -> faults.Planned:
        refusal = self._refusal(received)
        if refusal is not None:
            return refusal
        form = form_of(received)
        if not form.get("To", "").startswith("+"):
            return error(400, 21211, f"Invalid 'To' Phone Number: {form.get('To')}")
        if not form.get("From") and not form.get("MessagingServiceSid"):
            return error(400, 21603, "A 'From' phone number is required.")
        if not form.get("Body"):
            return error(400, 21602, "Message body is required.")
        taken = Taken(form, [f"SM{len(self.taken) + 1:032x}"], self.clock(), "queued")
        self.taken.append(taken)
        return as_json(201, self._resource(taken))

    def look_up(self, received: faults.Received) -> faults.Planned:
        refusal = self._refusal(received)
        if refusal is not None:
            return refusal
        _, query = query_of(received)
        found = [each for each in self.taken if query.get("To") in {None, each.form["To"]}]
        size = int(query.get("PageSize", 50))
        page = [self._resource(each) for each in reversed(found)][:size]
        more = f"{self.path}?Page=1&PageSize={size}" if len(found) > size else None
        return as_json(200, {"messages": page, "page": 0, "page_size": size, "next_page_uri": more})

    def receipts(self, taken: Taken) -> list[dict[str, str]]:
        """One for the whole message."""
        form = {
            "AccountSid": self.sid,
            "ApiVersion": "2010-04-01",
            "From": taken.form.get("From", "+15005550006"),
            "MessageSid": taken.ids[0],
            "MessageStatus": taken.status,
            "SmsSid": taken.ids[0],
            "SmsStatus": taken.status,
            "To": taken.form["To"],
        }
        return [{**form, "ErrorCode": taken.code} if taken.code else form]

    def _refusal(self, received: faults.Received) -> faults.Planned | None:
        if received.headers.get("authorization") != basic(self.sid, self.token):
            return error(401, 20003, "Authenticate")
        if received.path.partition("?")[0] != self.path:
            return error(404, 20404, f"The requested resource {received.path} was not found")
        return None

    def _resource(self, taken: Taken) -> dict[str, object]:
        is_sent = taken.status not in {"queued", "accepted"}
        return {
            "sid": taken.ids[0],
            "account_sid": self.sid,
            "api_version": "2010-04-01",
            "to": taken.form["To"],
            "from": taken.form.get("From"),
            "messaging_service_sid": taken.form.get("MessagingServiceSid"),
            "body": self.prefix + taken.form["Body"],
            "direction": "outbound-api",
            "status": taken.status,
            "num_segments": str(segments.parts_of(taken.form["Body"])),
            "num_media": "0",
            "price": "-0.00750" if is_sent else None,
            "price_unit": "USD",
            "error_code": int(taken.code) if taken.code else None,
            "error_message": None,
            "date_created": email.utils.format_datetime(taken.at),
            "date_sent": email.utils.format_datetime(taken.at) if is_sent else None,
            "date_updated": email.utils.format_datetime(taken.at),
            "uri": f"/2010-04-01/Accounts/{self.sid}/Messages/{taken.ids[0]}.json",
        }


def form_of(received: faults.Received) -> dict[str, str]:
    """The form that a request carries; each name must be there once."""
    pairs = urllib.parse.parse_qsl(
        received.body.decode(), keep_blank_values=True, strict_parsing=True, encoding="utf-8"
    )
    form = dict(pairs)
    assert len(form) == len(pairs), pairs
    return form


def query_of(received: faults.Received) -> tuple[str, dict[str, str]]:
    """Path and query of a request."""
    path, _, query = received.path.partition("?")
    return path, dict(urllib.parse.parse_qsl(query))


def parts(*each: Mapping[str, object]) -> faults.Planned:
    """Vonage's answer of these parts."""
    return as_json(200, {"message-count": str(len(each)), "messages": list(each)})


def error(status: int, code: int, message: str) -> faults.Planned:
    """Twilio's answer for what it does not take."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return as_json(status, {"code": code, "message": message, "more_info": more, "status": status})


def as_json(status: int, tree: object) -> faults.Planned:
    """An answer of JSON."""
    headers = {"Content-Type": "application/json"}
    return faults.Planned(status, headers, json.dumps(tree).encode())


def said_in_json(received: faults.Received) -> dict[str, str]:
    """The texts of the JSON object that a request carries."""
    tree: dict[str, object] = json.loads(received.body)
    return {key: value for key, value in tree.items() if isinstance(value, str)}


def basic(user: str, password: str) -> str:
    """The value of Authorization for these."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
