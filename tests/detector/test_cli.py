"""The real command with wrong settings: one line, exit 2, no secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import stack

CANARY = "canary-pa55word"


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "detector", *arguments],
        cwd=folder,
        env={**os.environ, "MDA_HOME": str(folder), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", [("check", "--offline"), ("migrate",), ("serve",)])
def test_url_of_another_database_is_one_line_and_status_2(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    ran = run(tmp_path, *command, DATABASE_URL=f"mysql://mda:{CANARY}@host/mda")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert ran.stderr.startswith("mda: DATABASE_URL: mysql: only PostgreSQL is supported")
    assert CANARY not in ran.stdout + ran.stderr


def test_unreachable_prometheus_is_one_line_and_status_2(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        "serve",
        DATABASE_URL=f"postgresql://mda:{CANARY}@127.0.0.1:{stack.free_port()}/mda",
        MDA_PROMETHEUS__URL=f"http://127.0.0.1:{stack.free_port()}",
        MDA_DETECTION__STARTUP_TIMEOUT="0",
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "Connection refused" in ran.stderr
    assert CANARY not in ran.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no_such_key: 1", "no_such_key: 1: unknown key"),
        ("detection: {workers: many}", "detection.workers: 'many': "),
        ("queries: [{name: a, expr: 'sum('}]", "query a: not PromQL: "),
        ("queries: [{name: a, expr: x, calendar: [b]}]", "queries.0.calendar.0: 'b': "),
        ("calendars: {a: {holidays: [DE, XX]}}", "mda: calendars.a.holidays.1: 'XX': no holidays"),
        ("calendars: {a: {ics: m.yml}}", "mda: calendars.a.ics: 'm.yml': not iCalendar: "),
        ("calendars: {a: {ics: b.ics}}", "mda: calendars.a.ics: 'b.ics': No such file"),
    ],
)
def test_wrong_settings_are_one_line_and_status_2(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "m.yml").write_text(text)
    ran = run(tmp_path, "check", "--offline", "--config", "m.yml")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert ran.stderr.startswith("mda: ")
    assert expected in ran.stderr


MAIL = {"EMAIL_SMTP_SERVER": "smtp.example.org", "EMAIL_TO": "a@example.org"}


@pytest.mark.parametrize(
    ("environ", "status", "said"),
    [
        (MAIL, 2, "wrong EMAIL_FROM: not set: mail needs a sender (or EMAIL_USERNAME)"),
        (MAIL | {"EMAIL_FROM": "c@example.org"}, 0, ""),
        (MAIL | {"EMAIL_USERNAME": "c@example.org"}, 0, ""),
        (MAIL | {"EMAIL_TO": ""}, 0, "note  email: receiver 'email' left out: EMAIL_TO not set"),
        (
            MAIL | {"EMAIL_SMTP_SERVER": ""},
            0,
            "note  email: receiver 'email' left out: EMAIL_SMTP_SERVER not set",
        ),
        (MAIL | {"MDA_ALERTMANAGER__CONFIG": "own.yml"}, 0, ""),
        ({}, 0, ""),
    ],
)
def test_check_says_what_mail_lacks(
    tmp_path: Path, environ: dict[str, str], status: int, said: str
) -> None:
    (tmp_path / "own.yml").touch()
    ran = run(tmp_path, "check", "--offline", **environ)
    told = [line for line in ran.stdout.splitlines() if re.match(r"\w+ +(email|EMAIL)", line)]
    assert (ran.returncode, told) == (status, [said] if said else []), ran.stderr
    assert ran.stderr == (f"mda: {said.partition(' ')[2]}\n" if status else "")


def test_check_says_until_when_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "m.yml").write_text(
        "calendars:\n"
        "  year: {timezone: Europe/Berlin, once: [{start: 2020-01-01, end: 2199-12-31}]}\n"
        "  past: {once: [{start: 2020-01-01, end: 2020-01-02}]}\n"
        "  night: {weekly: [{start: '00:00', end: '12:00'}]}\n"
    )
    ran = run(tmp_path, "check", "--offline", "--config", "m.yml")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "calendars.year: planned until further notice" in ran.stdout
    assert "calendars.past: nothing planned until further notice" in ran.stdout
    assert re.search(
        r"calendars\.night: (nothing )?planned until \S+T(00|12):00:00\+00:00", ran.stdout
    )
