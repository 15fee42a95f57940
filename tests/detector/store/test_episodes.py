from __future__ import annotations

import dataclasses
import random
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from detector import alerts, errors
from detector.store import database, episodes, partitions, retention, statistics, tables
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


def left_over(connections: database.Database) -> list[int]:
    """Rows of notifications and of transitions."""
    counts = [f"SELECT count(*) FROM {name}" for name in ("notifications", "transitions")]  # noqa: S608 - names of ours
    with connections.begin() as connection:
        return [connection.scalar(sa.text(each)) or 0 for each in counts]


def test_of_what_is_forgotten_row_by_row_nothing_is_left_over(
    connections: database.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fires keeps its month; of the five others, two go in a step."""
    monkeypatch.setattr(retention, "ROWS", 2)
    store = episodes.PostgresEpisodeStore(connections)
    told = [notification(str(number), starts_at=at(0), ends_at=at(1)) for number in range(5)]
    store.record([*told, notification("fires", starts_at=at(0))], received_at=at(2))
    keys = [(each.fingerprint, each.starts_at) for each in told]
    store.mark(keys, alerts.Status.PENDING, at=at(0))
    assert left_over(connections) == [6, 5]
    before = T0 + timedelta(days=60)
    steps = [store.forget(before).episodes for _ in range(4)]
    assert steps == [2, 2, 1, 0]
    assert left_over(connections) == [1, 0]


def test_a_month_that_is_dropped_is_told_as_one(connections: database.Database) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    store.record([notification(starts_at=at(0), ends_at=at(1))], received_at=at(2))
    before = T0 + timedelta(days=60)
    assert store.forget(before) == alerts.Forgotten(months=1)
    assert store.forget(before) == alerts.Forgotten()
    assert left_over(connections) == [0, 0]


def test_a_month_that_somebody_reads_is_left_for_the_next_turn(
    connections: database.Database,
) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    store.record([notification(starts_at=at(0), ends_at=at(1))], received_at=at(2))
    before = T0 + timedelta(days=60)
    with connections.begin() as reader:
        assert reader.scalar(sa.select(sa.func.count()).select_from(tables.episodes)) == 1
        began_s = time.monotonic()
        with pytest.raises(errors.StoreError) as refusal:
            store.forget(before)
        assert (refusal.value.retryable, time.monotonic() - began_s < 2) == (True, True)
    assert store.forget(before).months == 1


def test_of_what_was_made_from_alerts_nothing_is_left_over(
    connections: database.Database,
) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    store.record([notification(starts_at=at(0), ends_at=at(1))], received_at=at(2))
    key = (notification().fingerprint, at(0))
    store.mark([key], alerts.Status.PENDING, at=at(-5))
    store.learn({key: ((alerts.SOURCE, alerts.FROM_ALERTS),)})
    store.record([notification(starts_at=at(0.5))], received_at=at(3))
    assert left_over(connections) == [1, 0]


def test_statistics_of_many_are_those_of_a_sample(
    connections: database.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 1_000)
    store = episodes.PostgresEpisodeStore(connections)
    store.record(
        [
            notification(
                str(number), starts_at=at(number), labels=(("alertname", f"r{number % 30:02}"),)
            )
            for number in range(6_000)
        ],
        received_at=at(6_000),
    )
    with connections.begin() as connection:
        connection.exec_driver_sql("ANALYZE episodes")
    found = store.statistics(at(0), at(6_000))
    assert found.sampled == pytest.approx(1 / 6, rel=0.2)
    assert found.total.count == pytest.approx(6_000, rel=0.5)
    assert len(found.rules) == statistics.RULES
    assert store.statistics(at(0), at(6_000)) == found  # the same blocks
    whole = store.statistics(at(0), at(600))
    assert (whole.sampled, whole.total.count) == (1.0, 600)


@pytest.mark.parametrize(
    "other",
    [
        {"annotations": (("summary", "another"),)},
        {"labels": (("alertname", "Another"),)},
        {"generator_url": "http://another"},
    ],
)
def test_of_news_of_one_instant_the_same_is_kept_in_any_order(
    connections: database.Database, other: dict[str, Any]
) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    for fingerprint, place in (("a", 1), ("b", -1)):
        first = notification(fingerprint)
        for each in (first, dataclasses.replace(first, **other))[::place]:
            store.record([each], received_at=at(5))
    one, two = store.list_episodes(alerts.EpisodeFilter()).episodes
    assert (one.annotations, one.labels, one.generator_url) == (
        two.annotations,
        two.labels,
        two.generator_url,
    )


def test_a_month_is_not_dropped_for_what_ended_after_it(connections: database.Database) -> None:
    store = episodes.PostgresEpisodeStore(connections)
    april = T0.replace(month=4, day=1, hour=0)
    hour = timedelta(hours=1)
    lasts = dataclasses.replace(notification(ends_at=april + hour), starts_at=april - hour)
    store.record([lasts], received_at=april + hour)
    assert store.forget(april + hour / 2) == alerts.Forgotten()
    assert store.forget(april + timedelta(days=1)) == alerts.Forgotten(months=1)
