"""Alerts that were dated anew while they lasted, joined again.

A Prometheus that is killed raises what still fires again, with a start of its own. Alertmanager
joins that to the alert it holds, since the two overlap (Alert.Merge), and tells the first start. If
it is killed as well, it knows the second start alone, and with a group's next message tells that
it is over: the end of an episode that nobody was ever told had begun.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from detector import alerts
from detector.store import text

Key = tuple[str, datetime]

_TAKEN_OUT = sa.text("""
    WITH told AS (
        SELECT * FROM unnest(CAST(:told AS text[]), CAST(:began AS timestamptz[]))
            AS told (fingerprint, starts_at)
    ), next AS (
        SELECT fingerprint, (
            SELECT min(after.starts_at) FROM episodes AS after
            WHERE after.fingerprint = told.fingerprint AND after.starts_at > told.starts_at
        ) AS starts_at FROM told
    ), joined AS (
        SELECT later.id, later.starts_at, (
            SELECT max(before.starts_at) FROM episodes AS before
            WHERE before.fingerprint = later.fingerprint AND before.starts_at < later.starts_at
        ) AS joined_to
        FROM (SELECT * FROM told UNION SELECT * FROM next) AS known
        JOIN episodes AS later USING (fingerprint, starts_at)
        WHERE NOT EXISTS (
                SELECT FROM notifications AS heard
                WHERE heard.episode_id = later.id AND heard.starts_at = later.starts_at
                    AND heard.state = 'firing'
            ) AND NOT EXISTS (
                SELECT FROM transitions AS marked
                WHERE marked.episode_id = later.id AND marked.starts_at = later.starts_at
            )
    ), gone AS (
        DELETE FROM episodes USING joined, episodes AS earlier
        WHERE episodes.id = joined.id AND episodes.starts_at = joined.starts_at
            AND earlier.fingerprint = episodes.fingerprint AND earlier.starts_at = joined.joined_to
            AND earlier.ends_at >= episodes.starts_at
        RETURNING episodes.*, joined.joined_to
    ), unheard AS (
        DELETE FROM notifications USING gone
        WHERE notifications.episode_id = gone.id AND notifications.starts_at = gone.starts_at
        RETURNING
            notifications.episode_id, notifications.receiver,
            notifications.received_at AS first_heard_at
    )
    SELECT gone.*, unheard.receiver, unheard.first_heard_at
    FROM gone JOIN unheard ON unheard.episode_id = gone.id
""")


@dataclass(frozen=True, slots=True)
class Joined:
    """The end of an episode that was part of another: told of that one, and when it was
    first heard."""

    notification: alerts.Notification
    heard_at: datetime


def take_out(connection: sa.Connection, told: Collection[Key]) -> list[Joined]:
    """Take out those of these episodes and the ones after them that were told as over alone, began
    before the end of the one before them, and of which nobody has said anything."""
    given = {
        "told": [fingerprint for fingerprint, _ in told],
        "began": [starts_at for _, starts_at in told],
    }
    return [
        Joined(
            alerts.Notification(
                fingerprint=alerts.Fingerprint(row.fingerprint),
                starts_at=row.joined_to,
                ends_at=row.ends_at,
                state=alerts.State.RESOLVED,
                labels=text.labels(row.labels),
                annotations=text.labels(row.annotations),
                generator_url=row.generator_url,
                receiver=row.receiver,
            ),
            row.first_heard_at,
        )
        for row in connection.execute(_TAKEN_OUT, given)
    ]
