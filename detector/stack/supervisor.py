"""Children kept running: started in order, restarted with back-off, stopped together.

Everything happens on the thread that calls run(): Linux ties a child to the thread that started
it. Signals only set a number, which the loop reads (docs/adr/0013).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from detector import errors
from detector.stack import children

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOP_S = 0.2
# Everything is down within 10 s: this much is shared by the orderly stops, the rest is killing.
STOP_BUDGET_S = 7.0
STOP_SHARE_S = 4.0
STOP_AT_LEAST_S = 0.3
# A start that fails so often at first will not succeed: a wrong flag, a damaged folder.
FIRST_START_TRIES = 3
LOG_MAX_BYTES = 10_000_000
LOG_CHECK_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before a restart: doubled at each failure, forgotten after a stable run."""

    first_s: float = 0.5
    cap_s: float = 30.0
    stable_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """Seconds before the restart that follows so many failures in a row (at least 1).

        >>> [BackOff().delay_s(failures) for failures in (1, 2, 3, 7, 100)]
        [0.5, 1.0, 2.0, 30.0, 30.0]
        """
        return min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 30))


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A program and how to see that it serves."""

    program: children.Program
    is_ready: Callable[[], bool]
    ready_timeout_s: float = 60.0


class _Kept:
    """One service's child and its record."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.child = children.Child(service.program)
        self.failures = 0
        self.started_s = 0.0
        self.restart_at_s: float | None = None
        self.is_awaited = False

    @property
    def name(self) -> str:
        return self.service.program.name


class Supervisor:
    """Runs services until a signal or request_stop()."""

    def __init__(
        self,
        services: Sequence[Service],
        say: Callable[[str], None],
        back_off: BackOff | None = None,
    ) -> None:
        self._kept = [_Kept(service) for service in services]
        self._say = say
        self._back_off = back_off or BackOff()
        self._stop_requests = 0
        self._logs_checked_s = time.monotonic()

    def request_stop(self) -> None:
        """Stop in order; asked a second time, kill."""
        self._stop_requests += 1
        if self._stop_requests > 1:
            for kept in self._kept:
                kept.child.kill9()

    def run(
        self,
        on_started: Callable[[], None] = lambda: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """Start everything, call on_started, then on_turn at each turn, until asked to stop.

        Whatever ends this, no child is left. Raises StackError if a service does not start.
        """
        before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        try:
            if self._start_all():
                on_started()
            while not self._stop_requests:
                self._turn()
                on_turn()
                time.sleep(LOOP_S)
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request_stop()

    def _start_all(self) -> bool:
        for kept in self._kept:
            self._start_first(kept)
            if self._stop_requests:
                return False
        return True

    def _start_first(self, kept: _Kept) -> None:
        for failures in range(1, FIRST_START_TRIES + 1):
            self._start(kept)
            if self._wait_ready(kept) or self._stop_requests:
                kept.is_awaited = False
                return
            if kept.child.is_running():
                raise errors.StackError(
                    f"{kept.name} does not serve after {kept.service.ready_timeout_s:.0f} s: "
                    f"see {kept.service.program.log_path}"
                )
            time.sleep(self._back_off.delay_s(failures))
        lines = "\n  ".join(kept.child.last_lines())
        raise errors.StackError(f"{kept.name} does not start ({_ending(kept.child)}):\n  {lines}")

    def _start(self, kept: _Kept) -> None:
        kept.child.start()
        kept.started_s = time.monotonic()
        kept.restart_at_s = None
        kept.is_awaited = True

    def _wait_ready(self, kept: _Kept) -> bool:
        deadline_s = time.monotonic() + kept.service.ready_timeout_s
        while kept.child.is_running() and time.monotonic() < deadline_s:
            if self._stop_requests or _is_ready(kept.service):
                return not self._stop_requests
            time.sleep(LOOP_S / 4)
        return False

    def _turn(self) -> None:
        now_s = time.monotonic()
        for kept in self._kept:
            if kept.restart_at_s is not None:
                if now_s >= kept.restart_at_s:
                    self._start(kept)
            elif not kept.child.is_running():
                self._note_end(kept, now_s)
            elif kept.is_awaited and _is_ready(kept.service):
                kept.is_awaited = False
                self._say(
                    f"{kept.name} serves again, {now_s - kept.started_s:.1f} s after its start"
                )
        if now_s - self._logs_checked_s > LOG_CHECK_S:
            self._logs_checked_s = now_s
            for kept in self._kept:
                rotate(kept.service.program.log_path)

    def _note_end(self, kept: _Kept, now_s: float) -> None:
        if now_s - kept.started_s >= self._back_off.stable_s:
            kept.failures = 0
        kept.failures += 1
        kept.child.kill9()
        delay_s = self._back_off.delay_s(kept.failures)
        kept.restart_at_s = now_s + delay_s
        self._say(f"{kept.name} {_ending(kept.child)}; starting it again in {delay_s:g} s")
        if (kept.child.poll() or 0) > 0:
            for line in kept.child.last_lines():
                self._say(f"  {kept.name}: {line}")

    def _stop_all(self) -> None:
        """In the reverse order of the starts, so that nobody loses what it still writes to."""
        deadline_s = time.monotonic() + STOP_BUDGET_S
        for kept in reversed(self._kept):
            kept.child.ask_to_stop()
            left_s = deadline_s - time.monotonic()
            patience_s = max(STOP_AT_LEAST_S, min(STOP_SHARE_S, left_s))
            if not kept.child.wait(patience_s):
                self._say(f"{kept.name} did not stop in {patience_s:.1f} s: killed")
            kept.child.kill9()


def _is_ready(service: Service) -> bool:
    """A service that refuses, times out or answers nonsense is not ready yet."""
    try:
        return service.is_ready()
    except OSError:
        return False


def _ending(child: children.Child) -> str:
    status = child.poll() or 0
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def rotate(log: pathlib.Path, max_bytes: int = LOG_MAX_BYTES) -> None:
    """Keep a log's last part: copied to NAME.1 and emptied, since its writer holds it open.

    A line written between the two is lost, as with logrotate's copytruncate.
    """
    try:
        if log.stat().st_size > max_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        return
