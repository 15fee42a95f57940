from __future__ import annotations

from datetime import datetime, timedelta

from detector import alerts
from detector.services import forgetting
from tests.factories import at, delivery, notification
from tests.fakes.deliveries import FakeDeliveryStore
from tests.fakes.episodes import FakeEpisodeStore

A_YEAR_S = 365 * 86_400


def a_year_later() -> datetime:
    return at(A_YEAR_S)


def test_what_is_older_than_is_kept_goes() -> None:
    store = FakeEpisodeStore()
    store.record([notification("1", ends_at=at(9)), notification("2")], received_at=at(10))
    told = FakeDeliveryStore(lambda key: store.episode_of(key) is not None)
    told.record([delivery("1"), delivery("2")])
    kept = forgetting.Forgetting(store, told, keep=timedelta(days=400), clock=a_year_later)
    assert kept.turn().went_out == 0
    assert told.about(delivery("1").key) == (delivery("1"),)
    kept = forgetting.Forgetting(store, told, keep=timedelta(days=32), clock=a_year_later)
    assert (kept.turn().went_out, kept.turn().went_out) == (1, 0)
    (left,) = store.list_episodes(alerts.EpisodeFilter()).episodes
    assert left.fingerprint == "2"
    assert [told.about(delivery(each).key) for each in "12"] == [(), (delivery("2"),)]
