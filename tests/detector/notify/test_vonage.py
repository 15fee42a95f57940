"""Vonage against a stand-in that keeps what it took."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from detector import messages
from detector.notify import vonage
from tests import faults
from tests.detector.notify import kinds
from tests.fakes import sms

HANDED_AT = kinds.NOW - timedelta(hours=1)
SENT, DELIVERED, FAILED = messages.State.SENT, messages.State.DELIVERED, messages.State.FAILED
CANNOT_TELL, NEVER_TAKEN = messages.Lookup.CANNOT_TELL, messages.Lookup.NEVER_TAKEN


@pytest.fixture
def fake() -> Iterator[sms.FakeVonage]:
    with sms.FakeVonage(clock=lambda: HANDED_AT) as fake:
        yield fake


def made(fake: sms.FakeVonage, *, secret: str = "", sender: str = "Alerts") -> vonage.Vonage:
    return vonage.Vonage(
        key=fake.key,
        secret=secret or fake.secret,
        sender=sender,
        clock=lambda: kinds.NOW,
        base_url=fake.url,
        read_timeout=kinds.SHORT,
    )


def test_the_whole_form_arrives(fake: sms.FakeVonage) -> None:
    outcome = made(fake, sender="+491700000001").send(kinds.outgoing(text="CPU: 93 %"))

    (received,) = fake.receiver.received
    assert (received.method, received.path) == ("POST", "/sms/json")
    assert "authorization" not in received.headers
    assert sms.form_of(received) == {
        "api_key": fake.key,
        "api_secret": fake.secret,
        "from": "491700000001",
        "to": "491701234567",
        "text": "CPU: 93 %",
        "type": "text",
        "client-ref": kinds.REFERENCE,
        "status-report-req": "true",
        "callback": "https://example.org/receipts/1",
    }
    assert outcome == messages.Accepted("0A00000001000000", 0.0333)


def test_wide_characters_are_told_of_and_no_receipt_is_asked_for_to_nowhere(
    fake: sms.FakeVonage,
) -> None:
    made(fake).send(kinds.outgoing(callback_url=None))

    form = fake.taken[0].form
    assert (form["from"], form["text"], form["type"]) == ("Alerts", kinds.TEXT, "unicode")
    assert (form["status-report-req"], form.get("callback")) == ("false", None)


def test_a_callback_that_is_too_long_costs_the_receipts_not_the_message(
    fake: sms.FakeVonage,
) -> None:
    outcome = made(fake).send(kinds.outgoing(callback_url="https://example.org/" + "x" * 90))

    assert isinstance(outcome, messages.Accepted)
    assert "more than 100 characters" in outcome.reason
    assert "callback" not in fake.taken[0].form


def test_the_price_is_that_of_all_parts(fake: sms.FakeVonage) -> None:
    outcome = made(fake).send(kinds.outgoing(text="a" * 400))
    assert outcome == messages.Accepted("0A00000001000000", 0.0999)


OK = {"status": "0", "message-id": "0A01", "message-price": "0.0333"}


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [
        (
            [{"status": "1", "error-text": "Throughput Rate Exceeded"}],
            messages.Refused("status 1: Throughput Rate Exceeded", again=True),
        ),
        (
            [{"status": "5", "error-text": "Internal Error"}] * 2,
            messages.Refused("status 5: Internal Error", again=True),
        ),
        (
            [{"status": "10", "error-text": "Too Many Binds"}],
            messages.Refused("status 10: Too Many Binds", again=True),
        ),
        *(
            (
                [{"status": status, "error-text": "No\nway"}],
                messages.Refused(f"status {status}: No way"),
            )
            for status in (2, "3", "4", "6", "7", "8", "9", "11", "15", "22", "23", "29", "new")
        ),
        (
            [{"status": "1", "error-text": "Slow"}, {"status": "7", "error-text": "Barred"}],
            messages.Refused("status 1: Slow; status 7: Barred"),
        ),
        (
            [OK, {"status": "5", "error-text": "Internal Error"}, {"error-text": "?"}],
            messages.Accepted(
                "0A01",
                0.0333,
                "2 of 3 parts refused: status 5: Internal Error: status missing: ?",
            ),
        ),
        ([{"status": 0, "message-id": "0A01"}], messages.Accepted("0A01", None)),
        ([OK, {"status": "0"}], messages.Accepted("0A01", None)),
        ([{**OK, "message-price": "NaN"}], messages.Accepted("0A01", None)),
        ([{**OK, "message-id": "x\0\n"}], messages.Accepted("", 0.0333)),
        (
            [{"status": "1"}, {"status": None}],
            messages.Unclear("an answer that does not tell whether the message was taken"),
        ),
    ],
)
def test_success_is_in_the_body(
    fake: sms.FakeVonage, parts: list[dict[str, object]], outcome: messages.Outcome
) -> None:
    fake.plan(sms.parts(*parts))
    assert made(fake).send(kinds.outgoing()) == outcome


def test_wrong_credentials_are_told_of_without_them(fake: sms.FakeVonage) -> None:
    provider = made(fake, secret="canary-wrong-secret")
    assert provider.send(kinds.outgoing()) == messages.Refused("status 4: Bad Credentials")
    assert provider.find(kinds.outgoing()) is CANNOT_TELL


def test_records_are_asked_for_by_our_reference(fake: sms.FakeVonage) -> None:
    made(fake).find(kinds.outgoing())

    (received,) = fake.receiver.received
    path, query = sms.query_of(received)
    assert (received.method, path, received.body) == ("GET", "/v2/reports/records", b"")
    assert received.headers["authorization"] == sms.basic(fake.key, fake.secret)
    assert query == {
        "account_id": fake.key,
        "product": "SMS",
        "direction": "outbound",
        "client_ref": kinds.REFERENCE,
        "date_start": "2026-11-30T10:50:00Z",
        "date_end": "2026-11-30T11:10:00Z",
    }


def test_records_of_a_message_that_was_tried_for_days_are_of_the_last_day(
    fake: sms.FakeVonage,
) -> None:
    tried = kinds.outgoing(handed_at=HANDED_AT - timedelta(days=3), last_handed_at=HANDED_AT)
    made(fake).send(tried)
    assert made(fake).find(tried) == messages.Receipt(
        SENT, fake.taken[0].ids[0], "", 0.0333, kinds.REFERENCE
    )


@pytest.mark.parametrize("fault", ["silence", "reset"])
def test_a_message_whose_answer_was_lost_is_found_and_not_doubled(
    fake: sms.FakeVonage, fault: str
) -> None:
    if fault == "silence":
        fake.plan_silence()
    else:
        fake.plan(faults.Planned(200, drops=True), takes=True)
    provider, message = made(fake), kinds.outgoing(text="CPU")

    assert isinstance(provider.send(message), messages.Unclear)
    assert provider.find(message) == messages.Receipt(
        SENT, "0A00000001000000", "", 0.0333, kinds.REFERENCE
    )
    assert len(fake.taken) == 1


def test_a_message_that_was_lost_on_the_way_was_never_taken(fake: sms.FakeVonage) -> None:
    provider, message = made(fake), kinds.outgoing()
    provider.send(kinds.outgoing(reference="f" * 32))
    fake.plan(faults.Planned(200, drops=True))

    assert isinstance(provider.send(message), messages.Unclear)
    assert provider.find(message) is NEVER_TAKEN
    assert len(fake.taken) == 1


def test_it_is_too_early_to_say_so_just_after(fake: sms.FakeVonage) -> None:
    early = kinds.NOW - vonage.SETTLES + timedelta(seconds=1)
    provider = made(fake)
    assert provider.find(kinds.outgoing(handed_at=early)) is CANNOT_TELL
    assert provider.find(kinds.outgoing(last_handed_at=early)) is CANNOT_TELL
    assert provider.find(kinds.outgoing(handed_at=kinds.NOW - vonage.SETTLES)) is NEVER_TAKEN


def record(status: object, code: str = "0", **more: object) -> dict[str, object]:
    return {
        "client_ref": kinds.REFERENCE,
        "message_id": "0A01",
        "status": status,
        "error_code": code,
        "total_price": "0.5",
        **more,
    }


@pytest.mark.parametrize(
    ("records", "status", "found"),
    [
        ([record("delivered")], "SUCCESS", (DELIVERED, "", 0.5)),
        ([record("delivered")] * 3, "SUCCESS", (DELIVERED, "", 1.5)),
        ([record("delivered"), record("accepted")], "SUCCESS", (SENT, "", 1.0)),
        ([record("unheard of")], "SUCCESS", (SENT, "", 0.5)),
        ([record(None, total_price=None)], "SUCCESS", (SENT, "", None)),
        (
            [record("failed", "2"), record("rejected", "999", error_code_description="Odd")],
            "SUCCESS",
            (FAILED, "failed, code 2: phone off or out of reach: rejected, code 999: Odd", 1.0),
        ),
        (
            [record("delivered"), record("expired", "8")],
            "SUCCESS",
            (DELIVERED, "1 of 2 parts: expired, code 8: network error", 1.0),
        ),
        ([record("delivered")], "TRUNCATED", (DELIVERED, "", 0.5)),
    ],
)
def test_records_say_what_became_of_it(
    records: list[dict[str, object]],
    status: str,
    found: tuple[messages.State, str, float | None],
) -> None:
    others = [{**record("failed"), "client_ref": "another"}, {}]
    tree = {"request_status": status, "records": others + records}
    with kinds.answering(sms.as_json(200, tree)) as server:
        provider = kinds.KINDS["vonage"].made(server.url)
        state, reason, price = found
        assert provider.find(kinds.outgoing()) == messages.Receipt(
            state, "0A01", reason, price, kinds.REFERENCE
        )


@pytest.mark.parametrize("status", ["TRUNCATED", "PENDING", None])
def test_records_that_are_not_all_do_not_say_that_it_was_never_taken(status: str | None) -> None:
    tree: dict[str, object] = {"request_status": status, "records": []}
    with kinds.answering(sms.as_json(200, tree)) as server:
        assert kinds.KINDS["vonage"].made(server.url).find(kinds.outgoing()) is CANNOT_TELL


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        ("delivered", "0", DELIVERED, ""),
        ("expired", "1", FAILED, "expired, code 1"),
        ("failed", "2", FAILED, "failed, code 2: phone off or out of reach"),
        ("rejected", "6", FAILED, "rejected, code 6: taken for spam by the carrier"),
        ("accepted", "0", SENT, "accepted"),
        ("buffered", "0", SENT, "buffered"),
        ("unknown", "0", SENT, "unknown"),
    ],
)
def test_a_receipt_of_each_status(
    fake: sms.FakeVonage, status: str, code: str, state: messages.State, reason: str
) -> None:
    provider = made(fake)
    provider.send(kinds.outgoing(text="a" * 200))
    (taken,) = fake.taken
    taken.status, taken.code = status, code

    assert [provider.receipt(form) for form in fake.receipts(taken)] == [
        messages.Receipt(state, part, reason, None, kinds.REFERENCE) for part in taken.ids
    ]


def test_receipts_reach_whoever_is_named_in_the_form(fake: sms.FakeVonage) -> None:
    provider = made(fake)
    with kinds.answering(faults.Planned(200)) as ours:
        provider.send(kinds.outgoing(callback_url=f"{ours.url}/receipts", text="CPU"))
        (taken,) = fake.taken
        taken.status = "delivered"
        fake.call_back(taken, taken.form["callback"])
        (received,) = ours.received

    assert provider.receipt(sms.form_of(received)) == messages.Receipt(
        DELIVERED, "0A00000001000000", reference=kinds.REFERENCE
    )


def test_a_receipt_is_made_fit_to_keep() -> None:
    provider = kinds.KINDS["vonage"].made("http://127.0.0.1:1")
    form = {
        "messageId": "0A01",
        "client-ref": "\x1b[31m",
        "status": "failed",
        "err-code": f"7\n{kinds.SECRET}" + "x" * 1_000,
    }
    receipt = provider.receipt(form)

    assert receipt is not None
    assert (receipt.provider_id, receipt.reference, len(receipt.reason)) == ("0A01", "", 300)
    assert receipt.reason.startswith("failed, code 7 ***xx")
