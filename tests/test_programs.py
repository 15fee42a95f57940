"""Both programs behave alike: log lines, quick help, error lines, exit codes."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from detector import log as detector_log
from exporter import log as exporter_log

HEAVY = [
    "numpy",
    "numba",
    "sklearn",
    "pyod",
    "fastapi",
    "requests",
    "pydantic",
    "sqlalchemy",
    "rich",
    "prometheus_client",
    "yaml",
    "pandas",
    "pyarrow",
    "holidays",
    "icalendar",
    "recurring_ical_events",
]
PROGRAMS = {"detector": "mda: ", "exporter": "mda-exporter: "}


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "a.b", "levelname": "INFO", "msg": message})
    vars(made).update(extra)
    return made


@pytest.mark.parametrize("shape", ["LogfmtFormatter", "JsonFormatter"])
@pytest.mark.parametrize("value", ["plain", "two words", 'q"=\\', "", "a\nb", "ü", 1.5, None])
def test_both_programs_write_the_same_line(shape: str, value: object) -> None:
    given = record("it happened", port=value)
    lines = [getattr(each, shape)().format(given) for each in (detector_log, exporter_log)]
    assert lines[0] == lines[1]
    assert "\n" not in lines[0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program: str) -> None:
    code = (
        f"import sys\nfrom {program} import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "[]\n")
    assert ran.stdout.startswith(f"usage: {PROGRAMS[program][:-2]} ")


def test_libraries_of_calendars_are_imported_only_for_who_has_one() -> None:
    code = (
        "import sys\nfrom detector import app\n"
        "print([name for name in ('holidays', 'icalendar', 'recurring_ical_events')"
        " if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.returncode) == ("[]\n", 0)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("program", "prefix"), PROGRAMS.items())
def test_config_is_taken_before_and_after_the_command(
    program: str, prefix: str, before: bool
) -> None:
    config = ["--config", "/absent.yml"]
    arguments = [*config, "check"] if before else ["check", *config]
    ran = subprocess.run(
        [sys.executable, "-m", program, *arguments], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert ran.stderr.startswith(f"{prefix}/absent.yml: ")
