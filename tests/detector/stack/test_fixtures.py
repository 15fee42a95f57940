"""The shared servers of tests/stack.py, held to what the other tests rely on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import psycopg2
import psycopg2.extensions
import pytest
import requests

from tests import conftest, stack


def test_prometheus_keeps_port_and_data_over_kill_9(prometheus: conftest.MakePrometheus) -> None:
    server = prometheus(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs: [{job_name: itself, static_configs: [{targets: ['127.0.0.1:{port}']}]}]\n"
    )
    first = stack.wait_until(lambda: server.query("timestamp(up)"), 20, "a scrape")
    server.kill9()
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=2)
    server.restart()
    assert server.query("timestamp(up)", time=first[0]["value"][1]) == [
        first[0] | {"value": [float(first[0]["value"][1]), first[0]["value"][1]]}
    ]


def test_alertmanager_serves_with_the_config_given(alertmanager: conftest.MakeAlertmanager) -> None:
    server = alertmanager("route: {receiver: me}\nreceivers: [{name: me}]\n")
    answer = requests.get(f"{server.url}/api/v2/receivers", timeout=5).json()
    assert [receiver["name"] for receiver in answer] == ["me"]


def test_each_database_is_a_copy_of_its_template(postgres_server: stack.Postgres) -> None:
    def fill(url: str) -> None:
        with contextlib.closing(connect(postgres_server, url)) as connection, connection:
            connection.cursor().execute("CREATE TABLE kept AS SELECT 1 AS number")

    template = postgres_server.template("filled", fill)
    copies = [postgres_server.database(template) for _ in range(2)]
    for url in copies:
        with contextlib.closing(connect(postgres_server, url)) as connection:
            cursor = connection.cursor()
            cursor.execute("INSERT INTO kept VALUES (2) RETURNING (SELECT count(*) FROM kept)")
            assert cursor.fetchone() == (1,)
    for url in copies:
        postgres_server.drop(url)


def connect(server: stack.Postgres, url: str) -> psycopg2.extensions.connection:
    name = url.split("?")[0].rsplit("/", 1)[1]
    return psycopg2.connect(host=str(server.place.socket_dir), user="mda", dbname=name)


def test_wait_until_names_what_it_waited_for_and_the_last_answer() -> None:
    with pytest.raises(TimeoutError, match=r"for the moon; the last answer was \[\]"):
        stack.wait_until(list, 0.1, "the moon")


def test_servers_die_with_a_killed_test_process(
    stack_binaries: stack.Binaries, tmp_path: pathlib.Path
) -> None:
    script = textwrap.dedent(f"""
        import pathlib, sys, time
        from tests import stack
        server = stack.prometheus(
            pathlib.Path({str(stack_binaries.find("prometheus"))!r}),
            pathlib.Path({str(tmp_path)!r}),
        )
        server.start()
        print(server.child.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=conftest.ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
    stack.wait_until(lambda: not is_alive(pid), 5, "the orphan to die")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
