"""A page of episodes in bounded time, whatever is asked for and however many there are.

PostgreSQL's planner has two ways to a page of the newest matches, and loses with either: it walks
all episodes in their order when matches are rarer than its statistics say, or sorts a million
matches of a common word. So the way is chosen here. First the newest episodes of the range are
looked through in their order: that fills the page of whatever is common, and tells how common each
condition is. If it does not, the rest of the range is asked for through the indexes of the rare
conditions alone, some months at a time. A month in which too many match is looked through.
Where an index holds the order of those of which a condition holds, only these are looked through.
Days within a month are told apart by the pages that hold them (episodes_by_time): to read them off
the index of the order takes longer than all the rest of a question.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from detector import alerts
from detector.store import partitions, tables, text

_EPISODES = tables.episodes
_C = _EPISODES.c
_INSTANT = sa.DateTime(timezone=True)
_NEWEST_FIRST = (_C.starts_at.desc(), _C.id.desc())
LOOK = 2_000
"""Episodes that are looked through first; then four times as many each time."""
WALK = 12_000
"""So many more are looked through before an index is asked, where that will fill the page."""
DENSE = 8_000
"""Matches of a span that are sorted."""
SCATTERED = 5
"""Episodes of an index lie apart: one takes as long as so many that follow each other."""
SPARE = 2
"""Times as far back is asked as the page needs, if what comes is as what was looked through; four
times as many each time that it was not."""
RARE = 0.02
"""Share of the episodes that were looked through, up to which an index is worth asking."""
LONG = timedelta(days=1)
"""What lasted longer is in the index episodes_long."""
_WORDS = sa.text(
    "SELECT word FROM regexp_split_to_table(:given, :no_word) AS word WHERE word <> ''"
).bindparams(no_word=tables.NO_WORD)
"""As the column `words` is made."""
NO_START_UP = "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
"""To compile, or to start workers, takes longer than a page may."""
_IN_ORDER, _BY_INDEX, _BY_INDEXES = (
    "; ".join(
        [
            *(f"SET LOCAL enable_{kind} = {ordered}" for kind in ("seqscan", "indexscan")),
            f"SET LOCAL enable_indexonlyscan = {ordered}",
            f"SET LOCAL enable_bitmapscan = {gathered}",
            f"SET LOCAL cpu_tuple_cost = {row_cost}",
        ]
    )
    for ordered, gathered, row_cost in (
        ("on", "off", 0.01),
        ("off", "on", 0.01),
        ("off", "on", 20),
    )
)
"""How rows are found: in an order, or one by one; by indexes of conditions, never in an order or by
reading all; or by several of these at once. The planner takes every label for rare, and would read
all rows of a month to keep those of a day, or of an owner: it does not where rows are dear."""
_PLACES = (
    sa.func.unnest(
        sa.bindparam("starts", type_=postgresql.ARRAY(_INSTANT)),
        sa.bindparam("ids", type_=postgresql.ARRAY(sa.BigInteger)),
    )
    .table_valued(sa.column("starts_at", _INSTANT), sa.column("id", sa.BigInteger), name="places")
    .render_derived()
)
_ROWS = (
    sa.select(*(each for each in _C if each is not _C.words))
    .join(_PLACES, sa.and_(_C.starts_at == _PLACES.c.starts_at, _C.id == _PLACES.c.id))
    .where(_C.starts_at.between(sa.bindparam("first"), sa.bindparam("last")))
    .order_by(*_NEWEST_FIRST)
)
"""Whole rows of places between the first and the last, which tell their partitions."""
MOST_MONTHS = 9
"""That are asked for at once, before all that are left."""
ALL_MONTHS = MOST_MONTHS + 1
"""Of an owner's, or of those that were judged: they are few."""

A_MONTH = timedelta(days=30)
A_MOMENT = timedelta(microseconds=1)
"""PostgreSQL's instants have no more digits: with row 0 of an instant all of it is done."""

Place = tuple[datetime, int]
"""(starts_at, id): episodes are in the order of it, newest first."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of an episode.

    is_indexed  an index finds those of which it does
    is_ordered  newest first
    """

    holds: sa.ColumnElement[bool]
    is_indexed: bool = False
    is_ordered: bool = False

    @property
    def hidden(self) -> sa.ColumnElement[bool]:
        """The same, in words that no index answers to."""
        return self.holds.is_(sa.true())


def page(connection: sa.Connection, wanted: alerts.EpisodeFilter) -> list[sa.Row[Any]]:
    """The rows of the episodes that match, one more than a page holds if there are as many."""
    connection.exec_driver_sql(f"{NO_START_UP}; {_IN_ORDER}")
    place = None
    if wanted.before_id is not None:
        place = _place_of(connection, wanted.before_id)
        if place is None:
            return []
    conditions = list(_conditions(connection, wanted))
    search = _Search(connection, conditions, wanted.limit + 1, wanted.until, place)
    if _is_of_firing_ones(wanted):
        search.among_firing()
    else:
        floor = None if wanted.since is None else _before(wanted.since)
        search.newest_first(floor)
        if wanted.since is not None and floor is not None:
            search.among_long(wanted.since)
    return search.rows()


class _Search:
    """What has been found so far: all that matches down to `place`, which is done itself."""

    def __init__(
        self,
        connection: sa.Connection,
        conditions: Sequence[Condition],
        most: int,
        until: datetime | None,
        place: Place | None,
    ) -> None:
        self.found: list[Place] = []
        self._connection = connection
        self._within = next((each for each in conditions if each.is_ordered), None)
        self._conditions = [each for each in conditions if each is not self._within]
        self._most = most
        self._until = until
        self._place = place
        self._plan = _IN_ORDER
        self._seen = 0
        self._newest: datetime | None = None
        self._held = [0] * len(self._conditions)

    def newest_first(self, floor: datetime | None) -> None:
        """All that match from the floor on."""
        can_ask = any(each.is_indexed for each in self._conditions)
        apart = 1 if self._within is None else SCATTERED
        for limit in _growing(LOOK // apart):
            if self._look(limit, floor):
                return
            if can_ask and not self._will_do(WALK // apart):
                return self._ask_by_months(floor)

    def among_firing(self) -> None:
        """Those that fire: there are never many."""
        self._take(self._select(_C.state == alerts.State.FIRING.value))

    def among_long(self, since: datetime) -> None:
        """Those that lasted longer than LONG and had not ended by then, below `place`."""
        lasted = sa.and_(_C.ends_at >= since, _C.ends_at - _C.starts_at > sa.text("'1 day'"))
        alive = sa.or_(_C.state == alerts.State.FIRING.value, lasted)
        if self._missing:
            self._take(self._select(alive))

    def rows(self) -> list[sa.Row[Any]]:
        """Whole rows of what was found."""
        if not self.found:
            return []
        self._find(_IN_ORDER)
        starts, ids = map(list, zip(*self.found, strict=True))
        wanted = {"starts": starts, "ids": ids, "first": min(starts), "last": max(starts)}
        return list(self._connection.execute(_ROWS, wanted).all())

    @property
    def _missing(self) -> int:
        return self._most - len(self.found)

    def _will_do(self, limit: int) -> bool:
        """Whether the page fills within so many more, if they are as those before."""
        return bool(self.found) and self._missing * self._seen <= limit * len(self.found)

    def _look(self, limit: int, floor: datetime | None) -> bool:
        """Look through so many in their order; whether that is all, or fills the page."""
        if not self._conditions:
            limit = self._missing
        self._find(_IN_ORDER)
        holds = [each.holds.label(f"c{place}") for place, each in enumerate(self._conditions)]
        looked = (
            sa.select(_C.id, _C.starts_at, *holds)
            .where(*self._between(floor))
            .order_by(*_NEWEST_FIRST)
            .limit(limit)
            .cte("looked")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        c = looked.c
        held = [c[each.name] for each in holds]
        last = sa.select(c.id).order_by(c.starts_at.desc(), c.id.desc()).offset(limit - 1)
        counted = self._connection.execute(
            sa.select(
                sa.func.count(),
                *self._newest_of(looked, held),
                sa.func.max(c.starts_at),
                sa.func.min(c.starts_at),
                last.scalar_subquery(),
                *(sa.func.count().filter(each) for each in held),
            ).select_from(looked)
        ).one()
        seen, starts, ids, first_start, last_start, last_id, *counts = counted
        self._seen += seen
        self._newest = self._newest or first_start
        self._held = list(map(operator.add, self._held, counts))
        self.found += zip(starts, ids, strict=True)
        if seen < limit:
            self._reach(floor)
            return True
        self._place = (last_start, last_id)
        return not self._missing

    def _ask_by_months(self, floor: datetime | None) -> None:
        """Through the indexes of what is rare, more months at a time while little is found."""
        rare = [held <= RARE * self._seen for held in self._held]
        if not any(
            one and each.is_indexed for one, each in zip(rare, self._conditions, strict=True)
        ):
            rare = [True] * len(rare)
        holds = [
            each.holds if is_rare else each.hidden
            for each, is_rare in zip(self._conditions, rare, strict=True)
        ]
        months = 1 if self.found else 2 if self._within is None else ALL_MONTHS
        spare = SPARE
        while self._missing and self._place is not None:
            guess = self._guess(spare)
            spare = 0 if guess is None else spare * 4
            start = _latest(guess or _months_before(self._place, months), floor)
            is_part = guess is not None or self._within is not None
            self._find(_BY_INDEXES if is_part else _BY_INDEX)
            count, found = self._ask(start, holds)
            if count <= DENSE:
                self.found += found
                self._reach(start)
                months *= 3
            elif guess is None and months > 1:
                months = 1
            else:
                self._walk(start)
            if floor is not None and self._place <= (floor, 0):
                return

    def _guess(self, spare: int) -> datetime | None:
        """How far back the page fills, so many times over; None where nothing tells, or where that
        is further than a month."""
        if not self.found or self._place is None or self._newest is None:
            return None
        apart = (self._newest - self._place[0]) / len(self.found)
        back = spare * self._missing * apart
        return self._place[0] - back if timedelta(0) < back < A_MONTH else None

    def _ask(
        self, start: datetime | None, holds: Sequence[sa.ColumnElement[bool]]
    ) -> tuple[int, list[Place]]:
        """How many match, DENSE + 1 at most, and the newest of them."""
        found = (
            sa.select(_C.starts_at, _C.id)
            .where(*self._between(start), *holds)
            .limit(DENSE + 1)
            .cte("found")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        query = sa.select(sa.func.count(), *self._newest_of(found)).select_from(found)
        count, starts, ids = self._connection.execute(query).one()
        return count, list(zip(starts, ids, strict=True))

    def _newest_of(
        self, rows: sa.CTE, holds: Sequence[sa.ColumnElement[bool]] = ()
    ) -> Iterator[sa.ColumnElement[Any]]:
        """Starts and ids of the newest that the page has room for, an array each."""
        c = rows.c
        newest = sa.select(c.starts_at, c.id).where(*holds)
        newest = newest.order_by(c.starts_at.desc(), c.id.desc()).limit(self._missing)
        for each in (c.starts_at, c.id):
            yield sa.func.array(newest.with_only_columns(each).scalar_subquery())

    def _walk(self, floor: datetime | None) -> None:
        for limit in _growing(LOOK):
            if self._look(limit, floor):
                return

    def _select(self, holds: sa.ColumnElement[bool]) -> list[Place]:
        """Of those of which this holds, which an index finds, the newest that match."""
        query = (
            sa.select(_C.starts_at, _C.id)
            .where(*self._between(None), holds, *(each.hidden for each in self._conditions))
            .order_by(*_NEWEST_FIRST)
            .limit(self._missing)
        )
        self._find(_BY_INDEX)
        return [(row.starts_at, row.id) for row in self._connection.execute(query)]

    def _find(self, plan: str) -> None:
        """From now on in this way."""
        if plan != self._plan:
            self._connection.exec_driver_sql(plan)
            self._plan = plan

    def _take(self, places: Sequence[Place]) -> None:
        self.found += places[: self._missing]

    def _reach(self, floor: datetime | None) -> None:
        """Everything from the floor on is done."""
        reached = None if floor is None else (floor, 0)
        if reached is None or self._place is None:
            self._place = reached
        else:
            self._place = min(self._place, reached)

    def _between(self, floor: datetime | None) -> Iterator[sa.ColumnElement[bool]]:
        """Each end once: the planner takes two that mean the same for rarer than one."""
        if self._within is not None:
            yield self._within.holds
        if floor is not None:
            yield _C.starts_at >= floor
        if self._place is not None and (self._until is None or self._place[0] < self._until):
            yield _C.starts_at <= self._place[0]  # partitions are told from this alone
            yield (sa.tuple_(_C.starts_at, _C.id) < sa.tuple_(*self._place)).is_(sa.true())
        elif self._until is not None:
            yield _C.starts_at < self._until


def _conditions(connection: sa.Connection, wanted: alerts.EpisodeFilter) -> Iterator[Condition]:
    for pair in wanted.labels:
        yield Condition(_C.labels.contains(text.document((pair,))), is_indexed=True)
    for word in _words(connection, wanted.text):
        query = sa.func.to_tsquery("simple", f"{word}:*")
        yield Condition(_C.words.op("@@", is_comparison=True)(query), is_indexed=True)
    if wanted.owner:
        holds = _C.owner == text.storable(wanted.owner)
        yield Condition(holds, is_indexed=True, is_ordered=True)
    if wanted.feedback is not None:
        holds = _C.feedback == wanted.feedback.value
        yield Condition(holds, is_indexed=True, is_ordered=True)
    if wanted.state is not None:
        yield Condition(_C.state == wanted.state.value)
    if wanted.status is not None:
        yield Condition(_C.status == wanted.status.value)
    if wanted.since is not None:
        yield Condition(sa.or_(_C.ends_at.is_(None), _C.ends_at >= wanted.since))


def _words(connection: sa.Connection, given: str) -> Sequence[str]:
    if not given:
        return ()
    found = connection.scalars(_WORDS, {"given": text.storable(given)}).all()
    return tuple(dict.fromkeys(found))


def _is_of_firing_ones(wanted: alerts.EpisodeFilter) -> bool:
    return wanted.state is alerts.State.FIRING or wanted.status not in {
        None,
        alerts.Status.RESOLVED,
    }


def _place_of(connection: sa.Connection, episode_id: int) -> Place | None:
    query = sa.select(_C.starts_at, _C.id).where(_C.id == episode_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.starts_at, row.id)


def _before(since: datetime) -> datetime | None:
    """The floor of what lasted no longer than LONG until then; None: before all."""
    return None if since < partitions.FIRST else since - LONG


def _growing(first: int) -> Iterator[int]:
    """How many to look through next."""
    for power in itertools.count():
        yield max(first, 1) * 4**power


def _months_before(place: Place, months: int) -> datetime | None:
    """When the month begins that is so many back, that of what comes next the first; None: before
    all."""
    if months > MOST_MONTHS:
        return None
    instant, row = place
    month = (instant if row else instant - A_MOMENT).astimezone(UTC)
    number = month.year * 12 + month.month - months
    year, rest = divmod(number, 12)
    return None if year < partitions.FIRST.year else datetime(year, rest + 1, 1, tzinfo=UTC)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)
