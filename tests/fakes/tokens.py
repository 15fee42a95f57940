"""ports.TokenStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
import hmac
import threading
from datetime import datetime

from detector import access, errors


class FakeTokenStore:
    """Keeps tokens in a dict; threads may share it."""

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self.lookups = 0
        """How often by_digest was asked."""
        self._tokens: dict[int, access.Token] = {}
        self._digests: dict[int, bytes] = {}
        self._last_id = 0
        self._lock = threading.Lock()

    def create(self, new: access.NewToken) -> access.Token | None:
        with self._lock:
            self._fail()
            if any(each.name == new.name for each in self._tokens.values()):
                return None
            self._last_id += 1
            token = access.Token(
                id=self._last_id,
                name=new.name,
                role=new.role,
                created_at=new.created_at,
                created_by=new.created_by,
                expires_at=new.expires_at,
                last_used_at=None,
            )
            self._tokens[token.id] = token
            self._digests[token.id] = new.digest
            return token

    def list_tokens(self) -> tuple[access.Token, ...]:
        with self._lock:
            self._fail()
            return tuple(self._tokens.values())

    def revoke(self, token_id: int) -> access.Token | None:
        with self._lock:
            self._fail()
            self._digests.pop(token_id, None)
            return self._tokens.pop(token_id, None)

    def by_digest(self, digest: bytes, *, at: datetime) -> access.Token | None:
        with self._lock:
            self.lookups += 1
            self._fail()
            for token_id, known in self._digests.items():
                if hmac.compare_digest(known, digest):
                    found = self._tokens[token_id]
                    if found.is_use_news(at):
                        self._tokens[token_id] = dataclasses.replace(found, last_used_at=at)
                    return found
            return None

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
