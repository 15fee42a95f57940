"""The configuration read again while everything runs: staged, and taken up whole or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pydantic

from detector import config, errors, planning, ports, telemetry
from detector.services import roster

logger = logging.getLogger(__name__)

FREE = frozenset(
    {
        "queries",
        "presets",
        "calendars",
        "metric_collection_interval",
        "thresholds",
        "email",
        "slack",
    }
)
"""Settings that may change: of queries and policies, and those that only `mda render` asks for."""
FREE_OF_DETECTION = frozenset({"catch_up", "series_ttl", "seed", "startup_timeout"})


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload did: names of queries.

    kept     go on with all they have learnt
    changed  begin with history again, and take the old ones' place when that is learnt
    """

    kept: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class Reloading:
    """Brings the roster in line with the configuration as it is now.

    settings  that the roster was made from
    load      reads the configuration; raises ConfigError
    check     raises ConfigError for what is wrong with it; names the queries that are new or other
    make      a member for a query
    """

    def __init__(
        self,
        settings: config.Settings,
        *,
        load: Callable[[], config.Settings],
        check: Callable[[config.Settings, Collection[str]], None],
        make: Callable[[config.Settings, config.Query, ports.PlannedTime], roster.Member],
        queries: roster.Roster,
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._load, self._check, self._make = settings, load, check, make
        self._roster, self._meters, self._clock = queries, meters, clock
        self._lock = threading.Lock()
        self._succeeded()

    def current(self) -> config.Settings:
        """The settings that were taken up last."""
        return self._settings

    def reload(self) -> Changes:
        """Take up what has changed. Threads may call it; they take turns.

        Raises ConfigError: then all is as it was.
        """
        with self._lock:
            try:
                changes = self._reload()
            except errors.ConfigError as error:
                self._meters.reload_succeeded.set(0)
                logger.error("configuration refused", extra={"reason": str(error)})
                raise
            self._succeeded()
        logger.info(
            "configuration reloaded",
            extra={
                "kept": len(changes.kept),
                "added": ",".join(changes.added),
                "changed": ",".join(changes.changed),
                "removed": ",".join(changes.removed),
            },
        )
        return changes

    def _reload(self) -> Changes:
        new = self._load()
        fixed = next(_fixed_changes(self._settings, new), None)
        if fixed is not None:
            raise errors.ConfigError(
                f"{fixed}: changed: restart the detector for this one, or change it back"
            )
        queries = {query.name: query for query in new.all_queries()}
        before = self._roster.members
        kept = {
            name
            for name, query in queries.items()
            if name in before and before[name].origin == origin_of(new, query)
        }
        self._check(new, queries.keys() - kept)
        plans = planning.Planning(new)
        calendars = {name: plans.planned_time(query.calendar) for name, query in queries.items()}
        members = [
            before[name] if name in kept else self._make(new, query, calendars[name])
            for name, query in queries.items()
        ]
        for name in kept:
            before[name].runner.follow_calendar(calendars[name])
        self._roster.replace(members)
        self._settings = new
        return Changes(
            kept=tuple(name for name in queries if name in kept),
            added=tuple(name for name in queries if name not in before),
            changed=tuple(name for name in queries if name in before and name not in kept),
            removed=tuple(name for name in before if name not in queries),
        )

    def _succeeded(self) -> None:
        self._meters.reload_succeeded.set(1)
        self._meters.reload_time.set(self._clock())


def origin_of(settings: config.Settings, query: config.Query) -> object:
    """All that a query's runner is made from; its calendar may change under way."""
    detection = settings.detection
    return (
        query.model_copy(update={"calendar": ()}),
        settings.expr_of(query),
        settings.step_of(query),
        detection.catch_up,
        detection.series_ttl,
        detection.seed,
    )


def _fixed_changes(old: config.Settings, new: config.Settings) -> Iterator[str]:
    """Keys of what differs and may not."""
    for key in sorted(type(old).model_fields.keys() - FREE):
        before, after = getattr(old, key), getattr(new, key)
        if before == after:
            continue
        if isinstance(before, pydantic.BaseModel):
            free = FREE_OF_DETECTION if key == "detection" else frozenset()
            for part in sorted(type(before).model_fields.keys() - free):
                if getattr(before, part) != getattr(after, part):
                    yield f"{key}.{part}"
        else:
            yield key
