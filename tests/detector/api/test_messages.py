"""SMS: what is queued by a delivery, how receipts come in, and the list of messages."""

from __future__ import annotations

import pytest
import requests

from detector import errors, messages
from detector.api import receipts
from tests.detector.api.conftest import SIGNER, WEBHOOK_TOKEN, Served
from tests.detector.api.test_webhook import ALERT, MESSAGE, message


def deliver(served: Served, body: object) -> requests.Response:
    return served.send("POST", "/api/webhooks/sms", WEBHOOK_TOKEN, body)


def test_a_delivery_queues_each_change_once(served: Served) -> None:
    answer = deliver(served, MESSAGE)
    assert (answer.status_code, answer.json()) == (200, {"queued": 1})
    assert deliver(served, MESSAGE).json() == {"queued": 0}
    (told,) = served.get("/api/messages").json()["messages"]
    assert told["text"] == "FIRING HighCpu: CPU is at 93 %, web-1, since 12:00 UTC"
    assert (told["state"], told["recipient"], told["parts"]) == ("queued", "+491701234567", 1)


def test_alerts_that_cannot_be_understood_do_not_hold_up_the_others(served: Served) -> None:
    bad = {"startsAt": "yesterday"}
    answer = deliver(served, message(bad, {"fingerprint": "b" * 16}))
    assert answer.status_code == 422
    assert len(served.messages.kept) == 1
    assert deliver(served, b"{").status_code == 400
    assert served.counted == {}  # which tells of what is remembered


def test_a_store_that_is_away_is_503_so_that_it_is_delivered_again(served: Served) -> None:
    served.messages.failure = errors.StoreError("PostgreSQL: away", retryable=True)
    assert deliver(served, MESSAGE).status_code == 503
    served.messages.failure = None
    assert deliver(served, MESSAGE).json() == {"queued": 1}


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("GET", {"params": {"status": "delivered"}}),
        ("POST", {"data": {"status": "delivered"}}),
        ("POST", {"json": {"status": "delivered", "price": 0.03}}),
    ],
)
def test_receipts_come_as_a_provider_likes(
    served: Served, method: str, given: dict[str, object]
) -> None:
    deliver(served, MESSAGE)
    served.delivering.turn()
    (sent,) = served.messages.kept.values()
    url = served.url + receipts.path(SIGNER, "vonage", sent.reference)
    for changed in (True, False):
        answer = requests.request(method, url, timeout=5, **given)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()) == (200, {"changed": changed})
    assert served.messages.kept[sent.id].state is messages.State.DELIVERED


def test_receipts_that_say_nothing_change_nothing(served: Served) -> None:
    url = served.url + receipts.path(SIGNER, "vonage", "0" * 32)
    json = {"Content-Type": "application/json"}
    assert requests.post(url, data=b"{", headers=json, timeout=5).status_code == 400
    deep = b"[" * 100_000
    assert requests.post(url, data=deep, headers=json, timeout=5).status_code == 400
    assert requests.post(url, data=b"[]", headers=json, timeout=5).status_code == 422
    assert requests.post(url, data=b"\xff=1", timeout=5).status_code == 400
    assert requests.post(url, data=b"a=1&" * 101, timeout=5).status_code == 400
    assert requests.post(url, timeout=5).json() == {"changed": False}


def test_messages_are_listed_newest_first_in_pages(served: Served) -> None:
    for number in range(3):
        deliver(served, message(ALERT | {"fingerprint": f"{number}" * 16}))
        served.delivering.turn()
    first = served.get("/api/messages", limit=2).json()
    rest = served.get("/api/messages", limit=2, cursor=first["next_cursor"]).json()
    assert [each["id"] for each in first["messages"] + rest["messages"]] == [3, 2, 1]
    assert rest["next_cursor"] is None
    assert served.get("/api/messages", state="queued").json()["messages"] == []
    assert len(served.get("/api/messages", state="sent").json()["messages"]) == 3
    assert served.get("/api/messages", recipient="+490").json()["messages"] == []
    assert served.get("/api/messages", state="lost").status_code == 422


def test_all_that_became_of_a_message_is_told(served: Served) -> None:
    deliver(served, MESSAGE)
    served.delivering.turn()
    events = served.get("/api/messages/1/events").json()["events"]
    assert [each["state"] for each in events] == ["queued", "sending", "sent"]
    assert served.get("/api/messages/7/events").status_code == 404
