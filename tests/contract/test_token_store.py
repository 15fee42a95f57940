"""What every ports.TokenStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest

from detector import access, ports
from detector.store import database, migrate, tokens
from tests.factories import at, new_token
from tests.fakes.tokens import FakeTokenStore

DIGEST = access.digest_of("first")
NAMES = ("a", "b", "c", "d")


@pytest.fixture(params=["fake", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[ports.TokenStore]:
    if request.param == "fake":
        yield FakeTokenStore()
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield tokens.PostgresTokenStore(connections)
    connections.close()


def created(store: ports.TokenStore, new: access.NewToken) -> access.Token:
    token = store.create(new)
    assert token is not None
    return token


@pytest.mark.parametrize("role", access.Role)
@pytest.mark.parametrize("expires", [None, 60])
def test_token_comes_back_as_it_was_made(
    store: ports.TokenStore, role: access.Role, expires: float | None
) -> None:
    token = created(store, new_token("first", "ci", role, expires=expires))

    assert token == access.Token(
        id=token.id,
        name="ci",
        role=role,
        created_at=at(0),
        created_by="anna",
        expires_at=None if expires is None else at(expires),
        last_used_at=None,
    )
    assert store.list_tokens() == (token,)
    assert store.by_digest(DIGEST, at=at(1)) == token


def test_tokens_are_listed_oldest_first(store: ports.TokenStore) -> None:
    made = [created(store, new_token(name, name)) for name in ("z", "a", "m")]

    assert list(store.list_tokens()) == made


def test_an_empty_store_knows_no_token(store: ports.TokenStore) -> None:
    assert store.list_tokens() == ()
    assert store.by_digest(DIGEST, at=at(0)) is None
    assert store.revoke(1) is None


@pytest.mark.parametrize("position", [0, 7, 8, 31])
def test_every_byte_of_a_digest_counts(store: ports.TokenStore, position: int) -> None:
    created(store, new_token("first"))
    other = bytearray(DIGEST)
    other[position] ^= 1

    assert store.by_digest(bytes(other), at=at(0)) is None


def test_a_name_stands_for_one_token(store: ports.TokenStore) -> None:
    first = created(store, new_token("first", "ci"))

    assert store.create(new_token("second", "ci", access.Role.ADMIN)) is None
    assert store.list_tokens() == (first,)
    assert store.by_digest(access.digest_of("second"), at=at(0)) is None


def test_a_revoked_token_is_gone_and_its_name_is_free(store: ports.TokenStore) -> None:
    first, other = created(store, new_token("first")), created(store, new_token("2", "other"))

    assert store.revoke(first.id) == first
    assert store.revoke(first.id) is None
    assert store.by_digest(DIGEST, at=at(0)) is None
    assert store.list_tokens() == (other,)
    again = created(store, new_token("third"))
    assert again.id not in (first.id, other.id)


def test_expired_tokens_are_told_and_not_taken_for_used(store: ports.TokenStore) -> None:
    token = created(store, new_token("first", expires=60))

    assert store.by_digest(DIGEST, at=at(60)) == token
    assert store.list_tokens() == (token,)


def test_use_is_remembered_to_the_minute(store: ports.TokenStore) -> None:
    token = created(store, new_token("first"))
    created(store, new_token("second", "other"))

    told = []
    for seconds in (5, 64, 65, 70, 10):
        store.by_digest(DIGEST, at=at(seconds))
        told.append(store.list_tokens()[0])

    used = [5, 5, 65, 65, 65]
    assert told == [dataclasses.replace(token, last_used_at=at(seconds)) for seconds in used]
    assert store.by_digest(DIGEST, at=at(71)) == told[-1]
    assert store.list_tokens()[1].last_used_at is None


def test_of_many_that_take_a_name_at_once_one_gets_it(store: ports.TokenStore) -> None:
    won: list[access.Token] = []

    def take(number: int) -> None:
        for name in NAMES:
            token = store.create(new_token(f"{number}-{name}", name))
            if token is not None:
                won.append(token)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each.name for each in won) == list(NAMES)
    assert set(store.list_tokens()) == set(won)


def test_a_token_is_used_and_revoked_at_once_without_harm(store: ports.TokenStore) -> None:
    token = created(store, new_token("first"))
    found: list[access.Token | None] = []
    ended: list[access.Token | None] = []

    def use(number: int) -> None:
        found.extend(store.by_digest(DIGEST, at=at(61 * number + n)) for n in range(0, 610, 61))

    def end() -> None:
        ended.append(store.revoke(token.id))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=end) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 40
    assert {each.id for each in found if each is not None} <= {token.id}
    assert [None if each is None else each.id for each in ended].count(token.id) == 1
    assert store.by_digest(DIGEST, at=at(0)) is None
