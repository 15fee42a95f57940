"""Statistics of episodes, in bounded time: of all that began in a range, or of a sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from detector import alerts
from detector.store import database, finding

SAMPLE = 10_000
"""Episodes that are looked at, about; of twice as many, all are."""
RULES = 20
PATIENCE = timedelta(seconds=30)
"""What is looked at lies all over the disk, and may be in no cache."""
_RANGE = "starts_at >= :since AND starts_at < :until"
_COUNT = sa.text(f"EXPLAIN (FORMAT JSON) SELECT FROM episodes WHERE {_RANGE}")
"""As the planner estimates it: counting ten million takes seconds."""
_QUERY = """
    WITH sample AS MATERIALIZED (
        SELECT id, fingerprint, starts_at, ends_at, owner, feedback,
            labels ->> 'alertname' AS rule, coalesce(labels ->> 'severity', '') AS severity
        FROM episodes {sampled} WHERE starts_at >= :since AND starts_at < :until
            AND NOT labels ? :test
    ), seen AS MATERIALIZED (
        SELECT rule, severity,
            extract(epoch FROM ends_at - sample.starts_at) AS resolve_s,
            extract(epoch FROM done.acknowledged_at - sample.starts_at) AS acknowledge_s,
            owner = '' AND feedback IS NULL AND done.first_at IS NULL AS without_action,
            coalesce((
                SELECT true FROM episodes AS before
                WHERE before.fingerprint = sample.fingerprint
                    AND before.starts_at < sample.starts_at
                    AND before.starts_at >= sample.starts_at - CAST(:flaps AS interval)
                LIMIT 1
            ), false) AS flapping
        FROM sample CROSS JOIN LATERAL (
            SELECT min(at) AS first_at,
                min(at) FILTER (WHERE status = 'acknowledged') AS acknowledged_at
            FROM transitions
            WHERE episode_id = sample.id AND transitions.starts_at = sample.starts_at
                AND status IN ('acknowledged', 'silenced')
        ) AS done
    )
    SELECT CASE grouping(rule, severity) WHEN 1 THEN 'rule' WHEN 2 THEN 'severity' ELSE 'all' END
            AS kind,
        coalesce(rule, severity, '') AS name, count(*) AS episodes,
        avg(CAST(flapping AS int)) AS flapping, avg(CAST(without_action AS int)) AS without_action,
        avg(acknowledge_s) AS acknowledge_mean, avg(resolve_s) AS resolve_mean,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY acknowledge_s) AS acknowledge_median,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY resolve_s) AS resolve_median
    FROM seen GROUP BY GROUPING SETS ((rule), (severity), ()) ORDER BY episodes DESC, name
"""
"""A subquery and not EXISTS, of which the planner would make a join with all episodes."""


def statistics(connection: sa.Connection, since: datetime, until: datetime) -> alerts.Statistics:
    """Blocks of the tables are drawn, always the same ones of the same table."""
    connection.exec_driver_sql(finding.NO_START_UP)
    database.set_for_transaction(connection, "statement_timeout", PATIENCE)
    given: dict[str, Any] = {"since": since, "until": until}
    (plan,) = connection.scalars(_COUNT, given).one()
    share = min(SAMPLE / max(plan["Plan"]["Plan Rows"], 1), 1.0)
    sampled = "" if share > 0.5 else f"TABLESAMPLE SYSTEM ({share * 100:.6f}) REPEATABLE (1)"
    share = 1.0 if not sampled else share
    given |= {"flaps": alerts.FLAPS_WITHIN, "test": alerts.MDA_TEST}
    rows = connection.execute(sa.text(_QUERY.format(sampled=sampled)), given).all()
    return alerts.Statistics(
        sampled=share,
        total=_tallies(rows, "all", share)[0],
        rules=tuple(_tallies(rows, "rule", share)[:RULES]),
        severities=tuple(_tallies(rows, "severity", share)),
    )


def _tallies(rows: Sequence[sa.Row[Any]], kind: str, share: float) -> list[alerts.Tally]:
    return [
        alerts.Tally(
            name=each.name,
            count=round(each.episodes / share),
            flapping=float(each.flapping or 0),
            without_action=float(each.without_action or 0),
            acknowledge_s=_pair(each.acknowledge_mean, each.acknowledge_median),
            resolve_s=_pair(each.resolve_mean, each.resolve_median),
        )
        for each in rows
        if each.kind == kind
    ]


def _pair(mean: Any, median: Any) -> tuple[float, float] | None:
    return None if mean is None else (float(mean), float(median))
