from __future__ import annotations

import pytest
import sqlalchemy as sa

from detector import errors
from detector.store import database, tables, tokens
from tests.factories import T0, at, new_token

TOKEN = {
    "selector": bytes(8),
    "verifier": bytes(24),
    "name": "ci",
    "role": "viewer",
    "created_at": T0,
    "created_by": "anna",
}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"selector": bytes(7)}, "tokens_digest_check"),
        ({"verifier": bytes(25)}, "tokens_digest_check"),
        ({"name": "token file"}, "tokens_name_check"),
        ({"name": "ci\n"}, "tokens_name_check"),
        ({"name": ""}, "tokens_name_check"),
        ({"role": "root"}, "tokens_role_check"),
        ({"expires_at": T0}, "tokens_end_after_creation_check"),
    ],
)
def test_database_refuses_a_row_that_cannot_be(
    connections: database.Database, wrong: dict[str, object], constraint: str
) -> None:
    with pytest.raises(errors.StoreError, match=constraint), connections.begin() as connection:
        connection.execute(tables.tokens.insert().values(TOKEN | wrong))


def test_a_digest_is_stored_once(connections: database.Database) -> None:
    store = tokens.PostgresTokenStore(connections)
    store.create(new_token("one", "a"))

    with pytest.raises(errors.StoreError, match="tokens_selector_key") as caught:
        store.create(new_token("one", "b"))
    assert not caught.value.retryable


def test_the_text_of_a_token_is_not_in_its_row(connections: database.Database) -> None:
    text = "mda_canary-text-of-a-token"
    tokens.PostgresTokenStore(connections).create(new_token(text, expires=60))

    with connections.begin() as connection:
        row = connection.execute(sa.select(tables.tokens)).one()
    assert text not in str(row)
    assert text.encode() not in bytes(row.selector) + bytes(row.verifier)


def test_use_within_a_minute_writes_nothing(connections: database.Database) -> None:
    store = tokens.PostgresTokenStore(connections)
    new = new_token()
    store.create(new)

    def version() -> int:
        """Of the row: the transaction that wrote it last."""
        with connections.begin() as connection:
            found: int = connection.execute(sa.text("SELECT xmin::text::bigint FROM tokens")).one()[
                0
            ]
        return found

    store.by_digest(new.digest, at=at(1))
    before = version()
    for seconds in (2, 30, 60):
        store.by_digest(new.digest, at=at(seconds))

    assert version() == before
