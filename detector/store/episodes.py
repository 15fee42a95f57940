"""Alert episodes in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts
from detector.store import database, merging, tables, text

_MILLISECOND = timedelta(milliseconds=1)
_EPISODES = tables.episodes
_NOTIFICATIONS = tables.notifications
_UPSERT = merging.upsert()
_INSERT_IF_NEW = (
    postgresql.insert(_NOTIFICATIONS)
    .on_conflict_do_nothing()
    .returning(_NOTIFICATIONS.c.episode_id)
)
_HEARD_EARLIER = (
    _NOTIFICATIONS.update()
    .where(
        _NOTIFICATIONS.c.episode_id
        == sa.any_(sa.bindparam("ids", type_=postgresql.ARRAY(sa.BigInteger))),
        _NOTIFICATIONS.c.state == sa.bindparam("told"),
        _NOTIFICATIONS.c.received_at > sa.bindparam("at"),
    )
    .values(received_at=sa.bindparam("at"))
)


class PostgresEpisodeStore:
    """ports.EpisodeStore in PostgreSQL; threads may share it."""

    def __init__(self, store: database.Database) -> None:
        self._database = store

    def record(
        self, notifications: Sequence[alerts.Notification], *, received_at: datetime
    ) -> alerts.Recorded:
        """Commit all of them in one transaction; see merging for what wins."""
        if not notifications:
            return alerts.Recorded(stored=0, duplicate=0)
        with self._database.begin() as connection:
            ids: dict[merging.Key, int] = {}
            for rows in merging.rounds(notifications, received_at=received_at):
                merged = connection.execute(_UPSERT, rows)
                ids |= {(fingerprint, starts_at): key for key, fingerprint, starts_at in merged}
            heard = {
                (ids[merging.key_of(each)], each.state.value): text.storable(each.receiver)
                for each in notifications
            }
            stored = _remember(connection, heard, received_at)
        return alerts.Recorded(stored=stored, duplicate=len(notifications) - stored)

    def list_episodes(self, wanted: alerts.EpisodeFilter) -> alerts.EpisodePage:
        """One page; an unknown before_id gives an empty one."""
        with self._database.begin() as connection:
            rows = connection.execute(_page(wanted)).all()
        found = tuple(_episode(row) for row in rows[: wanted.limit])
        return alerts.EpisodePage(found, found[-1].id if len(rows) > wanted.limit else None)

    def episode(self, episode_id: int) -> alerts.Episode | None:
        """The episode with its transitions, oldest first."""
        with self._database.begin() as connection:
            row = connection.execute(
                sa.select(_EPISODES).where(_EPISODES.c.id == episode_id)
            ).one_or_none()
            heard = connection.execute(
                sa.select(_NOTIFICATIONS.c.state, _NOTIFICATIONS.c.received_at)
                .where(_NOTIFICATIONS.c.episode_id == episode_id)
                .order_by(_NOTIFICATIONS.c.received_at, _NOTIFICATIONS.c.state)
            ).all()
        return (
            None
            if row is None
            else _episode(row, _transitions([(each.state, each.received_at) for each in heard]))
        )

    def starting(
        self, fingerprint: alerts.Fingerprint, starts_at: datetime
    ) -> alerts.Episode | None:
        """The episode that began in this millisecond; the first of several."""
        c = _EPISODES.c
        query = (
            sa.select(_EPISODES)
            .where(c.fingerprint == fingerprint)
            .where(c.starts_at >= starts_at, c.starts_at < starts_at + _MILLISECOND)
            .order_by(c.starts_at)
            .limit(1)
        )
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _episode(row)


def _transitions(heard: Sequence[tuple[str, datetime]]) -> tuple[alerts.Transition, ...]:
    """The changes of state among what was heard first of each state, oldest first."""
    changes: list[alerts.Transition] = []
    for state, received_at in heard:
        before = changes[-1].state if changes else None
        after = alerts.NEXT[before, alerts.State(state)]
        if after != before:
            changes.append(alerts.Transition(after, received_at))
    return tuple(changes)


def _remember(
    connection: sa.Connection, heard: dict[tuple[int, str], str], received_at: datetime
) -> int:
    """Keep the first time each of these was heard; how many were new."""
    rows = [
        {"episode_id": key, "state": state, "received_at": received_at, "receiver": receiver}
        for (key, state), receiver in heard.items()
    ]
    inserted = len(connection.execute(_INSERT_IF_NEW, rows).all())
    if inserted < len(heard):
        for told in alerts.State:
            ids = [key for key, state in heard if state == told]
            connection.execute(_HEARD_EARLIER, {"ids": ids, "told": told.value, "at": received_at})
    return inserted


def _page(wanted: alerts.EpisodeFilter) -> sa.Select[Any]:
    c = _EPISODES.c
    query = sa.select(_EPISODES).order_by(c.starts_at.desc(), c.id.desc()).limit(wanted.limit + 1)
    if wanted.state is not None:
        query = query.where(c.state == wanted.state.value)
    if wanted.labels:
        query = query.where(c.labels.contains(text.document(wanted.labels)))
    if wanted.since is not None:
        query = query.where(sa.or_(c.ends_at.is_(None), c.ends_at >= wanted.since))
    if wanted.until is not None:
        query = query.where(c.starts_at < wanted.until)
    if wanted.before_id is not None:
        last = _EPISODES.alias("last")
        query = query.where(
            sa.tuple_(c.starts_at, c.id)
            < sa.select(last.c.starts_at, last.c.id)
            .where(last.c.id == wanted.before_id)
            .scalar_subquery()
        )
    return query


def _episode(row: sa.Row[Any], changes: tuple[alerts.Transition, ...] = ()) -> alerts.Episode:
    return alerts.Episode(
        id=row.id,
        fingerprint=alerts.Fingerprint(row.fingerprint),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        state=alerts.State(row.state),
        labels=text.labels(row.labels),
        annotations=text.labels(row.annotations),
        generator_url=row.generator_url,
        received_at=row.received_at,
        updated_at=row.updated_at,
        transitions=changes,
    )
