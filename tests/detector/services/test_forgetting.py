from __future__ import annotations

from datetime import timedelta

from detector import alerts
from detector.services import forgetting
from tests.factories import at, notification
from tests.fakes.episodes import FakeEpisodeStore

A_YEAR_S = 365 * 86_400


def test_what_is_older_than_is_kept_goes() -> None:
    store = FakeEpisodeStore()
    store.record([notification("1", ends_at=at(9)), notification("2")], received_at=at(10))
    kept = forgetting.Forgetting(store, keep=timedelta(days=400), clock=lambda: at(A_YEAR_S))
    assert kept.turn().went_out == 0
    kept = forgetting.Forgetting(store, keep=timedelta(days=32), clock=lambda: at(A_YEAR_S))
    assert (kept.turn().went_out, kept.turn().went_out) == (1, 0)
    (left,) = store.list_episodes(alerts.EpisodeFilter()).episodes
    assert left.fingerprint == "2"
