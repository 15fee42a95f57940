"""The supervisor with small real children."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from detector import errors
from detector.stack import children, lock, supervisor
from tests import conftest, stack
from tests.detector.stack.test_fixtures import is_alive

# Writes its pid, whole or not at all, then lives until it is told to end.
OBEDIENT = """
import os, pathlib, signal, sys, time
half = pathlib.Path(sys.argv[1] + ".half")
half.write_text(str(os.getpid()))
half.replace(sys.argv[1])
time.sleep(60)
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + OBEDIENT
BROKEN = "import sys\nprint('no such flag')\nsys.exit(3)"

QUICK = supervisor.BackOff(first_s=0.1, cap_s=0.4, stable_s=30.0)


class Part:
    """A service of ours whose pid stands in a file once it runs."""

    def __init__(self, folder: pathlib.Path, name: str, code: str = OBEDIENT) -> None:
        self.pid_file = folder / f"{name}.pid"
        self.service = supervisor.Service(
            children.Program(
                name=name,
                argv=[sys.executable, "-c", code, str(self.pid_file)],
                log_path=folder / f"{name}.log",
            ),
            self.pid_file.exists,
            ready_timeout_s=10.0,
        )

    @property
    def pid(self) -> int:
        return int(stack.wait_until(self.pid_file.read_text, 5, f"a pid in {self.pid_file}"))

    def pid_other_than(self, pid: int) -> int:
        return stack.wait_until(
            lambda: self.pid if self.pid_file.read_text() and self.pid != pid else 0,
            10,
            f"another process than {pid}",
        )


class Script:
    """Steps done one by one in the supervisor's turns; stops it after the last."""

    def __init__(self, *steps: Callable[[], bool]) -> None:
        self.steps = list(steps)
        self.supervisor: supervisor.Supervisor
        self.deadline_s = time.monotonic() + 30

    def turn(self) -> None:
        assert time.monotonic() < self.deadline_s, f"{len(self.steps)} steps were not reached"
        if self.steps and self.steps[0]():
            self.steps.pop(0)
        if not self.steps:
            self.supervisor.request_stop()


def run(parts: list[Part], *steps: Callable[[], bool]) -> list[str]:
    """What the supervisor said."""
    said: list[str] = []
    script = Script(*steps)
    script.supervisor = supervisor.Supervisor([part.service for part in parts], said.append, QUICK)
    script.supervisor.run(on_turn=script.turn)
    return said


def test_a_killed_child_is_restarted_and_said_so(tmp_path: pathlib.Path) -> None:
    part = Part(tmp_path, "server")
    pids: list[int] = []

    def kill() -> bool:
        pids.append(part.pid)
        os.kill(part.pid, signal.SIGKILL)
        return True

    def is_back() -> bool:
        return part.pid != pids[0] and is_alive(part.pid)

    said = run([part], kill, is_back, lambda: True)
    assert said[0] == "server was killed by SIGKILL; starting it again in 0.1 s"
    assert said[1].startswith("server serves again, ")
    assert not is_alive(part.pid)


def test_back_off_doubles_up_to_its_cap_and_shows_the_last_lines(tmp_path: pathlib.Path) -> None:
    flag = tmp_path / "broken"
    code = f"import pathlib\nif pathlib.Path({str(flag)!r}).exists():\n" + textwrap.indent(
        BROKEN, "    "
    )
    part = Part(tmp_path, "server", code + OBEDIENT)
    told: list[str] = []

    def break_it() -> bool:
        flag.touch()
        os.kill(part.pid, signal.SIGTERM)
        return True

    def was_restarted_often() -> bool:
        return part.service.program.log_path.read_text().count("no such flag") >= 4

    told = run([part], break_it, was_restarted_often)
    waits = [line.rsplit(" in ", 1)[1] for line in told if "starting it again" in line]
    assert waits[:4] == ["0.1 s", "0.2 s", "0.4 s", "0.4 s"]
    assert "  server: no such flag" in told


def test_a_stable_run_forgets_earlier_failures(tmp_path: pathlib.Path) -> None:
    part = Part(tmp_path, "server")
    said: list[str] = []
    back_off = supervisor.BackOff(first_s=0.1, cap_s=10, stable_s=0.0)
    pids = {0}

    def kill_each_new_one() -> bool:
        if part.pid not in pids and is_alive(part.pid):
            pids.add(part.pid)
            os.kill(part.pid, signal.SIGKILL)
        return len(pids) == 4

    script = Script(kill_each_new_one, lambda: len(said) >= 3)
    script.supervisor = supervisor.Supervisor([part.service], said.append, back_off)
    script.supervisor.run(on_turn=script.turn)
    assert {line.rsplit(" in ", 1)[1] for line in said if "again in" in line} == {"0.1 s"}


def test_parts_start_in_order_and_stop_in_reverse(tmp_path: pathlib.Path) -> None:
    order = tmp_path / "order"
    code = f"""
import atexit, os, pathlib, signal, sys, time
name = pathlib.Path(sys.argv[1]).stem
note = lambda what: open({str(order)!r}, "a").write(f"{{what}} {{name}}\\n")
def end(*_):
    note("stop"); os._exit(0)
signal.signal(signal.SIGTERM, end)
note("start")
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""
    run([Part(tmp_path, name, code) for name in ("database", "server")])
    assert order.read_text().split("\n")[:-1] == [
        "start database",
        "start server",
        "stop server",
        "stop database",
    ]


def test_children_that_ignore_the_stop_are_gone_within_ten_seconds(tmp_path: pathlib.Path) -> None:
    parts = [Part(tmp_path, f"part{number}", STUBBORN) for number in range(5)]
    asked_s = []

    def note_time() -> bool:
        asked_s.append(time.monotonic())
        return True

    said = run(parts, note_time)
    assert time.monotonic() - asked_s[0] < 10
    assert said[0] == "part4 did not stop in 4.0 s: killed"
    assert not any(is_alive(part.pid) for part in parts)


def test_a_second_request_kills_at_once(tmp_path: pathlib.Path) -> None:
    part = Part(tmp_path, "server", STUBBORN)
    keeper = supervisor.Supervisor([part.service], lambda _: None, QUICK)
    asked_s: list[float] = []

    def ask_twice() -> None:
        asked_s.append(time.monotonic())
        keeper.request_stop()
        threading.Timer(0.3, keeper.request_stop).start()

    keeper.run(on_started=ask_twice)
    assert time.monotonic() - asked_s[0] < 2
    assert not is_alive(part.pid)


def test_a_part_that_never_starts_is_an_error_with_its_own_words(tmp_path: pathlib.Path) -> None:
    good, bad = Part(tmp_path, "database"), Part(tmp_path, "server", BROKEN)
    with pytest.raises(errors.StackError, match=r"server does not start .*status 3.*\n  no such"):
        run([good, bad])
    assert not is_alive(good.pid)


def test_a_part_that_never_serves_is_an_error_that_names_its_log(tmp_path: pathlib.Path) -> None:
    part = Part(tmp_path, "server")
    deaf = supervisor.Service(part.service.program, lambda: False, ready_timeout_s=0.5)
    with pytest.raises(errors.StackError, match=r"server does not serve after .* see .*server.log"):
        supervisor.Supervisor([deaf], lambda _: None, QUICK).run()
    assert not is_alive(part.pid)


@pytest.fixture
def driver(tmp_path: pathlib.Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """driver(code): another interpreter that supervises two parts in tmp_path."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        script = textwrap.dedent(f"""
            import pathlib, sys
            from detector import errors
            from detector.stack import lock, supervisor
            from tests.detector.stack.test_supervisor import Part, STUBBORN, OBEDIENT
            folder = pathlib.Path({str(tmp_path)!r})
            parts = [Part(folder, "one", {code}), Part(folder, "two", {code})]
            with lock.held(folder):
                supervisor.Supervisor([part.service for part in parts], print).run(
                    on_started=lambda: print("started", flush=True)
                )
            print("clean end", flush=True)
        """)
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=conftest.ROOT,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def pids(tmp_path: pathlib.Path) -> list[int]:
    return [int((tmp_path / f"{name}.pid").read_text()) for name in ("one", "two")]


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(
    driver: Callable[[str], subprocess.Popen[str]], tmp_path: pathlib.Path, number: signal.Signals
) -> None:
    process = driver("OBEDIENT")
    assert first_line(process) == "started"
    process.send_signal(number)
    assert first_line(process) == "clean end"
    assert process.wait(10) == 0
    assert not any(is_alive(pid) for pid in pids(tmp_path))


def test_a_killed_supervisor_leaves_no_process_and_can_be_started_again(
    driver: Callable[[str], subprocess.Popen[str]], tmp_path: pathlib.Path
) -> None:
    process = driver("STUBBORN")
    assert first_line(process) == "started"
    orphans = pids(tmp_path)
    process.kill()
    process.wait()
    stack.wait_until(lambda: not any(map(is_alive, orphans)), 5, "the children to die")
    again = driver("OBEDIENT")
    assert first_line(again) == "started"


def test_a_second_instance_on_the_same_folder_is_refused(
    driver: Callable[[str], subprocess.Popen[str]], tmp_path: pathlib.Path
) -> None:
    process = driver("OBEDIENT")
    assert first_line(process) == "started"
    with (
        pytest.raises(errors.StackError, match=rf"{tmp_path} is in use by process {process.pid}:"),
        lock.held(tmp_path),
    ):
        pytest.fail("the folder was held twice")


def test_a_long_log_is_moved_aside_under_its_writer(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old line\n" * 100)
        supervisor.rotate(log, max_bytes=100)
        writer.write(b"new line\n")
    assert log.read_bytes() == b"new line\n"
    assert (tmp_path / "server.log.1").read_bytes() == b"old line\n" * 100


def test_a_log_that_is_short_or_absent_is_left_alone(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "server.log"
    supervisor.rotate(log)
    log.write_text("line\n")
    supervisor.rotate(log, max_bytes=100)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["server.log"]
