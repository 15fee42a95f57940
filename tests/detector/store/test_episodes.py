from __future__ import annotations

import random
import threading

import pytest
import sqlalchemy as sa

from detector import alerts, errors
from detector.store import database, episodes, partitions, tables
from tests.factories import T0, at, notification

EPISODE = {
    "fingerprint": "f",
    "starts_at": T0,
    "ends_at": None,
    "state": "firing",
    "labels": {},
    "annotations": {},
    "generator_url": "",
    "received_at": T0,
    "updated_at": T0,
    "heard_at": T0,
    "status": "firing",
}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"state": "pending"}, "episodes_state_check"),
        ({"state": "resolved"}, "episodes_resolved_has_end_check"),
        ({"ends_at": at(1)}, "episodes_resolved_has_end_check"),
        ({"state": "resolved", "ends_at": at(-1)}, "episodes_end_after_start_check"),
        ({"updated_at": at(-1)}, "episodes_updated_at_check"),
        ({"updated_at": at(2), "heard_at": at(1)}, "episodes_heard_at_check"),
        ({"status": "pending"}, "episodes_status_check"),
        ({"status": "resolved"}, "episodes_status_of_state_check"),
        ({"feedback": "maybe"}, "episodes_feedback_check"),
    ],
)
def test_database_refuses_a_row_that_cannot_be(
    connections: database.Database, wrong: dict[str, object], constraint: str
) -> None:
    with connections.begin() as connection:
        partitions.ensure(connection, [T0])
    with pytest.raises(errors.StoreError, match=constraint), connections.begin() as connection:
        connection.execute(tables.episodes.insert().values(EPISODE | wrong))


def test_database_refuses_an_episode_twice(connections: database.Database) -> None:
    with connections.begin() as connection:
        partitions.ensure(connection, [T0])
        connection.execute(tables.episodes.insert().values(EPISODE))
    with (
        pytest.raises(errors.StoreError, match="episodes_202603_fingerprint_starts_at_key"),
        connections.begin() as connection,
    ):
        connection.execute(tables.episodes.insert().values(EPISODE))


def test_nothing_of_a_failed_delivery_is_stored(connections: database.Database) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    impossible = notification("2", ends_at=at(-1))
    with pytest.raises(errors.StoreError):
        store.record([notification("1"), impossible, notification("3")], received_at=at(1))
    assert store.list_episodes(alerts.EpisodeFilter()).episodes == ()


def test_deliveries_at_once_neither_double_nor_lock_each_other_out(
    connections: database.Database,
) -> None:
    """Two Alertmanagers tell of the same alerts, each in its own order."""
    store = episodes.PostgresEpisodeStore(connections)
    told = [notification(f"{n}", ends_at=end) for n in range(40) for end in (None, at(60))]
    recorded: list[alerts.Recorded] = []

    def deliver(seed: int) -> None:
        order = random.Random(seed)  # noqa: S311
        for _ in range(5):
            shuffled = order.sample(told, len(told))
            for half in (shuffled[:40], shuffled[40:]):
                recorded.append(store.record(half, received_at=at(seed)))

    threads = [threading.Thread(target=deliver, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorded) == 60
    assert sum(each.stored for each in recorded) == len(told)
    found = store.list_episodes(alerts.EpisodeFilter(limit=1000)).episodes
    assert {each.state for each in found} == {alerts.State.RESOLVED}
    assert len(found) == 40
    assert {each.received_at for each in found} == {at(0)}


def test_big_delivery_is_stored_and_repeated(connections: database.Database) -> None:
    """Ten thousand alerts: more than one statement's worth of rows."""
    store = episodes.PostgresEpisodeStore(connections)
    told = [notification(f"{n}") for n in range(10_000)]
    assert store.record(told, received_at=at(1)) == alerts.Recorded(10_000, 0)
    assert store.record(told, received_at=at(0)) == alerts.Recorded(0, 10_000)
    (episode,) = store.list_episodes(alerts.EpisodeFilter(limit=1)).episodes
    found = store.episode(episode.id)
    assert found is not None
    assert (found.received_at, found.transitions[0].received_at) == (at(0), at(0))


def test_pages_and_labels_are_found_by_index(connections: database.Database) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    store.record(
        [notification(f"{n}", starts_at=at(n), labels=(("n", str(n)),)) for n in range(3000)],
        received_at=at(9000),
    )

    def plan(query: str) -> str:
        with connections.begin() as connection:
            return "\n".join(connection.scalars(sa.text(f"EXPLAIN {query}")))

    with connections.begin() as connection:
        connection.execute(sa.text("ANALYZE episodes"))
    page = "SELECT * FROM episodes WHERE (starts_at, id) < ('2026-03-01T13:00:00Z', 99)"
    assert "episodes_202603_starts_at_id_idx" in plan(
        f"{page} ORDER BY starts_at DESC, id DESC LIMIT 100"
    )
    assert "episodes_202603_labels_idx" in plan(
        """SELECT * FROM episodes WHERE labels @> '{"n": "17"}'"""
    )
