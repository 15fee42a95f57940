"""Tokens of the API in PostgreSQL."""

from __future__ import annotations

import dataclasses
import hmac
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import access
from detector.store import database, tables

SELECTOR_BYTES = 8
"""Of a digest, by which its row is found; how long that takes tells nothing of the others."""

_TOKENS = tables.tokens
_SHOWN = [_TOKENS.c[field.name] for field in dataclasses.fields(access.Token)]


class PostgresTokenStore:
    """ports.TokenStore in PostgreSQL; threads may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def create(self, new: access.NewToken) -> access.Token | None:
        """Insert one row unless its name is taken."""
        insert = (
            postgresql.insert(_TOKENS)
            .values(
                selector=new.digest[:SELECTOR_BYTES],
                verifier=new.digest[SELECTOR_BYTES:],
                name=new.name,
                role=new.role.value,
                created_at=new.created_at,
                created_by=new.created_by,
                expires_at=new.expires_at,
            )
            .on_conflict_do_nothing(constraint="tokens_name_key")
            .returning(*_SHOWN)
        )
        with self._database.begin() as connection:
            row = connection.execute(insert).one_or_none()
        return None if row is None else _token(row)

    def list_tokens(self) -> tuple[access.Token, ...]:
        """Every row."""
        with self._database.begin() as connection:
            rows = connection.execute(sa.select(*_SHOWN).order_by(_TOKENS.c.id)).all()
        return tuple(_token(row) for row in rows)

    def revoke(self, token_id: int) -> access.Token | None:
        """Delete the row."""
        delete = _TOKENS.delete().where(_TOKENS.c.id == token_id).returning(*_SHOWN)
        with self._database.begin() as connection:
            row = connection.execute(delete).one_or_none()
        return None if row is None else _token(row)

    def by_digest(self, digest: bytes, *, at: datetime) -> access.Token | None:
        """Find the row by its selector, then compare the rest."""
        start, rest = digest[:SELECTOR_BYTES], digest[SELECTOR_BYTES:]
        query: sa.Select[Any] = sa.select(_TOKENS).where(_TOKENS.c.selector == start)
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
            if row is None or not hmac.compare_digest(row.verifier, rest):
                return None
            found = _token(row)
            if found.is_use_news(at):
                connection.execute(
                    _TOKENS.update().where(_TOKENS.c.id == found.id).values(last_used_at=at)
                )
        return found


def _token(row: sa.Row[Any]) -> access.Token:
    return access.Token(
        id=row.id,
        name=row.name,
        role=access.Role(row.role),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
