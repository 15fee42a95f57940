"""Pages that take every way to an episode, against a store that reads all of them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from detector import alerts, ports
from detector.store import database, episodes, finding
from tests.factories import T0, notification
from tests.fakes.episodes import FakeEpisodeStore

COUNT, MONTHS = 400, 14
FILTERS = 60


def filled(store: ports.EpisodeStore) -> None:
    """Episodes of more than a year, a few of them rare in each way that can be asked for."""
    draw = random.Random(5)  # noqa: S311 - made-up episodes
    step = timedelta(days=30 * MONTHS) / COUNT
    told = []
    for number in range(COUNT):
        zone = "eu" if draw.random() < 0.5 else "us"
        rare = (("canary", "yes"),) if number % 60 == 7 else ()
        word = " zyzzyva" if number % 70 == 9 else ""
        starts_at = T0 - step * (COUNT - number)
        lasts = step * draw.random() * (40 if number % 11 == 0 else 1)
        told.append(
            notification(
                f"f{number}",
                starts_at=starts_at,
                ends_at=None if number % 50 == 3 else starts_at + lasts,
                labels=(("alertname", "Busy"), ("zone", zone), *rare),
                annotations=(("summary", f"usage is high{word}"),),
            )
        )
    begun = [
        dataclasses.replace(each, ends_at=None, state=alerts.State.FIRING)
        for each in told[:: COUNT // 20]
    ]
    store.record(begun, received_at=T0)
    owned = [(each.fingerprint, each.starts_at) for each in begun]
    store.mark(owned, alerts.Status.ACKNOWLEDGED, at=T0, by="zoe")
    for key in owned[::4]:
        store.remark(key, at=T0, by="zoe", feedback=alerts.Feedback.TRUE)
    store.record(told, received_at=T0 + timedelta(days=100))


def some_filters() -> Iterator[alerts.EpisodeFilter]:
    yield alerts.EpisodeFilter(since=datetime.min.replace(tzinfo=UTC))
    draw = random.Random(6)  # noqa: S311 - made-up episodes
    for _ in range(FILTERS):
        since, until = (
            T0 - timedelta(days=30 * MONTHS * draw.random()) if draw.random() < 0.4 else None
            for _ in range(2)
        )
        yield alerts.EpisodeFilter(
            state=draw.choice([None, None, None, *alerts.State]),
            labels=draw.choice(
                [
                    (),
                    (),
                    (("zone", "eu"),),
                    (("canary", "yes"),),
                    (("zone", "eu"), ("canary", "yes")),
                ]
            ),
            owner=draw.choice(["", "", "", "zoe", "bob"]),
            feedback=draw.choice([None, None, None, alerts.Feedback.TRUE]),
            text=draw.choice(["", "", "usage", "zyzz", "high zyzz", "nowhere"]),
            since=since,
            until=until,
            limit=draw.choice([1, 3, 10, 500]),
        )


def found(store: ports.EpisodeStore, wanted: alerts.EpisodeFilter) -> list[list[str]]:
    """Page by page."""
    pages = []
    while True:
        page = store.list_episodes(wanted)
        pages.append([str(each.fingerprint) for each in page.episodes])
        if page.next_id is None or len(pages) == 5:
            return pages
        wanted = dataclasses.replace(wanted, before_id=page.next_id)


@pytest.mark.parametrize(
    ("look", "walk", "dense", "rare"),
    [(5, 20, 4, 0.05), (3, 0, 2, 0.6), (10, 0, 1000, 0.02), (2000, 12_000, 8_000, 0.02)],
)
def test_any_page_is_that_of_reading_everything(
    connections: database.Database,
    monkeypatch: pytest.MonkeyPatch,
    look: int,
    walk: int,
    dense: int,
    rare: float,
) -> None:
    for name, value in {"LOOK": look, "WALK": walk, "DENSE": dense, "RARE": rare}.items():
        monkeypatch.setattr(finding, name, value)
    real, fake = episodes.PostgresEpisodeStore(connections), FakeEpisodeStore()
    filled(real)
    filled(fake)
    for wanted in some_filters():
        assert found(real, wanted) == found(fake, wanted), wanted
