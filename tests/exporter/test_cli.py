from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.exporter import host

HEAVY = ("numpy", "numba", "prometheus_client", "psutil", "pydantic", "asyncio", "yaml")


def run(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom exporter import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.startswith("usage: mda-exporter")
    assert ran.stderr == "[]\n"


def test_once_prints_the_metrics() -> None:
    ran = run("--once")
    assert ran.returncode == 0
    assert "\nnode_load1 " in ran.stdout


def test_once_imports_no_numpy() -> None:
    code = (
        "import sys\nfrom exporter import cli\ncli.main(['--once'])\n"
        "assert 'numpy' not in sys.modules and 'prometheus_client' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_check_shows_every_collector_and_fails_when_one_does(tmp_path: pathlib.Path) -> None:
    (tmp_path / "loadavg").write_text("what?\n")
    paths = {"EXPORTER_PATHS__PROCFS": str(tmp_path), "EXPORTER_PATHS__SYSFS": str(tmp_path)}
    ran = run("check", "--json", **paths)
    rows = {row["collector"]: row for row in json.loads(ran.stdout)}
    assert ran.returncode == 1
    assert rows["loadavg"]["status"] == "failed"
    assert "/proc/loadavg: b'what?" in rows["loadavg"]["reason"]
    assert rows["cpu"]["status"] == "no_data"
    table = run("check", **paths).stdout
    assert "loadavg       failed" in table
    assert run("check", EXPORTER_PATHS__PROCFS=str(host.FIXTURES / "proc")).returncode == 0


def test_wrong_configuration_is_one_line_and_status_2(tmp_path: pathlib.Path) -> None:
    (tmp_path / "e.yml").write_text("collectors: {cpu: {enabld: true}}\n")
    ran = run("serve", "--config", str(tmp_path / "e.yml"))
    assert ran.returncode == 2
    expected = f"mda-exporter: {tmp_path}/e.yml: collectors.cpu.enabld: True: unknown key"
    assert ran.stderr.startswith(expected)
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"EXPORTER_TLS__CERT_FILE": "/absent", "EXPORTER_TLS__KEY_FILE": "/absent"}, "/absent"),
        ({"EXPORTER_TLS__CERT_FILE": __file__, "EXPORTER_TLS__KEY_FILE": __file__}, "certificate"),
        ({"EXPORTER_AUTH__USERS": '{"a": {"password_file": "/absent"}}'}, "auth.users.a"),
    ],
)
def test_unusable_files_are_one_line_and_status_2(env: dict[str, str], expected: str) -> None:
    ran = run("serve", EXPORTER_LISTEN_ADDRESS="127.0.0.1:0", **env)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert expected in ran.stderr


def test_an_address_that_is_not_ours_is_one_line_and_status_2() -> None:
    ran = run("serve", EXPORTER_LISTEN_ADDRESS="192.0.2.1:9100")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "192.0.2.1:9100: cannot listen there" in ran.stderr


def test_hash_password_prints_a_hash_that_the_settings_take() -> None:
    ran = run("hash-password", stdin="pa:ss\n")
    users = json.dumps({"prom": {"password_hash": ran.stdout.strip()}})
    assert run("check", EXPORTER_AUTH__USERS=users).returncode == 0
    assert run("hash-password", stdin="\n").returncode == 2


def test_logs_are_lines_of_logfmt_or_json(tmp_path: pathlib.Path) -> None:
    (tmp_path / "loadavg").write_text("what?\n")
    line = run("--once", EXPORTER_PATHS__PROCFS=str(tmp_path)).stderr.splitlines()[0]
    assert ' level=error logger=exporter.scrape msg="collector failed" collector=loadavg ' in line
    line = run("--once", "--log-format=json", EXPORTER_PATHS__PROCFS=str(tmp_path)).stderr
    record = json.loads(line.splitlines()[0])
    assert list(record)[:4] == ["ts", "level", "logger", "msg"]
    assert record["collector"] == "loadavg"
    assert run("--once", "--log-level", "loud").returncode == 2
