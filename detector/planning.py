"""The calendars of the configuration, and their files, which are read again when they change."""

from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, get_args

from detector import config, errors, frames, plans, wall_clock
from detector.models import calendars

if TYPE_CHECKING:
    from detector.models import events

LARGEST_FILE_BYTES = 1_000_000
"""Some 6,000 events, which take a second or two to read."""
_WEEKDAYS = get_args(config.Weekday)

Stamp: TypeAlias = tuple[int, int, int]
"""What tells a changed file: inode, size, time of its last change."""

logger = logging.getLogger(__name__)


class CalendarFile:
    """The events of an iCalendar file as they are now; those last understood while it is broken.

    Raises ConfigError if the file cannot be understood at first. Safe from threads.
    """

    def __init__(self, path: Path, *, key: str, zone: tzinfo) -> None:
        self._path, self._key, self._zone = path, key, zone
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        try:
            self._events: events.Events = self._read()
        except ValueError as error:
            raise errors.ConfigError(f"{key}: {str(path)!r}: {error}") from error

    def current(self) -> events.Events:
        """The same object until the file changes; a broken file is said so once."""
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._events

    def _read_again(self) -> None:
        known: dict[str, object] = {"calendar": self._key, "file": str(self._path)}
        try:
            self._events = self._read()
        except ValueError as error:
            extra = known | {"reason": str(error)}
            logger.warning("calendar file is broken, the last good one is kept", extra=extra)
        else:
            logger.info("calendar file read again", extra=known | {"events": self._events.count})

    def _read(self) -> events.Events:
        from detector.models import events  # heavy, so only who has a file pays for it

        return events.parse_events(_text(self._path), zone=self._zone)


class PlannedTime:
    """ports.PlannedTime: the time that calendars cover, as their files are now."""

    def __init__(self, fixed: Iterable[calendars.Plan], files: Iterable[CalendarFile]) -> None:
        self._fixed, self._files = tuple(fixed), tuple(files)
        self._calendar = self._current(tuple(file.current() for file in self._files))

    def is_planned(self, times_ms: frames.Ints) -> frames.Bools:
        """bool[T]: which of these instants lie in planned time; see Calendar.is_planned."""
        return self._followed().is_planned(times_ms)

    def next_change(self, after: datetime) -> datetime | None:
        """When planned time next begins or ends; see Calendar.next_change."""
        return self._followed().next_change(after)

    def _followed(self) -> calendars.Calendar:
        """The calendar, a new one if a file has changed; two threads at worst make it twice."""
        found = tuple(file.current() for file in self._files)
        held = self._calendar
        if held.plans[len(self._fixed) :] != found:
            self._calendar = held = self._current(found)
        return held

    def _current(self, found: tuple[events.Events, ...]) -> calendars.Calendar:
        return calendars.Calendar((*self._fixed, *found))


class Planning:
    """What the configured calendars say, by name; made once, so that queries share the work.

    Raises ConfigError for a holiday code or a file that is not understood.
    """

    def __init__(self, configured: config.Settings) -> None:
        given = configured.calendars
        self._fixed = {name: tuple(_fixed(name, given[name])) for name in given}
        self._files = {name: tuple(_files(name, given[name])) for name in given}
        self._made: dict[tuple[str, ...], PlannedTime] = {}

    def planned_time(self, names: tuple[str, ...]) -> PlannedTime:
        """The time that at least one of these calendars covers; none without names."""
        if names not in self._made:
            self._made[names] = PlannedTime(
                [plan for name in names for plan in self._fixed[name]],
                [file for name in names for file in self._files[name]],
            )
        return self._made[names]


def _fixed(name: str, given: config.Calendar) -> Iterator[calendars.Plan]:
    zone = given.timezone
    for weekly in given.weekly:
        days = frozenset(_WEEKDAYS.index(day) for day in weekly.days)
        yield plans.Weekly(zone, days, weekly.start, weekly.end)
    for once in given.once:
        yield _once(once, zone)
    for number, code in enumerate(given.holidays):
        try:
            yield plans.parse_holidays(code, zone=zone)
        except ValueError as error:
            raise errors.ConfigError(f"calendars.{name}.holidays.{number}: {error}") from error


def _once(given: config.OnceWindow, zone: tzinfo) -> plans.Once:
    if given.start.tzinfo is None:
        return plans.Once(*wall_clock.span_from_wall(given.start, given.end, zone))
    return plans.Once(given.start.astimezone(UTC), given.end.astimezone(UTC))


def _files(name: str, given: config.Calendar) -> Iterator[CalendarFile]:
    if given.ics is not None:
        yield CalendarFile(given.ics, key=f"calendars.{name}.ics", zone=given.timezone)


def _stamp(path: Path) -> Stamp | None:
    """None for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _text(path: Path) -> str:
    """Raises ValueError: not a file that can be read, too large, not UTF-8."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a file: an iCalendar file is needed")
        if found.st_size > LARGEST_FILE_BYTES:
            raise ValueError(f"{found.st_size} bytes: {LARGEST_FILE_BYTES} are allowed")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{error.strerror}: name a file that can be read") from error
