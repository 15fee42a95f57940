from __future__ import annotations

from collections import Counter

import pytest

from detector import alerts, errors
from detector.services import memory
from tests.factories import at, notification
from tests.fakes.episodes import FakeEpisodeStore


class Remembering:
    """A memory.Memory over the fake store, with its counts."""

    def __init__(self) -> None:
        self.store = FakeEpisodeStore()
        self.counts: Counter[str] = Counter()
        self.memory = memory.Memory(self.store, count=self._count, clock=lambda: at(5))

    def _count(self, outcome: str, number: int) -> None:
        self.counts[outcome] += number


def test_new_and_known_notifications_are_counted_apart() -> None:
    given = Remembering()
    told = [notification("1"), notification("2")]
    assert given.memory.remember(told) == alerts.Recorded(2, 0)
    assert given.memory.remember([*told, notification("3")]) == alerts.Recorded(1, 2)
    assert given.counts == {"stored": 3, "duplicate": 2}
    (episode, *_) = given.store.list_episodes(alerts.EpisodeFilter()).episodes
    assert episode.received_at == at(5)


@pytest.mark.parametrize("retryable", [True, False])
def test_failure_is_counted_and_passed_on(retryable: bool) -> None:
    given = Remembering()
    given.store.failure = errors.StoreError("PostgreSQL: gone", retryable=retryable)
    with pytest.raises(errors.StoreError, match="gone"):
        given.memory.remember([notification("1"), notification("2")])
    assert given.counts == {"failed": 2}


def test_refusals_are_counted() -> None:
    given = Remembering()
    given.memory.refuse(3)
    assert given.counts == {"refused": 3}
