"""The queries that run now; which ones may change while they do."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detector import frames
from detector.services import forecasting, scoring, watching


@dataclass(frozen=True, slots=True)
class Member:
    """One query.

    origin   all that it was made from: a runner made from an equal one would do the same
    tracker  that watches the runner
    forecaster
             where the query asks for forecasts
    """

    origin: object
    runner: scoring.QueryRunner
    tracker: watching.Tracker
    forecaster: forecasting.Forecaster | None = None


class Roster:
    """The members, replaced all at once; threads may share it."""

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self._lock = threading.Lock()
        self._members = {member.runner.spec.name: member for member in members}
        self._leaving: list[scoring.QueryRunner] = []

    @property
    def members(self) -> dict[str, Member]:
        """The members by the names of their queries."""
        return dict(self._members)

    def runners(self) -> tuple[scoring.QueryRunner, ...]:
        """What runs each query, in the order of the configuration."""
        return tuple(member.runner for member in self._members.values())

    def forecasters(self) -> tuple[forecasting.Forecaster, ...]:
        """What foresees the queries that ask for it."""
        found = (member.forecaster for member in self._members.values())
        return tuple(each for each in found if each is not None)

    def tracker(self, query: str) -> watching.Tracker | None:
        """What watches this query; None if it is not run."""
        member = self._members.get(query)
        return None if member is None else member.tracker

    def series_of(self, query: str) -> Sequence[frames.Labels]:
        """Labels of the series of a query that are scored now."""
        member = self._members.get(query)
        standing = None if member is None else member.runner.standing
        return () if standing is None else standing.labels

    def replace(self, members: Iterable[Member]) -> None:
        """Run these from now on. A query that is not among them any more is to be ended; the new
        runner of one that is ends the old one itself, when it has learnt as much."""
        new = {member.runner.spec.name: member for member in members}
        with self._lock:
            for name, old in self._members.items():
                if name not in new:
                    self._leaving.append(old.runner)
                elif new[name].runner is not old.runner:
                    new[name].runner.succeed(old.runner)
            self._members = new

    def take_leaving(self) -> tuple[scoring.QueryRunner, ...]:
        """The runners that nothing succeeds, each once: their series are to be ended."""
        with self._lock:
            leaving, self._leaving = self._leaving, []
        return tuple(leaving)
