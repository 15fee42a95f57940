from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from detector import access, errors
from detector.services import callers, issuing
from tests.factories import T0, new_token
from tests.fakes.tokens import FakeTokenStore

LATER = callers.REMEMBERED_FOR


class Known:
    """A store of one token, and a clock to put."""

    def __init__(self, expires_s: float | None = None) -> None:
        self.now = T0
        self.text = issuing.draw()
        self.store = FakeTokenStore()
        token = self.store.create(new_token(self.text, "ci", expires=expires_s))
        assert token is not None
        self.id = token.id
        self.callers = callers.Callers(self.store, clock=self.clock)

    def clock(self) -> datetime:
        return self.now

    def name(self, text: str | None = None) -> str | None:
        """Of who bears the token."""
        found = self.callers.bearer_of(text or self.text)
        return None if found is None else found.name


def test_bearer_is_told_with_the_role_of_its_token() -> None:
    known = Known()
    assert known.callers.bearer_of(known.text) == access.Caller("ci", access.Role.VIEWER)


def test_many_requests_cost_one_query_until_the_memory_ends() -> None:
    known = Known()
    for _ in range(50):
        assert known.name() == "ci"
    assert known.store.lookups == 1

    known.now = T0 + LATER
    assert known.name() == "ci"
    assert known.store.lookups == 2


def test_revoked_token_is_refused_when_the_memory_of_it_ends() -> None:
    known = Known()
    known.name()
    known.store.revoke(known.id)

    known.now = T0 + LATER - timedelta(microseconds=1)
    assert known.name() == "ci"
    known.now = T0 + LATER
    assert known.name() is None


def test_token_expires_at_its_instant_though_it_is_remembered() -> None:
    known = Known(expires_s=2)
    assert known.name() == "ci"
    known.now = T0 + timedelta(seconds=2)
    assert known.name() is None
    assert known.store.lookups == 1


def test_clock_that_is_put_back_lengthens_no_memory() -> None:
    known = Known()
    known.name()
    known.store.revoke(known.id)

    known.now = T0 - timedelta(hours=1)
    assert known.name() is None


def test_unknown_tokens_are_asked_for_each_time_and_never_remembered() -> None:
    known = Known()
    text = issuing.draw()
    for _ in range(3):
        assert known.name(text) is None
    assert known.store.lookups == 3
    known.store.create(new_token(text, "late"))
    assert known.name(text) == "late"


@pytest.mark.parametrize(
    "text", ["", "x", "mda_", "canary-token-of-a-file", "mda_" + "x" * 44, "mda_" + "\udcff" * 43]
)
def test_what_cannot_be_a_token_of_ours_costs_no_query(text: str) -> None:
    known = Known()
    known.store.failure = errors.StoreError("PostgreSQL: gone", retryable=True)

    assert known.callers.bearer_of(text) is None
    assert known.store.lookups == 0


def test_store_that_is_down_is_told_once_the_memory_ends() -> None:
    known = Known()
    known.name()
    known.store.failure = errors.StoreError("PostgreSQL: gone", retryable=True)

    assert known.name() == "ci"
    known.now = T0 + LATER
    with pytest.raises(errors.StoreError):
        known.name()
    known.store.failure = None
    assert known.name() == "ci"


def test_memory_has_a_most_beyond_which_the_oldest_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers, "REMEMBERED_MOST", 3)
    known = Known()
    texts = [issuing.draw() for _ in range(3)]
    for number, text in enumerate(texts):
        known.store.create(new_token(text, f"n{number}"))

    for text in (known.text, *texts):
        known.name(text)
    for text in texts:
        known.name(text)
    assert known.store.lookups == 4
    known.name()
    assert known.store.lookups == 5


def test_threads_share_it() -> None:
    known = Known()
    texts = [issuing.draw() for _ in range(20)]
    for number, text in enumerate(texts):
        known.store.create(new_token(text, f"n{number}"))
    wrong: list[object] = []

    def ask(first: int) -> None:
        for number in range(first, first + 200):
            if known.name(texts[number % 20]) != f"n{number % 20}":
                wrong.append(number)
            known.now += timedelta(milliseconds=100)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
