"""Twilio against a stand-in that keeps what it took."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from detector import errors, messages
from detector.notify import twilio
from tests import faults
from tests.detector.notify import kinds
from tests.fakes import sms

HANDED_AT = kinds.NOW - timedelta(hours=1)
SENT, DELIVERED, FAILED = messages.State.SENT, messages.State.DELIVERED, messages.State.FAILED
CANNOT_TELL, NEVER_TAKEN = messages.Lookup.CANNOT_TELL, messages.Lookup.NEVER_TAKEN
FIRST = f"SM{1:032x}"


@pytest.fixture
def fake() -> Iterator[sms.FakeTwilio]:
    with sms.FakeTwilio(clock=lambda: HANDED_AT) as fake:
        yield fake


def made(fake: sms.FakeTwilio, *, secret: str = "", sender: str = "+15005550006") -> twilio.Twilio:
    return twilio.Twilio(
        key=fake.sid,
        secret=secret or fake.token,
        sender=sender,
        clock=lambda: kinds.NOW,
        base_url=fake.url,
        read_timeout=kinds.SHORT,
    )


def test_the_whole_form_arrives(fake: sms.FakeTwilio) -> None:
    assert made(fake).send(kinds.outgoing()) == messages.Accepted(FIRST)

    (received,) = fake.receiver.received
    assert (received.method, received.path) == ("POST", fake.path)
    assert received.headers["authorization"] == sms.basic(fake.sid, fake.token)
    assert sms.form_of(received) == {
        "To": "+491701234567",
        "From": "+15005550006",
        "Body": kinds.TEXT,
        "StatusCallback": "https://example.org/receipts/1",
    }


def test_a_messaging_service_may_send(fake: sms.FakeTwilio) -> None:
    service = "MG" + "0a" * 16
    made(fake, sender=service).send(kinds.outgoing(text="CPU", callback_url=None))
    assert fake.taken[0].form == {
        "To": "+491701234567",
        "MessagingServiceSid": service,
        "Body": "CPU",
    }


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            sms.error(400, 21211, "Invalid 'To'\nPhone Number"),
            messages.Refused("HTTP 400: code 21211: Invalid 'To' Phone Number"),
        ),
        (
            sms.error(429, 20429, "Too Many Requests"),
            messages.Refused("HTTP 429: code 20429: Too Many Requests", again=True),
        ),
        (
            sms.as_json(201, {"sid": "SM1", "status": "failed", "error_code": 30007}),
            messages.Refused("failed, code 30007: taken for spam by the carrier"),
        ),
        (
            sms.as_json(201, {"sid": "SM1", "status": "accepted", "price": "-0.0075"}),
            messages.Accepted("SM1", 0.0075),
        ),
        (
            sms.as_json(200, {"sid": "SM1", "price": {}}),
            messages.Accepted("SM1"),
        ),
    ],
)
def test_an_answer_is_understood(
    fake: sms.FakeTwilio, answer: faults.Planned, outcome: messages.Outcome
) -> None:
    fake.plan(answer)
    assert made(fake).send(kinds.outgoing()) == outcome


def test_wrong_credentials_are_told_of_without_them(fake: sms.FakeTwilio) -> None:
    provider = made(fake, secret="canary-wrong-token")
    outcome = provider.send(kinds.outgoing())
    assert outcome == messages.Refused("HTTP 401: code 20003: Authenticate")
    assert provider.find(kinds.outgoing()) is CANNOT_TELL


def test_a_key_that_is_no_sid_is_not_shown() -> None:
    with pytest.raises(errors.ConfigError, match="twilio: api_key: the account's SID") as raised:
        twilio.Twilio(key="canary", secret="x", sender="y", clock=lambda: kinds.NOW)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("fault", ["silence", "reset"])
def test_a_message_whose_answer_was_lost_is_found_and_not_doubled(
    fake: sms.FakeTwilio, fault: str
) -> None:
    if fault == "silence":
        fake.plan_silence()
    else:
        fake.plan(faults.Planned(201, drops=True), takes=True)
    provider, message = made(fake), kinds.outgoing()

    assert isinstance(provider.send(message), messages.Unclear)
    assert provider.find(message) == messages.Receipt(SENT, FIRST)
    assert len(fake.taken) == 1


def test_a_message_that_was_lost_on_the_way_was_never_taken(fake: sms.FakeTwilio) -> None:
    provider, message = made(fake), kinds.outgoing()
    provider.send(kinds.outgoing(text="another text"))
    provider.send(kinds.outgoing(recipient="+491709999999"))
    fake.plan(faults.Planned(201, drops=True))

    assert isinstance(provider.send(message), messages.Unclear)
    assert provider.find(message) is NEVER_TAKEN
    assert len(fake.taken) == 2


def test_the_list_is_asked_by_recipient_alone(fake: sms.FakeTwilio) -> None:
    made(fake).find(kinds.outgoing())
    (received,) = fake.receiver.received
    assert sms.query_of(received) == (fake.path, {"To": "+491701234567", "PageSize": "1000"})


def test_it_is_too_early_to_say_so_just_after(fake: sms.FakeTwilio) -> None:
    early = kinds.NOW - twilio.SETTLES + timedelta(seconds=1)
    provider = made(fake)
    assert provider.find(kinds.outgoing(handed_at=early)) is CANNOT_TELL
    assert provider.find(kinds.outgoing(last_handed_at=early)) is CANNOT_TELL
    assert provider.find(kinds.outgoing(handed_at=kinds.NOW - twilio.SETTLES)) is NEVER_TAKEN


def test_an_account_on_trial_says_so_before_each_text(fake: sms.FakeTwilio) -> None:
    fake.prefix = "Sent from your Twilio trial account - "
    provider = made(fake)
    provider.send(kinds.outgoing())
    assert provider.find(kinds.outgoing()) == messages.Receipt(SENT, FIRST)


def listed(body: str, at: datetime = HANDED_AT, **more: object) -> dict[str, object]:
    return {
        "sid": "SM7",
        "body": body,
        "direction": "outbound-api",
        "status": "delivered",
        "price": "-0.015",
        "date_created": email.utils.format_datetime(at),
        **more,
    }


FOUND = messages.Receipt(DELIVERED, "SM7", "", 0.015)
LONG_AGO = HANDED_AT - timedelta(minutes=6)


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ([listed("CPU is \u2018hot\u2019")], FOUND),
        ([listed("CPU is 'hot' ")], FOUND),
        ([listed("CPU is 'cold'")], NEVER_TAKEN),
        ([listed("CPU is 'hot'", LONG_AGO)], NEVER_TAKEN),
        ([listed("CPU is 'hot'", HANDED_AT - timedelta(minutes=4))], FOUND),
        ([listed("CPU is 'hot'", direction="inbound")], NEVER_TAKEN),
        ([listed("CPU is 'hot'", date_created=None)], FOUND),
        ([listed("CPU is 'hot'", date_created="yesterday")], FOUND),
        ([listed("CPU is 'hot'", status="new one")], messages.Receipt(SENT, "SM7", "", 0.015)),
        (
            [listed("CPU is 'hot'", status="undelivered", error_code=30003, price=None)],
            messages.Receipt(FAILED, "SM7", "undelivered, code 30003: phone off or out of reach"),
        ),
        (
            [
                listed("CPU is 'hot'", status="failed", error_message="no"),
                listed("CPU is 'hot'", sid="SM8", status="sent"),
            ],
            messages.Receipt(SENT, "SM8", "", 0.015),
        ),
        ([], NEVER_TAKEN),
    ],
)
def test_a_message_is_known_by_text_and_time(
    page: list[dict[str, object]],
    found: messages.Receipt | messages.Lookup,
) -> None:
    tree = {"messages": page, "next_page_uri": None}
    with kinds.answering(sms.as_json(200, tree)) as server:
        provider = kinds.KINDS["twilio"].made(server.url)
        assert provider.find(kinds.outgoing(text="CPU is 'hot'")) == found


@pytest.mark.parametrize(("oldest", "found"), [(HANDED_AT, CANNOT_TELL), (LONG_AGO, NEVER_TAKEN)])
def test_a_page_that_does_not_reach_back_so_far_does_not_say(
    oldest: datetime, found: messages.Lookup
) -> None:
    tree = {"messages": [listed("other"), listed("other", oldest)], "next_page_uri": "/2010?Page=1"}
    with kinds.answering(sms.as_json(200, tree)) as server:
        assert kinds.KINDS["twilio"].made(server.url).find(kinds.outgoing()) is found
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        ("accepted", "", SENT, ""),
        ("scheduled", "", SENT, ""),
        ("queued", "", SENT, ""),
        ("sending", "", SENT, ""),
        ("sent", "", SENT, ""),
        ("delivered", "", DELIVERED, ""),
        ("read", "", DELIVERED, ""),
        ("canceled", "", FAILED, "canceled"),
        (
            "undelivered",
            "30005",
            FAILED,
            "undelivered, code 30005: number unknown or no longer in use",
        ),
        ("failed", "30999", FAILED, "failed, code 30999"),
    ],
)
def test_a_receipt_of_each_status(
    fake: sms.FakeTwilio, status: str, code: str, state: messages.State, reason: str
) -> None:
    provider = made(fake)
    with kinds.answering(faults.Planned(200)) as ours:
        provider.send(kinds.outgoing(callback_url=f"{ours.url}/receipts"))
        (taken,) = fake.taken
        taken.status, taken.code = status, code
        fake.call_back(taken, taken.form["StatusCallback"])
        (received,) = ours.received

    assert provider.receipt(sms.form_of(received)) == messages.Receipt(state, FIRST, reason)


@pytest.mark.parametrize("status", ["receiving", "received", "partially_delivered", ""])
def test_other_callbacks_are_no_receipts(fake: sms.FakeTwilio, status: str) -> None:
    assert made(fake).receipt({"MessageSid": "SM1", "MessageStatus": status}) is None
