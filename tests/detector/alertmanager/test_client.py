"""What is made of an Alertmanager that refuses, fails or says what cannot be read."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from detector import errors
from detector.alertmanager import client
from tests import faults, stack

SILENCE = {
    "id": "s",
    "matchers": [{"name": "a", "value": "b", "isRegex": False}],
    "startsAt": "2026-03-01T12:00:00Z",
    "endsAt": "2026-03-01T13:00:00Z",
    "createdBy": "ann",
    "comment": "a move",
}


def told(body: object) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("answer", "kind", "retryable", "said"),
    [
        (faults.Planned(400, body=told("bad \n matcher")), "refused", False, "400: bad matcher"),
        (faults.Planned(499, body=told({"code": 1})), "refused", False, "answered 499"),
        (faults.Planned(422, body=told("x" * 300)), "refused", False, f"422: {'x' * 200}"),
        (faults.Planned(500, body=b"<html>"), "status", True, "answered 500"),
        (faults.Planned(200, body=b"<html>"), "decode", True, "its alerts are not readable"),
        (faults.Planned(200, body=b"[1]"), "decode", True, "its alerts are not readable"),
        (faults.Planned(200, drops=True), "unreachable", True, "cannot be reached: is it running?"),
    ],
)
def test_what_fails_is_told_in_words_of_its_kind(
    answer: faults.Planned, kind: str, retryable: bool, said: str
) -> None:
    with (
        faults.Receiver(lambda _: answer) as server,
        pytest.raises(errors.UpstreamError) as failed,
    ):
        client.Client(server.url).held()
    assert (failed.value.kind, failed.value.retryable) == (kind, retryable)
    assert str(failed.value) == f"Alertmanager {server.url}: " + (
        said
        if kind in {"decode", "unreachable"} or said.startswith("answered")
        else f"answered {said}"
    )


def test_a_password_in_the_address_is_not_told() -> None:
    port = stack.free_port()
    with pytest.raises(errors.UpstreamError) as failed:
        client.Client(f"http://ann:canary@127.0.0.1:{port}/am/").held()
    assert str(failed.value) == (
        f"Alertmanager http://127.0.0.1:{port}/am: cannot be reached: is it running?"
    )


@pytest.mark.parametrize(
    ("status", "state", "raises"),
    [
        (404, "expired", False),
        (500, "expired", False),
        (422, None, False),
        (500, "active", True),
        (404, "pending", True),
    ],
)
def test_a_silence_that_is_over_already_is_expired_without_a_word(
    status: int, state: str | None, raises: bool
) -> None:
    known = [] if state is None else [{**SILENCE, "status": {"state": state}}]

    def answer(request: faults.Received) -> faults.Planned:
        if request.method == "DELETE":
            return faults.Planned(status)
        return faults.Planned(200, body=told(known))

    with faults.Receiver(answer) as server:
        asked = client.Client(server.url, timeout=timedelta(seconds=2))
        if raises:
            with pytest.raises(errors.UpstreamError, match=f"answered {status}"):
                asked.expire("s")
        else:
            asked.expire("s")
    assert [each.method for each in server.received] == ["DELETE", "GET"]
