"""Finding alerts among many: every filter of GET /api/alerts through the real store.

`python -m benchmarks alerts --rows 10000000` loads so many by COPY, over 400 days, into a
PostgreSQL of its own with its default settings. Indexes are made after loading, as a restore does.
"""

from __future__ import annotations

import dataclasses
import pathlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from benchmarks import report
from detector import alerts
from detector.store import database, episodes, migrate, partitions
from tests import stack

ROWS = 1_000_000
SPAN = timedelta(days=400)
FIRING = 5_000
"""Alerts that fire at the end; as a rule those that began last."""
RARE = 10
"""Alerts that have the rare label, the rare word and the rare owner."""
REQUESTS = 200
"""Of each kind."""
P95_MS = 50.0
RULES, HOSTS, POLICIES = 200, 5_000, 300
TEAMS = ("web", "data", "payments", "search", "platform")
SEVERITIES = ("critical", "high", "warning", "medium", "low", "info")
PEOPLE = ("ann", "bob", "carla", "dirk")
FEEDBACK = ("true", "false_alarm", "planned")
WORDS = ("disk", "queue", "latency", "memory", "errors", "backlog", "certificate", "cpu")
COLUMNS = (
    "fingerprint, starts_at, ends_at, state, labels, annotations, generator_url, received_at, "
    "updated_at, heard_at, status, owner, feedback, facts"
)
LOADERS = 2
"""Connections that load at once, each its part of the time."""
LINES = 100
"""That are made at a time, while PostgreSQL takes those before."""
SAID_EVERY = 500_000
LONG = 0.002
"""Share of alerts that last longer than a day."""
GOLDEN = 0x9E37_79B9_7F4A_7C15
"""Spreads numbers over 64 bits (Knuth, The Art of Computer Programming, 6.4)."""


class Rows:
    """Made-up alerts in the order of time, as lines of COPY, read like a file."""

    def __init__(
        self, count: int, end: datetime, say: Callable[[str], None], part: int, seed: int = 7
    ) -> None:
        self._count = count
        self._end = end
        self._say = say
        self._draw = random.Random(seed + part).random
        self._rare = {count * (2 * each + 1) // (2 * RARE) for each in range(RARE)}
        self._next, self._last = (count * each // LOADERS for each in (part, part + 1))

    def read(self, _: int = -1) -> str:
        """Some more lines; "" after the last one."""
        first, step = self._end - SPAN, SPAN / self._count
        numbers = range(self._next, min(self._next + LINES, self._last))
        self._next = numbers.stop
        if numbers and (numbers.stop % SAID_EVERY == 0 or numbers.stop == self._last):
            self._say(f"alert {numbers.stop:,} of {self._count:,}")
        return "".join([self._line(number, first + step * number) for number in numbers])

    def _line(self, number: int, starts_at: datetime) -> str:
        draw = self._draw
        rule, host = int(RULES * draw() ** 3), int(HOSTS * draw())
        word, is_rare = WORDS[rule % 8], number in self._rare
        more = ', "canary": "yes"' if is_rare else ""
        if draw() < 0.4:
            policy = int(POLICIES * draw() ** 2)
            more += f', "policy": "Policy {policy}", "policy_rule": "1", "policy_revision": "3"'
        labels = (
            f'{{"alertname": "Rule{rule}", "instance": "host-{host}.example.org:9100", '
            f'"job": "node", "severity": "{SEVERITIES[int(6 * draw() ** 0.5)]}", '
            f'"team": "{TEAMS[rule % 5]}", "zone": "{"eu" if draw() < 0.5 else "us"}"{more}}}'
        )
        annotations = (
            f'{{"summary": "{word} of host-{host} is at {draw() * 100:.0f} %'
            f'{" zyzzyva" if is_rare else ""}", "description": "The {word} usage is high", '
            f'"runbook": "https://runbooks.example.org/{word}/{rule}"}}'
        )
        lasts = timedelta(seconds=20 + 100_000 * draw() ** 12)
        if draw() < LONG:
            lasts += timedelta(days=1 + 6 * draw())
        is_open = number >= self._count - FIRING and draw() < 0.8
        owner = "zoe" if is_rare else PEOPLE[int(4 * draw())] if draw() < 0.05 else ""
        feedback = FEEDBACK[int(3 * draw() ** 2)] if draw() < 0.02 else "\\N"
        status = ("acknowledged" if owner else "firing") if is_open else "resolved"
        heard = (starts_at + lasts).isoformat()
        facts = '{"value": "93 %", "expected": "40 %", "score": "2.1"}' if draw() < 0.5 else "{}"
        fingerprint = (rule * HOSTS + host) * GOLDEN & 0xFFFF_FFFF_FFFF_FFFF
        return (
            f"{fingerprint:016x}\t{starts_at.isoformat()}\t{chr(92) + 'N' if is_open else heard}\t"
            f"{'firing' if is_open else 'resolved'}\t{labels}\t{annotations}\t"
            f"http://prometheus.example.org/graph\t{heard}\t{heard}\t{heard}\t{status}\t{owner}\t"
            f"{feedback}\t{facts}\n"
        )


def load(url: str, rows: int, end: datetime, say: Callable[[str], None]) -> None:
    """Put so many alerts into an empty database that has been migrated."""
    began = time.monotonic()

    def told(text: str) -> None:
        say(f"{text} after {time.monotonic() - began:.0f} s")

    connections = database.Database(url)
    with connections.begin() as connection:
        partitions.ensure(connection, (end - timedelta(days=each) for each in range(401)))
    connections.close()
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("""
            SELECT format('DROP INDEX %I', indexname), indexdef FROM pg_indexes
            WHERE tablename = 'episodes' AND indexname NOT IN (SELECT conname FROM pg_constraint)
        """)
        indexes = cursor.fetchall()
        for drop, _ in indexes:
            cursor.execute(drop)
    with futures.ThreadPoolExecutor(LOADERS) as pool:
        parts = [Rows(rows, end, told, part) for part in range(LOADERS)]
        list(pool.map(lambda part: copy(url, part), parts))
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, create in indexes:
            cursor.execute(create.replace(" ON ONLY ", " ON "))
            told(create.split()[2])
        cursor.execute("ANALYZE")
    told("analysed")


def copy(url: str, lines: Rows) -> None:
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.copy_expert(f"COPY episodes ({COLUMNS}) FROM STDIN", lines)


def connected(url: str) -> Any:
    return psycopg2.connect(url.replace("postgresql+psycopg2", "postgresql"))


def kinds(rows: int, end: datetime) -> dict[str, Callable[[], alerts.EpisodeFilter]]:
    """What is asked for, each time anew."""
    draw, wanted = random.Random(3), alerts.EpisodeFilter
    eu, canary, never = ("zone", "eu"), ("canary", "yes"), ("team", "data")

    def host() -> tuple[str, str]:
        return "instance", f"host-{draw.randrange(HOSTS)}.example.org:9100"

    def moment() -> datetime:
        return end - SPAN * draw.random()

    def some_id() -> int:
        return draw.randrange(1, rows + 1)

    return {
        "the newest": wanted,
        "deep pages": lambda: wanted(before_id=some_id()),
        "firing": lambda: wanted(state=alerts.State.FIRING),
        "acknowledged": lambda: wanted(status=alerts.Status.ACKNOWLEDGED),
        "firing, one host": lambda: wanted(state=alerts.State.FIRING, labels=(host(),)),
        "resolved": lambda: wanted(state=alerts.State.RESOLVED),
        "a severity": lambda: wanted(labels=(("severity", draw.choice(SEVERITIES)),)),
        "a policy": lambda: wanted(labels=(("policy", f"Policy {draw.randrange(POLICIES)}"),)),
        "an owner of 1 %": lambda: wanted(owner=draw.choice(PEOPLE)),
        "an owner of ten": lambda: wanted(owner="zoe"),
        "feedback": lambda: wanted(feedback=draw.choice(list(alerts.Feedback))),
        "a label of half": lambda: wanted(labels=(eu,)),
        "a label of half, deep pages": lambda: wanted(labels=(eu,), before_id=some_id()),
        "a label of ten": lambda: wanted(labels=(canary,)),
        "a label of ten, of half": lambda: wanted(labels=(eu, canary)),
        "a label of none": lambda: wanted(labels=(("canary", "no"),)),
        "a host": lambda: wanted(labels=(host(),)),
        "a host, deep pages": lambda: wanted(labels=(host(),), before_id=some_id()),
        "labels that never meet": lambda: wanted(labels=(("alertname", "Rule0"), never)),
        "a common word": lambda: wanted(text="usage"),
        "a rare word": lambda: wanted(text="zyzz"),
        "a rare and a common word": lambda: wanted(text="usage zyzz"),
        "a word of none": lambda: wanted(text="nowhere"),
        "beginnings of a letter": lambda: wanted(text="u h z"),
        "a word, a label, an owner": lambda: wanted(
            text=draw.choice(WORDS), labels=(host(),), owner=draw.choice(PEOPLE)
        ),
        "since a moment": lambda: wanted(since=moment()),
        "since a moment, the oldest": lambda: since_to(wanted, moment()),
        "a week, a rare word": lambda: in_a_week(wanted(text="zyzz"), moment()),
        "a week, a severity": lambda: in_a_week(wanted(labels=(("severity", "low"),)), moment()),
        "a week, a host": lambda: in_a_week(wanted(labels=(host(),)), moment()),
    }


def since_to(wanted: Callable[..., alerts.EpisodeFilter], since: datetime) -> alerts.EpisodeFilter:
    """What had begun before this moment, and had not ended."""
    return wanted(since=since, until=since)


def in_a_week(wanted: alerts.EpisodeFilter, start: datetime) -> alerts.EpisodeFilter:
    return dataclasses.replace(wanted, since=start, until=start + timedelta(days=7))


def ask(url: str, rows: int, end: datetime, table: report.Report) -> None:
    """Print p50, p95 and p99 of each kind, and of all."""
    connections = database.Database(url)
    store = episodes.PostgresEpisodeStore(connections)
    everything: list[float] = []
    for name, make in kinds(rows, end).items():
        took = sorted(timed(store, make()) for _ in range(REQUESTS))
        everything += took
        told(name, took, table)
    told("all of these", sorted(everything), table)
    connections.close()


def timed(store: episodes.PostgresEpisodeStore, wanted: alerts.EpisodeFilter) -> float:
    began = time.perf_counter()
    store.list_episodes(wanted)
    return (time.perf_counter() - began) * 1000


def told(name: str, took: Sequence[float], table: report.Report) -> None:
    p50, p95, p99 = (took[int(len(took) * share)] for share in (0.5, 0.95, 0.99))
    said = f"{name} (p50 {p50:.1f}, p99 {p99:.1f})"
    table.add(report.Figure(said, p95, "ms", P95_MS))


def main(rows: int = ROWS) -> list[str]:
    """The names of the figures that missed their limit."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-bench-"))
    home.chmod(0o755)
    postgres = stack.postgresql(home)
    end = datetime.now(UTC)
    try:
        postgres.start()
        url = postgres.place.url()
        migrate.migrate(url)
        load(url, rows, end, lambda text: print(text, flush=True))
        table = report.Report(f"Pages of 100 among {rows:,} alerts, p95 of {REQUESTS} requests")
        ask(url, rows, end, table)
        return table.missed
    finally:
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(bool(main()))
