"""Who bears a token of the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from detector import access, ports

REMEMBERED_FOR = timedelta(seconds=5)
"""A revoked token is refused after that at the latest."""
REMEMBERED_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Known:
    token: access.Token
    asked_at: datetime


class Callers:
    """Tells who bears a token; threads may share it.

    A token that the store knows is remembered for REMEMBERED_FOR, by its digest, so that its next
    requests cost no query. What the store does not know is never remembered: nobody can fill the
    memory with made-up tokens.
    """

    def __init__(self, store: ports.TokenStore, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._lock = threading.Lock()

    def bearer_of(self, text: str) -> access.Caller | None:
        """Who bears the token of this text; None if it is unknown, expired or revoked.

        Raises StoreError.
        """
        if not access.is_token(text):
            return None
        now = self._clock()
        token = self._token(access.digest_of(text), now)
        return None if token is None or token.is_expired(now) else token.caller

    def _token(self, digest: bytes, now: datetime) -> access.Token | None:
        """A dict compares whole digests only of equal hashes, whose seed nobody outside knows."""
        known = self._known.get(digest)
        # A clock that was put back must not make a token live longer.
        if known is not None and known.asked_at <= now < known.asked_at + REMEMBERED_FOR:
            return known.token
        token = self._store.by_digest(digest, at=now)
        with self._lock:
            self._known.pop(digest, None)
            if token is not None:
                if len(self._known) >= REMEMBERED_MOST:
                    del self._known[next(iter(self._known))]
                self._known[digest] = _Known(token, now)
        return token
