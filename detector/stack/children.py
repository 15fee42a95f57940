"""One program run as our own child: started, stopped, killed, and never left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from detector import errors
from detector.stack import execute

STOP_TIMEOUT_S = 8.0


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """An unprivileged user a child runs as."""

    name: str
    uid: int
    gid: int


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    log_path     where stdout and stderr are appended
    env          the whole environment; None means ours
    user         None means ourselves
    stop_signal  what asks it to end in order (PostgreSQL's fast stop is SIGINT)
    """

    name: str
    argv: Sequence[str]
    log_path: pathlib.Path
    env: Mapping[str, str] | None = None
    cwd: pathlib.Path | None = None
    user: User | None = None
    stop_signal: signal.Signals = signal.SIGTERM


class Child:
    """A running or ended program; the operating system kills it when we die.

    Start it from a thread that lives as long as it should: Linux ties a child to the thread
    that forked it (prctl(2)).
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise errors.StackError(f"{self.program.name} was never started")
        return self._process.pid

    def start(self) -> None:
        """Run the program; its start-up is not awaited."""
        if self.is_running():
            raise errors.StackError(f"{self.program.name} runs already, as process {self.pid}")
        self.program.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.program.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - argv, no shell
                _argv(self.program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.program.env is None else dict(self.program.env),
                cwd=self.program.cwd,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit status once it has ended (negative: killed by that signal), else None."""
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        """Send the program's own stop signal and return at once."""
        if self._process is not None and self.is_running():
            self._process.send_signal(self.program.stop_signal)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, after waiting for at most timeout_s."""
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return not self.is_running()

    def kill9(self) -> None:
        """Kill it and whatever stands in its process group, and collect it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it in order, or by force when it takes longer than timeout_s."""
        self.ask_to_stop()
        self.wait(timeout_s)
        self.kill9()

    def restart(self) -> None:
        """Start it again with the same arguments, hence the same port and data folder."""
        self.stop()
        self.start()

    def last_lines(self, count: int = 5) -> list[str]:
        """The end of its log."""
        try:
            with self.program.log_path.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 16_384))
                return log.read().decode(errors="replace").splitlines()[-count:]
        except FileNotFoundError:
            return []


def _argv(program: Program) -> list[str]:
    argv = [sys.executable, "-I", "-S", execute.__file__, "--parent", str(os.getpid())]
    if program.user is not None:
        argv += ["--uid", str(program.user.uid), "--gid", str(program.user.gid)]
    return [*argv, "--", *program.argv]
