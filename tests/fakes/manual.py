"""ports.ManualStore and ports.LinkStore in memory, held to the same suites as PostgreSQL's."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from detector import alerts, errors


class FakeManualStore:
    """Keeps them in a dict."""

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self.kept: dict[int, alerts.Manual] = {}
        self._last_id = 0

    def add(self, new: alerts.Manual, *, at: datetime) -> alerts.Manual | None:
        self._end_what_is_over(at)
        fire = [each.fingerprint for each in self.kept.values() if each.ended_at is None]
        if new.fingerprint in fire:
            return None
        self._last_id += 1
        self.kept[self._last_id] = dataclasses.replace(new, id=self._last_id)
        return self.kept[self._last_id]

    def drop(self, manual_id: int) -> None:
        self._fail()
        self.kept.pop(manual_id, None)

    def firing(self, key: alerts.Key) -> alerts.Manual | None:
        self._fail()
        found = [each for each in self.kept.values() if each.key == key and each.ended_at is None]
        return found[0] if found else None

    def end(self, manual_id: int, *, at: datetime) -> bool:
        self._fail()
        known = self.kept.get(manual_id)
        if known is None or known.ended_at is not None:
            return False
        self.kept[manual_id] = dataclasses.replace(known, ended_at=at)
        return True

    def due(self, *, ended_since: datetime, at: datetime) -> tuple[alerts.Manual, ...]:
        self._end_what_is_over(at)
        return tuple(
            each
            for _, each in sorted(self.kept.items())
            if each.ended_at is None or each.ended_at >= ended_since
        )

    def _end_what_is_over(self, at: datetime) -> None:
        self._fail()
        for number, each in self.kept.items():
            if each.ended_at is None and each.until <= at:
                self.kept[number] = dataclasses.replace(each, ended_at=each.until)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeLinkStore:
    """Keeps them in a dict."""

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self._used: dict[str, tuple[alerts.LinkUse, datetime]] = {}

    def use_of(self, signature: str) -> alerts.LinkUse | None:
        self._fail()
        found = self._used.get(signature)
        return None if found is None else found[0]

    def use(self, signature: str, use: alerts.LinkUse, *, expires: datetime) -> bool:
        self._fail()
        self._used = {name: each for name, each in self._used.items() if each[1] > use.at}
        if signature in self._used:
            return False
        self._used[signature] = use, expires
        return True

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
