"""What every ports.ManualStore and ports.LinkStore holds: PostgreSQL's and the fakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta

import pytest

from detector import alerts, ports
from detector.store import database, manual, migrate, used_links
from tests.factories import at
from tests.fakes.manual import FakeLinkStore, FakeManualStore

Stores = tuple[ports.ManualStore, ports.LinkStore]
LABELS = (("alertname", "Door open"), ("severity", "high"))


@pytest.fixture(params=["fake", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "fake":
        yield FakeManualStore(), FakeLinkStore()
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield manual.PostgresManualStore(connections), used_links.PostgresLinkStore(connections)
    connections.close()


@pytest.fixture
def store(stores: Stores) -> ports.ManualStore:
    return stores[0]


@pytest.fixture
def links(stores: Stores) -> ports.LinkStore:
    return stores[1]


def raised(**changed: object) -> alerts.Manual:
    """Of T0, for a minute."""
    plain = alerts.Manual(
        id=0,
        fingerprint=alerts.fingerprint_of(LABELS),
        starts_at=at(0),
        until=at(60),
        ended_at=None,
        labels=LABELS,
        annotations=(("summary", "the back door"),),
        raised_by="ann",
    )
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def add(store: ports.ManualStore, new: alerts.Manual) -> alerts.Manual:
    kept = store.add(new, at=new.starts_at)
    assert kept is not None
    return kept


def test_what_is_raised_is_due_until_it_is_over(store: ports.ManualStore) -> None:
    kept = add(store, raised())
    assert kept == raised(id=kept.id)
    assert store.due(ended_since=at(-60), at=at(59)) == (kept,)
    assert store.firing(kept.key) == kept
    over = raised(id=kept.id, ended_at=at(60))
    assert store.due(ended_since=at(0), at=at(60)) == (over,)
    assert store.due(ended_since=at(61), at=at(61)) == ()
    assert store.firing(kept.key) is None


def test_one_of_the_same_labels_fires_at_a_time(store: ports.ManualStore) -> None:
    kept = add(store, raised())
    assert store.add(raised(starts_at=at(1)), at=at(1)) is None
    other = (("alertname", "other"),)
    add(store, raised(labels=other, fingerprint=alerts.fingerprint_of(other)))
    assert store.end(kept.id, at=at(2))
    assert not store.end(kept.id, at=at(3))
    again = add(store, raised(starts_at=at(4)))
    assert store.add(raised(starts_at=at(60), until=at(90)), at=at(60)) is not None  # it is over
    ends = [each.ended_at for each in store.due(ended_since=at(0), at=at(60))]
    assert sorted(ends, key=str)[:2] == [at(2), at(60)]
    assert store.firing(again.key) is None


def test_what_is_dropped_was_never_raised(store: ports.ManualStore) -> None:
    kept = add(store, raised())
    store.drop(kept.id)
    assert store.due(ended_since=at(-60), at=at(1)) == ()
    assert not store.end(kept.id, at=at(1))


def test_a_link_is_used_once(links: ports.LinkStore) -> None:
    first = alerts.LinkUse(at(5), "by link", "acknowledged")
    assert links.use_of("s1") is None
    assert links.use("s1", first, expires=at(100))
    assert not links.use("s1", alerts.LinkUse(at(6), "by link", "again"), expires=at(100))
    assert links.use("s2", first, expires=at(100))
    assert links.use_of("s1") == first


def test_uses_are_forgotten_when_the_link_has_expired(links: ports.LinkStore) -> None:
    use = alerts.LinkUse(at(5), "by link", "acknowledged")
    links.use("s1", use, expires=at(100))
    links.use("s2", alerts.LinkUse(at(99), "by link", "x"), expires=at(200))
    assert links.use_of("s1") == use
    links.use("s3", alerts.LinkUse(at(99) + timedelta(seconds=1), "", ""), expires=at(200))
    assert links.use_of("s1") is None
