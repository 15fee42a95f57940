"""Alert episodes in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts, errors, frames
from detector.store import (
    database,
    finding,
    joining,
    merging,
    partitions,
    retention,
    statistics,
    tables,
    text,
)

MOST_LOOKED_AT = 100_000
"""Episodes that a silence is measured by."""
A_MILLISECOND = timedelta(milliseconds=1)
_EPISODES = tables.episodes
_NOTIFICATIONS = tables.notifications
_TRANSITIONS = tables.transitions
_ADD_PENDING = postgresql.insert(_TRANSITIONS).on_conflict_do_nothing()
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
        _NOTIFICATIONS.c.starts_at
        == sa.any_(sa.bindparam("starts", type_=postgresql.ARRAY(sa.DateTime(timezone=True)))),
        _NOTIFICATIONS.c.state == sa.bindparam("told"),
        _NOTIFICATIONS.c.received_at > sa.bindparam("at"),
    )
    .values(received_at=sa.bindparam("at"))
)
LEARNT_AT_ONCE = 1_000
"""Episodes of one transaction: others wait for its rows."""
_WATCHED = "alerts"
_INSERT_WATCHED = postgresql.insert(tables.watched)
_WATCH = _INSERT_WATCHED.on_conflict_do_update(
    index_elements=[tables.watched.c.name], set_={"until": _INSERT_WATCHED.excluded.until}
)
SAME_WITHIN = timedelta(minutes=1)
"""Of two starts of an alert, the one as Prometheus evaluated it, the other as Alertmanager has it:
rules are evaluated at whole milliseconds in one, at nanoseconds in the other, or once a minute."""
_SUPERSEDED = sa.text("""
    WITH gone AS (
        DELETE FROM episodes USING unnest(CAST(:told AS text[]), CAST(:began AS timestamptz[]))
            AS news (fingerprint, starts_at)
        WHERE episodes.fingerprint = news.fingerprint AND episodes.starts_at <> news.starts_at
            AND episodes.starts_at BETWEEN news.starts_at - CAST(:within AS interval)
                AND news.starts_at + CAST(:within AS interval)
            AND episodes.facts @> CAST(:made AS jsonb)
        RETURNING episodes.id, episodes.starts_at
    ), unheard AS (
        DELETE FROM notifications USING gone
        WHERE episode_id = gone.id AND notifications.starts_at = gone.starts_at
    )
    DELETE FROM transitions USING gone
    WHERE episode_id = gone.id AND transitions.starts_at = gone.starts_at
""")
"""What was made from ALERTS goes when Alertmanager tells of the same, whose start is exact."""
_ADOPTED = sa.text("""
    UPDATE episodes SET facts = facts - CAST(:source AS text)
    FROM unnest(CAST(:told AS text[]), CAST(:began AS timestamptz[]))
        AS news (fingerprint, starts_at)
    WHERE episodes.fingerprint = news.fingerprint AND episodes.starts_at = news.starts_at
        AND episodes.facts @> CAST(:made AS jsonb)
""")


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
            stored = _record(connection, notifications, received_at)
        return alerts.Recorded(stored=stored, duplicate=len(notifications) - stored)

    def mark(
        self,
        keys: Collection[alerts.Key],
        status: alerts.Status,
        *,
        at: datetime,
        by: str = "",
        note: str = "",
        silence_id: str = "",
        was: alerts.Status | None = None,
    ) -> int:
        """One transaction for all of them."""
        is_pending = status is alerts.Status.PENDING
        said = {"status": status.value, "at": at, "by": text.storable(by)}
        said["note"] = text.storable(note)
        with self._database.begin() as connection:
            query = _of_keys(keys) if is_pending else _changed(keys, status, by, silence_id, was)
            rows = connection.execute(query).all()
            added = [{"episode_id": row.id, "starts_at": row.starts_at} | said for row in rows]
            if not added:
                return 0
            if is_pending:
                insert = _ADD_PENDING.returning(_TRANSITIONS.c.id)
                return len(connection.execute(insert, added).all())
            connection.execute(_TRANSITIONS.insert(), added)
            return len(added)

    def learn(self, facts: Mapping[alerts.Key, frames.Labels]) -> None:
        """Rows of which this is news alone are written."""
        keys = sorted(facts)
        for first in range(0, len(keys), LEARNT_AT_ONCE):
            some = keys[first : first + LEARNT_AT_ONCE]
            with self._database.begin() as connection:
                connection.execute(_learnt({key: facts[key] for key in some}))

    def remark(
        self,
        key: alerts.Key,
        *,
        at: datetime,
        by: str,
        note: str = "",
        feedback: alerts.Feedback | None = None,
    ) -> bool:
        """One more transition, which leaves the status as it is."""
        c = _EPISODES.c
        with self._database.begin() as connection:
            query = _of_keys([key]).add_columns(c.status).with_for_update()
            row = connection.execute(query).one_or_none()
            if row is None:
                return False
            same = sa.and_(c.id == row.id, c.starts_at == row.starts_at)
            if feedback is not None:
                update = _EPISODES.update().where(same).values(feedback=feedback.value)
                connection.execute(update)
            said = {"by": text.storable(by), "note": text.storable(note), "at": at}
            said["feedback"] = None if feedback is None else feedback.value
            of = {"episode_id": row.id, "starts_at": row.starts_at, "status": row.status}
            connection.execute(_TRANSITIONS.insert(), [of | said])
        return True

    def judged(self, since: datetime) -> tuple[alerts.Episode, ...]:
        """By an index of those with feedback alone."""
        c = _EPISODES.c
        query = (
            sa.select(_EPISODES)
            .where(c.feedback.is_not(None), sa.or_(c.ends_at.is_(None), c.ends_at >= since))
            .order_by(c.starts_at, c.id)
        )
        with self._database.begin() as connection:
            return tuple(_episode(row) for row in connection.execute(query))

    def muted(self, matchers: Sequence[alerts.Matcher], *, since: datetime) -> int | None:
        """Of the newest MOST_LOOKED_AT; PostgreSQL's patterns are Alertmanager's but for rarities,
        and those are not understood."""
        c = _EPISODES.c
        newest = (
            sa.select(c.labels)
            .where(c.starts_at >= since)
            .order_by(c.starts_at.desc(), c.id.desc())
            .limit(MOST_LOOKED_AT)
            .subquery()
        )
        query = sa.select(sa.func.count()).select_from(newest)
        query = query.where(*(_holds(newest.c.labels, each) for each in matchers))
        try:
            with self._database.begin() as connection:
                return connection.scalar(query) or 0
        except errors.StoreError as error:
            if error.retryable or not any(each.is_regex for each in matchers):
                raise
            return None

    def firing(self) -> tuple[alerts.Firing, ...]:
        """Found by an index of their own."""
        c = _EPISODES.c
        query = sa.select(c.fingerprint, c.starts_at, c.status, c.owner, c.silence_id)
        with self._database.begin() as connection:
            rows = connection.execute(query.where(c.state == alerts.State.FIRING.value)).all()
        return tuple(
            alerts.Firing(
                (alerts.Fingerprint(row.fingerprint), row.starts_at),
                alerts.Status(row.status),
                row.owner,
                row.silence_id,
            )
            for row in rows
        )

    def watched_until(self) -> datetime | None:
        """The row of alerts in the table `watched`."""
        c = tables.watched.c
        with self._database.begin() as connection:
            return connection.scalar(sa.select(c.until).where(c.name == _WATCHED))

    def watched(self, until: datetime) -> None:
        """Written over what was there."""
        given = {"name": _WATCHED, "until": until}
        with self._database.begin() as connection:
            connection.execute(_WATCH, given)

    def statistics(self, since: datetime, until: datetime) -> alerts.Statistics:
        """See store.statistics."""
        with self._database.begin() as connection:
            return statistics.statistics(connection, since, until)

    def forget(self, before: datetime) -> alerts.Forgotten:
        """See store.retention."""
        with self._database.begin() as connection:
            return retention.forget(connection, before)

    def list_episodes(self, wanted: alerts.EpisodeFilter) -> alerts.EpisodePage:
        """One page; an unknown before_id gives an empty one."""
        with self._database.begin() as connection:
            rows = finding.page(connection, wanted)
        found = tuple(_episode(row) for row in rows[: wanted.limit])
        return alerts.EpisodePage(found, found[-1].id if len(rows) > wanted.limit else None)

    def episode(self, episode_id: int) -> alerts.Episode | None:
        """The episode with its transitions, oldest first."""
        return self._one(_EPISODES.c.id == episode_id)

    def episode_of(self, key: alerts.Key) -> alerts.Episode | None:
        """By the index of keys."""
        c, (fingerprint, starts_at) = _EPISODES.c, key
        began = starts_at.replace(microsecond=starts_at.microsecond // 1000 * 1000)
        return self._one(
            sa.and_(
                c.fingerprint == text.storable(fingerprint),
                c.starts_at >= began,
                c.starts_at < began + A_MILLISECOND,
            )
        )

    def _one(self, wanted: sa.ColumnElement[bool]) -> alerts.Episode | None:
        with self._database.begin() as connection:
            query = sa.select(_EPISODES).where(wanted).order_by(_EPISODES.c.starts_at).limit(1)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            heard = connection.execute(
                sa.select(_NOTIFICATIONS.c.state, _NOTIFICATIONS.c.received_at)
                .where(_NOTIFICATIONS.c.episode_id == row.id)
                .where(_NOTIFICATIONS.c.starts_at == row.starts_at)
                .order_by(_NOTIFICATIONS.c.received_at, _NOTIFICATIONS.c.state)
            ).all()
            marked = connection.execute(
                sa.select(_TRANSITIONS)
                .where(_TRANSITIONS.c.episode_id == row.id)
                .where(_TRANSITIONS.c.starts_at == row.starts_at)
                .order_by(_TRANSITIONS.c.id)
            ).all()
        told = _transitions([(each.state, each.received_at) for each in heard])
        done = [
            alerts.Transition(
                alerts.Status(each.status), each.at, each.by, each.note, _feedback(each.feedback)
            )
            for each in marked
        ]
        return _episode(row, alerts.in_order(told, done))


def _record(
    connection: sa.Connection, notifications: Sequence[alerts.Notification], received_at: datetime
) -> int:
    """How many were new."""
    partitions.ensure(connection, {each.starts_at for each in notifications})
    ids: dict[merging.Key, int] = {}
    for rows in merging.rounds(notifications, received_at=received_at):
        merged = connection.execute(_UPSERT, rows)
        ids |= {(fingerprint, starts_at): key for key, fingerprint, starts_at in merged}
    heard = {
        (ids[merging.key_of(each)], each.starts_at, each.state.value): text.storable(each.receiver)
        for each in notifications
    }
    stored = _remember(connection, heard, received_at)
    _supersede(connection, ids)
    ended = {merging.key_of(each) for each in notifications if each.state is alerts.State.RESOLVED}
    for each in joining.take_out(connection, ended) if ended else ():
        _record(connection, [each.notification], each.heard_at)
    return stored


def _transitions(heard: Sequence[tuple[str, datetime]]) -> tuple[alerts.Transition, ...]:
    """The changes of state among what was heard first of each state, oldest first."""
    changes: list[alerts.Transition] = []
    before: alerts.State | None = None
    for state, received_at in heard:
        after = alerts.NEXT[before, alerts.State(state)]
        if after is not before:
            changes.append(alerts.Transition(alerts.Status(after), received_at))
        before = after
    return tuple(changes)


def _of_keys(keys: Collection[alerts.Key]) -> sa.Select[Any]:
    """However many: two arrays, not a list of pairs, which is a tree as deep as it is long."""
    wanted = _table("wanted", keys).columns
    c = _EPISODES.c
    return sa.select(c.id, c.starts_at).where(
        c.fingerprint == wanted.fingerprint, c.starts_at == wanted.starts_at
    )


def _learnt(facts: Mapping[alerts.Key, frames.Labels]) -> sa.Executable:
    known = [text.document(each) for each in facts.values()]
    given = sa.literal(known, postgresql.ARRAY(postgresql.JSONB))
    news, c = _table("news", facts, facts=given).columns, _EPISODES.c
    return (
        _EPISODES.update()
        .where(c.fingerprint == news.fingerprint, c.starts_at == news.starts_at)
        .where(sa.not_(c.facts.contains(news.facts)))
        .values(facts=c.facts.op("||")(news.facts))
    )


def _table(
    name: str, keys: Collection[alerts.Key], **more: sa.ColumnElement[Any]
) -> sa.TableValuedAlias:
    fingerprints = [text.storable(fingerprint) for fingerprint, _ in keys]
    starts = [began for _, began in keys]
    return (
        sa.func.unnest(
            sa.literal(fingerprints, postgresql.ARRAY(sa.Text)),
            sa.literal(starts, postgresql.ARRAY(sa.DateTime(timezone=True))),
            *more.values(),
        )
        .table_valued(
            sa.column("fingerprint", sa.Text),
            sa.column("starts_at", sa.DateTime(timezone=True)),
            *(sa.column(each, postgresql.JSONB) for each in more),
            name=name,
        )
        .render_derived()
    )


def _supersede(connection: sa.Connection, told: Collection[merging.Key]) -> None:
    given = {
        "told": [fingerprint for fingerprint, _ in told],
        "began": [starts_at for _, starts_at in told],
        "within": SAME_WITHIN,
        "made": json.dumps({alerts.SOURCE: alerts.FROM_ALERTS}),
        "source": alerts.SOURCE,
    }
    connection.execute(_SUPERSEDED, given)
    connection.execute(_ADOPTED, given)


def _changed(
    keys: Collection[alerts.Key],
    status: alerts.Status,
    by: str,
    silence_id: str,
    was: alerts.Status | None,
) -> sa.Executable:
    c = _EPISODES.c
    values = {"status": status.value}
    if status is alerts.Status.ACKNOWLEDGED:
        values |= {"owner": text.storable(by), "silence_id": text.storable(silence_id)}
    locked = (
        _of_keys(keys)
        .where(c.state == alerts.State.FIRING.value, c.status != status.value)
        .where(sa.true() if was is None else c.status == was.value)
        .order_by(c.fingerprint, c.starts_at)
        .with_for_update(of=_EPISODES)
        .cte("locked")
    )
    return (
        _EPISODES.update()
        .where(c.id == locked.c.id, c.starts_at == locked.c.starts_at)
        .values(values)
        .returning(c.id, c.starts_at)
    )


def _remember(
    connection: sa.Connection, heard: dict[tuple[int, datetime, str], str], received_at: datetime
) -> int:
    """Keep the first time each of these was heard; how many were new."""
    rows = [
        {
            "episode_id": key,
            "starts_at": starts_at,
            "state": state,
            "received_at": received_at,
            "receiver": receiver,
        }
        for (key, starts_at, state), receiver in heard.items()
    ]
    inserted = len(connection.execute(_INSERT_IF_NEW, rows).all())
    if inserted < len(heard):
        for told in alerts.State:
            same = [(key, starts_at) for key, starts_at, state in heard if state == told]
            given = {"ids": [key for key, _ in same], "starts": [began for _, began in same]}
            connection.execute(_HEARD_EARLIER, {**given, "told": told.value, "at": received_at})
    return inserted


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
        status=alerts.Status(row.status),
        owner=row.owner,
        silence_id=row.silence_id,
        feedback=_feedback(row.feedback),
        facts=text.labels(row.facts),
        transitions=changes,
    )


def _feedback(given: str | None) -> alerts.Feedback | None:
    return None if given is None else alerts.Feedback(given)


def _holds(labels: sa.ColumnElement[Any], matcher: alerts.Matcher) -> sa.ColumnElement[bool]:
    """A label that is not there is an empty one."""
    given = labels.op("->>", return_type=sa.Text())(text.storable(matcher.name))
    value = sa.func.coalesce(given, "")
    wanted = text.storable(matcher.value)
    holds = value.regexp_match(f"^(?:{wanted})$") if matcher.is_regex else value == wanted
    return holds if matcher.is_equal else sa.not_(holds)
