"""Tokens of a detector that runs, with its PostgreSQL killed under it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from tests import conftest, stack

pytestmark = pytest.mark.usefixtures("compiled_kernels")

REVOKED_WITHIN_S = 5.0


@pytest.fixture
def detector(
    prometheus: conftest.MakePrometheus, own_postgres: stack.Postgres
) -> Iterator[stack.Detector]:
    served = stack.Detector(prometheus(), own_postgres.url)
    served.start()
    yield served
    served.kill9()


def mda(own_postgres: stack.Postgres, *words: str) -> str:
    """What the command prints."""
    return subprocess.run(
        [sys.executable, "-m", "detector", "token", *words],
        env={**os.environ, "DATABASE_URL": own_postgres.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def ask(
    detector: stack.Detector, token: str, method: str = "GET", path: str = "/api/whoami"
) -> requests.Response:
    bearer = {"Authorization": f"Bearer {token.strip()}"}
    return requests.request(method, detector.url + path, headers=bearer, timeout=20)


def test_tokens_of_the_command_line_open_a_running_detector_until_they_are_revoked(
    detector: stack.Detector, own_postgres: stack.Postgres
) -> None:
    token = mda(own_postgres, "create", "--name", "ci", "--role", "viewer", "--expires", "1h")
    assert ask(detector, token).json() == {"name": "ci", "role": "viewer"}
    assert ask(detector, token, "POST", "/api/reload").status_code == 403

    mda(own_postgres, "revoke", "1")

    stack.wait_until(
        lambda: ask(detector, token).status_code == 401, REVOKED_WITHIN_S + 1, "a refusal"
    )


def test_token_of_the_file_works_while_postgresql_is_down_and_others_after(
    detector: stack.Detector, own_postgres: stack.Postgres
) -> None:
    token = mda(own_postgres, "create", "--name", "ci", "--role", "admin")
    of_file = (detector.home / "token").read_text()
    own_postgres.kill9()

    refused = ask(detector, token)
    assert (refused.status_code, "PostgreSQL" in refused.json()["detail"]) == (503, True)
    assert ask(detector, of_file).json() == {"name": "token file", "role": "admin"}
    assert ask(detector, of_file, path="/api/status").status_code == 200

    own_postgres.restart()
    stack.wait_until(lambda: ask(detector, token).status_code == 200, 20, "the token to work")


def test_texts_of_tokens_stand_in_no_log_no_metric_and_not_in_the_database(
    detector: stack.Detector, own_postgres: stack.Postgres
) -> None:
    of_file = (detector.home / "token").read_text()
    made = requests.post(
        f"{detector.url}/api/tokens",
        json={"name": "ci", "role": "admin"},
        headers={"Authorization": f"Bearer {of_file.strip()}"},
        timeout=20,
    ).json()
    text: str = made["token"]
    for method, path in (("GET", "/api/alerts"), ("DELETE", "/api/tokens/99"), ("GET", "/no")):
        ask(detector, text, method, path)
    metrics = detector.metrics()
    dump = subprocess.run(
        [own_postgres.place.bin_dir / "pg_dump", own_postgres.url.replace("+psycopg2", "")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    revoked = ask(detector, text, "DELETE", f"/api/tokens/{made['id']}")
    detector.stop()

    log = detector.child.program.log_path.read_text()
    assert revoked.status_code == 204
    assert 'msg="token made"' in log
    assert 'msg="token revoked"' in log
    assert "COPY public.tokens" in dump
    written = {"log": log, "metrics": metrics, "database": dump}
    assert [name for name, told in written.items() if text.removeprefix("mda_") in told] == []
