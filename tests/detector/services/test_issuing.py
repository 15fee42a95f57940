from __future__ import annotations

from datetime import timedelta

import pytest

from detector import access
from detector.services import issuing
from tests.factories import T0, at
from tests.fakes.tokens import FakeTokenStore


def issue(
    store: FakeTokenStore, text: str, lifetime: timedelta | None = None
) -> access.Token | None:
    return issuing.issue(
        store, text, name="ci", role=access.Role.OPERATOR, lifetime=lifetime, by="anna", at=T0
    )


def test_no_two_drawn_tokens_are_alike_and_all_have_their_form() -> None:
    drawn = [issuing.draw() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(map(access.is_token, drawn))


@pytest.mark.parametrize(("lifetime_s", "expires_s"), [(None, None), (90, 90)])
def test_issued_token_is_found_by_its_text(
    lifetime_s: float | None, expires_s: float | None
) -> None:
    store, text = FakeTokenStore(), issuing.draw()

    token = issue(store, text, None if lifetime_s is None else timedelta(seconds=lifetime_s))

    assert token is not None
    assert token.expires_at == (None if expires_s is None else at(expires_s))
    assert (token.name, token.role, token.created_by) == ("ci", access.Role.OPERATOR, "anna")
    assert token.created_at == T0
    assert store.by_digest(access.digest_of(text), at=T0) == token


def test_name_that_is_taken_is_none() -> None:
    store = FakeTokenStore()
    issue(store, issuing.draw())

    assert issue(store, issuing.draw()) is None
