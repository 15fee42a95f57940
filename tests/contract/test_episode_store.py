"""What every ports.EpisodeStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import hypothesis
import pytest
from hypothesis import strategies as st

from detector import alerts, ports
from detector.store import database, episodes, migrate
from tests.factories import at, notification
from tests.fakes.episodes import FakeEpisodeStore

VERSION_LASTS_S = 4
VERSIONS = ("m", "c", "z", "a", "q", "b")  # their order in time is not that of the alphabet


@pytest.fixture(params=["fake", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[ports.EpisodeStore]:
    if request.param == "fake":
        yield FakeEpisodeStore()
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield episodes.PostgresEpisodeStore(connections)
    connections.close()


def everything(store: ports.EpisodeStore) -> tuple[alerts.Episode, ...]:
    return store.list_episodes(alerts.EpisodeFilter(limit=1000)).episodes


def only(store: ports.EpisodeStore) -> alerts.Episode:
    """The one episode there is, with its transitions."""
    (episode,) = everything(store)
    found = store.episode(episode.id)
    assert found is not None
    return found


def test_firing_notification_becomes_an_episode(store: ports.EpisodeStore) -> None:
    assert store.record([notification()], received_at=at(5)) == alerts.Recorded(1, 0)
    episode = only(store)
    assert episode == alerts.Episode(
        id=episode.id,
        fingerprint=alerts.Fingerprint("a1b2c3d4e5f60718"),
        starts_at=at(0),
        ends_at=None,
        state=alerts.State.FIRING,
        labels=(("alertname", "HighCpu"), ("instance", "web-1")),
        annotations=(("summary", "CPU is at 93 %"),),
        generator_url="http://prometheus.example/graph",
        received_at=at(5),
        updated_at=at(5),
        transitions=(alerts.Transition(alerts.State.FIRING, at(5)),),
    )


def test_resolution_ends_the_episode(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    recorded = store.record([notification(ends_at=at(60))], received_at=at(65))
    episode = only(store)
    assert recorded == alerts.Recorded(1, 0)
    assert (episode.state, episode.ends_at) == (alerts.State.RESOLVED, at(60))
    assert (episode.received_at, episode.updated_at) == (at(5), at(65))
    assert episode.transitions == (
        alerts.Transition(alerts.State.FIRING, at(5)),
        alerts.Transition(alerts.State.RESOLVED, at(65)),
    )


def test_repeated_notification_changes_nothing(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    before = only(store)
    assert store.record([notification(), notification()], received_at=at(9)) == (
        alerts.Recorded(0, 2)
    )
    assert only(store) == before


def test_firing_that_comes_after_the_resolution_changes_nothing_but_when_it_was_heard(
    store: ports.EpisodeStore,
) -> None:
    late = notification(annotations=(("summary", "older news"),))
    store.record([notification(ends_at=at(60))], received_at=at(65))
    before = only(store)
    assert store.record([late], received_at=at(70)) == alerts.Recorded(1, 0)
    assert only(store) == before


def test_newest_annotations_are_kept(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(5))
    newer = notification(annotations=(("summary", "CPU is at 90 %"),))
    assert store.record([newer], received_at=at(9)) == alerts.Recorded(0, 1)
    store.record([notification()], received_at=at(7))
    episode = only(store)
    assert episode.annotations == newer.annotations
    assert (episode.received_at, episode.updated_at) == (at(5), at(9))


def test_alert_that_fires_again_is_another_episode(store: ports.EpisodeStore) -> None:
    store.record([notification(ends_at=at(60))], received_at=at(65))
    store.record([notification(starts_at=at(100))], received_at=at(101))
    assert [each.starts_at for each in everything(store)] == [at(100), at(0)]


def test_one_delivery_may_hold_both_ends_of_an_episode(store: ports.EpisodeStore) -> None:
    both = [notification(ends_at=at(60)), notification(), notification(ends_at=at(60))]
    assert store.record(both, received_at=at(65)) == alerts.Recorded(2, 1)
    assert only(store).state is alerts.State.RESOLVED


def test_empty_delivery_stores_nothing(store: ports.EpisodeStore) -> None:
    assert store.record([], received_at=at(1)) == alerts.Recorded(0, 0)
    assert everything(store) == ()


def test_unknown_episode_is_none(store: ports.EpisodeStore) -> None:
    assert store.episode(17) is None


def test_hostile_text_comes_back_as_it_was_but_for_what_postgresql_cannot_hold(
    store: ports.EpisodeStore,
) -> None:
    hostile = (
        ("emoji", "\N{FIRE}\N{ZERO WIDTH JOINER}"),
        ("long", "x" * 200_000),
        ("markup", "<b>'\"\\ %s {{ .Labels }}; DROP TABLE episodes --\n\t"),
        ("nul\x00name", "a\x00b"),
        ("surrogate", "\ud800"),
    )
    store.record([notification(labels=hostile, annotations=hostile)], received_at=at(1))
    episode = only(store)
    expected = (
        *hostile[:3],
        ("nul�name", "a�b"),
        ("surrogate", "�"),
    )
    assert (episode.labels, episode.annotations) == (expected, expected)
    wanted = alerts.EpisodeFilter(labels=(("nul\x00name", "a\x00b"),))
    assert len(store.list_episodes(wanted).episodes) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (alerts.EpisodeFilter(), ["late", "open", "early"]),
        (alerts.EpisodeFilter(state=alerts.State.FIRING), ["late", "open"]),
        (alerts.EpisodeFilter(state=alerts.State.RESOLVED), ["early"]),
        (alerts.EpisodeFilter(labels=(("job", "a"),)), ["open", "early"]),
        (alerts.EpisodeFilter(labels=(("job", "a"), ("name", "open"))), ["open"]),
        (alerts.EpisodeFilter(labels=(("job", "c"),)), []),
        (alerts.EpisodeFilter(labels=(("other", "a"),)), []),
        (alerts.EpisodeFilter(since=at(20)), ["late", "open", "early"]),
        (alerts.EpisodeFilter(since=at(21)), ["late", "open"]),
        (alerts.EpisodeFilter(until=at(30)), ["open", "early"]),
        (alerts.EpisodeFilter(until=at(31)), ["late", "open", "early"]),
        (alerts.EpisodeFilter(since=at(21), until=at(30)), ["open"]),
        (alerts.EpisodeFilter(state=alerts.State.FIRING, labels=(("job", "b"),)), ["late"]),
        (alerts.EpisodeFilter(limit=2), ["late", "open"]),
    ],
)
def test_filters_find_what_they_say(
    store: ports.EpisodeStore, wanted: alerts.EpisodeFilter, expected: list[str]
) -> None:
    store.record(
        [
            notification("1", starts_at=at(10), labels=(("job", "a"), ("name", "open"))),
            notification("2", ends_at=at(20), labels=(("job", "a"), ("name", "early"))),
            notification("3", starts_at=at(30), labels=(("job", "b"), ("name", "late"))),
        ],
        received_at=at(40),
    )
    found = store.list_episodes(wanted).episodes
    assert [dict(each.labels)["name"] for each in found] == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_hold_each_episode_once_though_starts_are_equal(
    store: ports.EpisodeStore, limit: int
) -> None:
    starts = [0, 1, 1, 1, 1, 2, 2]
    store.record(
        [notification(f"f{n}", starts_at=at(start)) for n, start in enumerate(starts)],
        received_at=at(9),
    )
    found: list[alerts.Episode] = []
    page = store.list_episodes(alerts.EpisodeFilter(limit=limit))
    while True:
        found += page.episodes
        if page.next_id is None:
            break
        store.record([notification(f"n{page.next_id}", starts_at=at(99))], received_at=at(99))
        assert len(page.episodes) == limit
        page = store.list_episodes(alerts.EpisodeFilter(limit=limit, before_id=page.next_id))
    keys = [(each.starts_at, each.id) for each in found]
    assert keys == sorted(keys, reverse=True)
    assert sorted(each.fingerprint for each in found) == [f"f{n}" for n in range(7)]


def test_page_after_an_unknown_episode_is_empty(store: ports.EpisodeStore) -> None:
    store.record([notification()], received_at=at(1))
    page = store.list_episodes(alerts.EpisodeFilter(before_id=4711))
    assert page == alerts.EpisodePage((), None)


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    """(received at, end or None while firing), each instant once: the story of one episode."""
    instants = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5, unique=True))
    ends = st.sampled_from([None, None, 30, 31])
    return [(instant, draw(ends)) for instant in sorted(instants)]


_fingerprints = (f"h{n}" for n in itertools.count())


def told(store: ports.EpisodeStore, story: list[tuple[int, int | None]]) -> alerts.Episode:
    """The episode after these deliveries came in this order; its annotations change with time."""
    fingerprint = next(_fingerprints)
    name = (("name", fingerprint),)
    for received, end in story:
        version = (("version", VERSIONS[received // VERSION_LASTS_S]),)
        one = notification(
            fingerprint,
            ends_at=None if end is None else at(end),
            labels=name,
            annotations=version,
        )
        store.record([one], received_at=at(received))
    (listed,) = store.list_episodes(alerts.EpisodeFilter(labels=name)).episodes
    episode = store.episode(listed.id)
    assert episode is not None
    assert dataclasses.replace(episode, transitions=()) == listed
    return dataclasses.replace(episode, id=0, fingerprint=alerts.Fingerprint("any"), labels=())


shared_store = hypothesis.settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@shared_store
@hypothesis.given(data=st.data())
def test_any_order_and_number_of_deliveries_makes_the_same_episode(
    store: ports.EpisodeStore, data: st.DataObject
) -> None:
    story = data.draw(deliveries())
    repeated = story + data.draw(st.lists(st.sampled_from(story), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    assert told(store, shuffled) == told(store, story)


@shared_store
@hypothesis.given(data=st.data())
def test_order_of_arrival_decides_nothing_but_when_it_was_heard(
    store: ports.EpisodeStore, data: st.DataObject
) -> None:
    """The clock runs on with each arrival: what the episode is must not hang on it."""
    ends = data.draw(st.lists(st.sampled_from([None, 30, 31]), min_size=1, max_size=6))
    shuffled = data.draw(st.permutations(ends))

    def essence(order: list[int | None]) -> tuple[alerts.State, datetime | None]:
        episode = told(store, [(n, end) for n, end in enumerate(order)])
        return episode.state, episode.ends_at

    assert essence(shuffled) == essence(ends)


def test_instants_come_back_in_utc(store: ports.EpisodeStore) -> None:
    store.record([notification(ends_at=at(60))], received_at=at(65))
    episode = only(store)
    assert episode.ends_at is not None
    for instant in (episode.starts_at, episode.ends_at, episode.received_at, episode.updated_at):
        assert instant.tzinfo is not None
        assert instant.utcoffset() == datetime.now(UTC).utcoffset()


def test_an_episode_is_found_by_its_alert_and_the_millisecond_of_its_start(
    store: ports.EpisodeStore,
) -> None:
    begins = at(0).replace(microsecond=123_456)
    later = dataclasses.replace(notification(), starts_at=begins)
    store.record([notification(), later], received_at=at(5))
    found = store.starting(later.fingerprint, at(0).replace(microsecond=123_000))
    assert found is not None
    assert (found.starts_at, found.transitions) == (begins, ())
    assert store.starting(later.fingerprint, at(0).replace(microsecond=124_000)) is None
    assert store.starting(later.fingerprint, at(0).replace(microsecond=122_000)) is None
    assert store.starting(alerts.Fingerprint("0" * 16), at(0)) is None
