from __future__ import annotations

import itertools

import pytest

from detector import alerts
from detector.services import portions
from tests.factories import at, notification
from tests.fakes.episodes import FakeEpisodeStore


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[alerts.Notification]:
    monkeypatch.setattr(portions, "SIZE", 3)
    return [notification(starts_at=at(number)) for number in range(7)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 7])
def test_pages_hold_all_that_is_wanted_once(told: list[alerts.Notification], count: int) -> None:
    store = FakeEpisodeStore()
    store.record(told[:count], received_at=at(100))
    found = list(portions.pages(store, alerts.EpisodeFilter()))
    starts = [each.starts_at for each in itertools.chain.from_iterable(found)]
    assert starts == [at(number) for number in reversed(range(count))]
    assert [len(each) for each in found[:-1]] == [3] * (max(count - 1, 0) // 3)


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (7, [3, 3, 1])])
def test_parts_are_in_order(told: list[alerts.Notification], count: int, sizes: list[int]) -> None:
    found = list(portions.parts(told[:count]))
    assert [len(each) for each in found] == sizes
    assert list(itertools.chain.from_iterable(found)) == told[:count]
