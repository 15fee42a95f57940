"""What every ports.DeliveryStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from detector import alerts, ports
from detector.store import database, deliveries, episodes, migrate
from tests.factories import at, delivery, notification
from tests.fakes.deliveries import FakeDeliveryStore
from tests.fakes.episodes import FakeEpisodeStore

Stores = tuple[ports.DeliveryStore, ports.EpisodeStore]


@pytest.fixture(params=["fake", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "fake":
        remembered = FakeEpisodeStore()
        yield FakeDeliveryStore(lambda key: remembered.episode_of(key) is not None), remembered
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield (
        deliveries.PostgresDeliveryStore(connections),
        episodes.PostgresEpisodeStore(connections),
    )
    connections.close()


@pytest.fixture
def store(stores: Stores) -> ports.DeliveryStore:
    return stores[0]


def test_what_was_told_of_an_episode_is_found_in_its_order(store: ports.DeliveryStore) -> None:
    first = delivery()
    by_slack = delivery(receiver="slack", integration="slack[1]", at=at(4))
    end = delivery(state=alerts.State.RESOLVED, at=at(60))
    others = [delivery("other"), delivery(starts_at=at(1))]
    assert store.record([end, first, *others]) == 4
    assert store.record([by_slack]) == 1
    assert store.record([]) == 0
    assert store.about(first.key) == (by_slack, first, end)
    assert store.about(others[1].key) == (others[1],)
    assert store.about(delivery("none").key) == ()


@pytest.mark.parametrize("order", list(itertools.permutations((5, 6, 7))))
def test_what_is_told_again_is_kept_once_with_the_first_time(
    store: ports.DeliveryStore, order: tuple[int, ...]
) -> None:
    assert [store.record([delivery(at=at(each))]) for each in order] == [1, 0, 0]
    assert store.about(delivery().key) == (delivery(at=at(5)),)


def test_what_stands_twice_in_one_event_is_kept_once(store: ports.DeliveryStore) -> None:
    assert store.record([delivery(at=at(7)), delivery(), delivery()]) == 1
    assert store.about(delivery().key) == (delivery(),)


def test_events_at_once_neither_double_nor_lock_each_other_out(
    store: ports.DeliveryStore,
) -> None:
    many = [delivery(f"{number:016x}") for number in range(200)]
    stored: list[int] = []
    threads = [
        threading.Thread(target=lambda turn=turn: stored.append(store.record(many[::turn])))
        for turn in (1, -1, 1, -1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(stored) == [0, 0, 0, 200]


def test_what_postgres_cannot_hold_is_kept_all_the_same(store: ports.DeliveryStore) -> None:
    assert store.record([delivery(receiver="a\x00b")]) == 1
    (kept,) = store.about(delivery().key)
    assert kept.receiver in ("a\x00b", "a\N{REPLACEMENT CHARACTER}b")


def test_what_was_told_of_an_alert_is_forgotten_after_it(stores: Stores) -> None:
    store, remembered = stores
    lasting, gone = notification("lasts"), notification("gone")
    remembered.record([lasting], received_at=at(1))
    store.record([delivery("lasts"), delivery("gone"), delivery("gone", receiver="slack")])
    assert store.forget(at(5)) == 0
    assert store.forget(at(6)) == 2
    assert store.forget(at(6)) == 0
    assert store.about((gone.fingerprint, gone.starts_at)) == ()
    assert store.about((lasting.fingerprint, lasting.starts_at)) == (delivery("lasts"),)
