"""The distribution's packages, fetched for real as a user who is nobody."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import threading

import pytest

from detector import errors
from detector.stack import debian, sources
from tests import conftest, stack

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # ours
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb http://security.example/debian-security bookworm-security main
deb http://other.example stable main
"""
DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
"""


def test_one_line_sources_move_to_the_next_suite_without_updates_and_security() -> None:
    assert sources.next_one_line(ONE_LINE, codename="bookworm", suite="testing") == (
        "deb http://mirror.example/debian testing main contrib\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian testing main\n"
    )


def test_deb822_sources_move_to_the_next_suite_without_updates_and_security() -> None:
    assert sources.next_deb822(DEB822, codename="bookworm", suite="testing") == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: testing\n"
        "Components: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )


@pytest.mark.parametrize("move", [sources.next_one_line, sources.next_deb822])
def test_no_source_stays_no_source(move: object) -> None:
    assert callable(move)
    assert move("", codename="bookworm", suite="testing") == ""


def test_every_program_of_the_suite_runs(stack_binaries: stack.Binaries) -> None:
    for name, binary in debian.BINARIES.items():
        said = subprocess.run(
            [stack_binaries.find(name), "--version"], capture_output=True, text=True, check=True
        )
        assert f"{said.stdout}{said.stderr}".startswith(binary.introduces_itself)


@pytest.fixture
def say() -> list[str]:
    return []


def source(cache: pathlib.Path, said: list[str]) -> debian.Source:
    return debian.Source(cache, debian.Suite.HOST, said.append)


def fake_program(folder: pathlib.Path, name: str, says: str, status: int = 0) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    program.chmod(0o755)
    return program


def test_a_program_on_path_is_taken_as_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_program(tmp_path / "bin", "prometheus", "prometheus, version 3.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert source(tmp_path / "cache", []).find("prometheus") == program
    assert not (tmp_path / "cache").exists()


def test_without_apt_one_line_says_what_to_install(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_program(tmp_path / "bin", "prometheus", "a namesake of another trade")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(errors.StackError) as caught:
        source(tmp_path / "cache", []).find("prometheus")
    assert str(caught.value) == (
        "no prometheus on PATH and no apt-get to fetch it; install it (apt-get install prometheus "
        "prometheus-alertmanager) or run docker compose up"
    )


def test_a_refusing_apt_is_quoted_with_the_way_out(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("env", "dpkg"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    fake_program(tmp_path / "bin", "apt-get", "E: Unable to locate package", status=100)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(errors.StackError, match=r"\(E: Unable to locate package\); install it"):
        source(tmp_path / "cache", []).find("prometheus")


def test_a_binary_for_a_newer_c_library_is_named_so(
    stack_binaries: stack.Binaries, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stack_binaries.find("prometheus").parents[3]
    if not folder.name.endswith(("-host", "-next")):
        folder = pathlib.Path("bookworm-host")
    fake_program(
        tmp_path / "cache" / folder.name.replace("-next", "-host") / "prometheus/usr/bin",
        "prometheus",
        "/lib/libc.so.6: version `GLIBC_2.99` not found",
        status=1,
    )
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(errors.StackError, match=r"needs a newer C library: .*GLIBC_2\.99"):
        source(tmp_path / "cache", []).find("prometheus")


# The interpreter may lie where nobody else may enter (/root), so it gives up root once it runs.
FETCH_NODE_EXPORTER = """
import os, pathlib, pwd, sys
from detector.stack import debian
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
source = debian.Source(pathlib.Path(sys.argv[1]), debian.Suite.NEXT, debian.say_on_stderr)
print(source.find("node_exporter"))
"""


def fetch_as_nobody(cache: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """A fetch by a user without root, home or terminal."""
    return subprocess.run(
        [sys.executable, "-c", FETCH_NODE_EXPORTER, str(cache)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd=conftest.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_two_users_without_root_fetch_the_same_package_at_once(open_folder: pathlib.Path) -> None:
    if os.geteuid() == 0:
        os.chown(open_folder, pwd.getpwnam("nobody").pw_uid, -1)
    answers: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(fetch_as_nobody(open_folder / "cache")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.returncode for answer in answers] == [0, 0], answers
    (program,) = {answer.stdout.strip() for answer in answers}
    assert open_folder.joinpath("cache").stat().st_uid != 0
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert "node_exporter, version" in f"{said.stdout}{said.stderr}"
    assert "".join(answer.stderr for answer in answers).count("fetching") == 1
    assert not [*open_folder.rglob("*.deb"), *open_folder.rglob("*.unfinished")]


def test_an_interrupted_fetch_is_done_again(tmp_path: pathlib.Path) -> None:
    finder = debian.Source(tmp_path, debian.Suite.NEXT, lambda _: None)
    root = finder.find("node_exporter").parents[2]
    root.rename(root.with_name("prometheus-node-exporter.unfinished"))
    assert finder.find("node_exporter").exists()
    assert not root.with_name("prometheus-node-exporter.unfinished").exists()


def test_the_command_prints_paths_alone_on_stdout(
    stack_binaries: stack.Binaries, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, suite = str(stack_binaries.source.cache), stack_binaries.suite.value
    assert debian.main([cache, suite, "promtool", "amtool"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(stack_binaries.find("promtool")),
        str(stack_binaries.find("amtool")),
    ]
