"""Threads that turn at an interval, can be stopped, and say when they stall."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from detector import errors, telemetry

logger = logging.getLogger(__name__)

STALL_INTERVALS = 5
"""A loop that has not succeeded for so many intervals has stalled, but never before:"""
STALL_AT_LEAST = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of a loop did.

    is_idle  nothing was finished: the turn counts neither as a success nor as a failure
    """

    came_in: int = 0
    went_out: int = 0
    is_idle: bool = False


class Loop:
    """Calls `turn` every `interval`, or after each `pause()`, on a thread of its own.

    A turn that raises is counted by kind, and logged when the turn before it did not fail in the
    same way; the next one comes at its time. The loop has stalled when no turn has succeeded for
    STALL_INTERVALS.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Turn],
        *,
        interval: timedelta,
        meters: telemetry.Telemetry,
        clock: Callable[[], float],
        pause: Callable[[], timedelta] | None = None,
    ) -> None:
        self.name = name
        self.interval = interval
        self._turn = turn
        self._pause = pause
        self._meters = meters
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._last_success = clock()
        self._failed_before: str | None = None
        meters.loop_interval.labels(name).set(interval.total_seconds())
        meters.loop_last_success.labels(name).set(0)
        meters.loop_stalled.labels(name).set_function(self.is_stalled)
        for kind in telemetry.FAILURE_KINDS:
            meters.loop_failures.labels(name, kind)

    def start(self) -> None:
        """Begin to turn."""
        self._last_success = self._clock()
        self._thread.start()

    def stop(self, timeout: timedelta) -> bool:
        """End after the turn under way; False if it did not end in time."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout.total_seconds())
        return not self._thread.is_alive()

    def is_stalled(self) -> bool:
        """Whether no turn has succeeded for too long; the metric says the same when it is read."""
        limit = max(STALL_AT_LEAST, STALL_INTERVALS * self.interval)
        return self._clock() - self._last_success > limit.total_seconds()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self._clock()
            self._turn_once()
            took = self._clock() - began
            self._meters.loop_duration.labels(self.name).observe(max(took, 0.0))
            if self._pause is not None:
                self._stop.wait(self._pause().total_seconds())
            else:
                self._stop.wait(max(self.interval.total_seconds() - took, 0.0))

    def _turn_once(self) -> None:
        try:
            turn = self._turn()
        except errors.MdaError as error:
            self._failed(_kind(error), str(error), trace=False)
        except Exception as error:  # noqa: BLE001 - a turn of a loop must not end the loop
            self._failed("bug", repr(error), trace=True)
        else:
            if not turn.is_idle:
                self._succeeded(turn)

    def _succeeded(self, turn: Turn) -> None:
        self._meters.loop_in.labels(self.name).inc(turn.came_in)
        self._meters.loop_out.labels(self.name).inc(turn.went_out)
        self._last_success = self._clock()
        self._meters.loop_last_success.labels(self.name).set(self._last_success)
        if self._failed_before is not None:
            self._failed_before = None
            logger.info("loop works again", extra={"loop": self.name})

    def _failed(self, kind: str, reason: str, *, trace: bool) -> None:
        self._meters.loop_failures.labels(self.name, kind).inc()
        if kind != self._failed_before:
            logger.error("turn failed", extra={"loop": self.name, "reason": reason}, exc_info=trace)
        self._failed_before = kind


def _kind(error: errors.MdaError) -> str:
    if isinstance(error, errors.UpstreamError):
        return error.kind
    return "store" if isinstance(error, errors.StoreError) else "other"
