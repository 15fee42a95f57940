"""`mda token` as the command of its own that it is, on a real database."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from detector import access, tokens
from detector.store import database, migrate
from detector.store import tokens as stored
from tests import stack
from tests.factories import at, new_token


def mda(folder: pathlib.Path, url: str | None, *words: str) -> subprocess.CompletedProcess[str]:
    given = {} if url is None else {"DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "detector", "token", *words],
        cwd=folder,
        env={**os.environ, "MDA_HOME": str(folder), **given},
        capture_output=True,
        text=True,
        timeout=60,
    )


def listed(folder: pathlib.Path, url: str | None) -> list[dict[str, object]]:
    ran = mda(folder, url, "list", "--json")
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, object]] = json.loads(ran.stdout)
    return found


@pytest.fixture
def url(database_url: str) -> str:
    """Of a migrated database of this test's own."""
    migrate.migrate(database_url)
    return database_url


def test_token_is_made_listed_and_revoked(tmp_path: pathlib.Path, url: str) -> None:
    made = mda(tmp_path, url, "create", "--name", "ci", "--role", "operator", "--expires", "90d")
    text = made.stdout.removesuffix("\n")
    (token,) = listed(tmp_path, url)
    table = mda(tmp_path, url, "list").stdout.splitlines()
    revoked = mda(tmp_path, url, "revoke", "1")

    assert (made.returncode, access.is_token(text)) == (0, True)
    assert "token 1 ci: operator, expires 20" in made.stderr
    assert text not in made.stderr
    assert (token["id"], token["name"], token["role"]) == (1, "ci", "operator")
    assert (token["created_by"], token["last_used_at"]) == ("command line", None)
    assert table[0].split() == ["ID", "NAME", "ROLE", "MADE", "BY", "EXPIRES", "LAST", "USED"]
    assert table[1].split()[:3] == ["1", "ci", "operator"]
    assert (revoked.returncode, revoked.stdout) == (
        0,
        "token 1 ci: revoked: refused within 5 s\n",
    )
    assert listed(tmp_path, url) == []
    assert mda(tmp_path, url, "list").stdout == (
        "no tokens but the file's (mda token create makes one)\n"
    )


def test_text_goes_to_a_file_of_our_own(tmp_path: pathlib.Path, url: str) -> None:
    words = ("create", "--name", "ci", "--role", "viewer", "--out", "ci.token")
    made = mda(tmp_path, url, *words)
    file = tmp_path / "ci.token"
    text = file.read_text().removesuffix("\n")
    again = mda(tmp_path, url, *words)
    taken = mda(tmp_path, url, *words[:-1], "other.token")

    assert (made.returncode, made.stdout) == (0, "")
    assert made.stderr == "token 1 ci: viewer, expires never: its text is in ci.token\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pool = database.Database(url)
    found = stored.PostgresTokenStore(pool).by_digest(access.digest_of(text), at=at(0))
    pool.close()
    assert found is not None
    assert (found.name, found.expires_at) == ("ci", None)
    assert (again.returncode, again.stderr) == (
        2,
        "mda: --out: ci.token: is there already: name a new file\n",
    )
    assert taken.returncode == 2
    assert not (tmp_path / "other.token").exists()
    assert len(listed(tmp_path, url)) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--name", "two words", "--role", "viewer"), "--name: 'two words': 1 to 64 of"),
        (("create", "--name", "ci", "--role", "root"), "argument --role: invalid choice: 'root'"),
        (
            ("create", "--name", "n", "--role", "admin", "--expires", "soon"),
            "--expires: 'soon': a number of seconds or a duration",
        ),
        (
            ("create", "--name", "n", "--role", "admin", "--expires", "0"),
            "--expires: '0': from 1s to 3650d is allowed",
        ),
        (
            ("create", "--name", "taken", "--role", "admin"),
            "--name: taken: another token has this name: choose another one",
        ),
        (
            ("create", "--name", "n", "--role", "admin", "--out", "/proc/ci/token"),
            "--out: /proc/ci/token: No such file or directory: name another file",
        ),
        (("revoke", "17"), "token: 17: no token has this id (mda token list)"),
        (("revoke", "0"), "token: 0: no token has this id (mda token list)"),
        (("revoke", str(2**63)), "no token has this id (mda token list)"),
        (("revoke", "ci"), "argument ID: invalid int value: 'ci'"),
    ],
)
def test_wrong_use_says_what_is_allowed_and_changes_nothing(
    tmp_path: pathlib.Path, url: str, words: tuple[str, ...], said: str
) -> None:
    pool = database.Database(url)
    store = stored.PostgresTokenStore(pool)
    store.create(new_token(name="taken"))

    ran = mda(tmp_path, url, *words)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert [each.name for each in store.list_tokens()] == ["taken"]
    pool.close()


@pytest.mark.parametrize("words", [("list",), ("revoke", "1"), ("create", "--name", "n")])
def test_without_a_database_the_way_out_is_named(
    tmp_path: pathlib.Path, words: tuple[str, ...]
) -> None:
    role = ("--role", "viewer", "--out", "n.token") if words[0] == "create" else ()
    for url, status, said in (
        (None, 2, "DATABASE_URL: not set"),
        (f"postgresql://mda@127.0.0.1:{stack.free_port()}/mda", 1, "Connection refused"),
    ):
        ran = mda(tmp_path, url, *words, *role)
        assert (ran.returncode, ran.stderr.count("\n"), ran.stdout) == (status, 1, "")
        assert said in ran.stderr
    assert not (tmp_path / "n.token").exists()


def test_tables_that_are_not_there_yet_are_said_to_be_made_by_mda_migrate(
    tmp_path: pathlib.Path, database_url: str
) -> None:
    ran = mda(tmp_path, database_url, "list")
    assert ran.returncode == 1
    assert ran.stderr == (
        'mda: PostgreSQL: relation "tokens" does not exist (mda migrate makes the tables)\n'
    )


def test_the_database_of_mda_up_is_found(
    open_folder: pathlib.Path, own_postgres: stack.Postgres
) -> None:
    migrate.migrate(own_postgres.url)
    made = mda(open_folder, None, "create", "--name", "ci", "--role", "viewer")
    assert made.returncode == 0, made.stderr
    assert [each["name"] for each in listed(open_folder, None)] == ["ci"]


def test_table_shows_when_tokens_were_used_and_that_they_are_expired() -> None:
    old = access.Token(
        id=1,
        name="a-long-name",
        role=access.Role.ADMIN,
        created_at=at(0),
        created_by="anna",
        expires_at=at(60),
        last_used_at=at(30),
    )
    young = access.Token(12, "b", access.Role.VIEWER, at(0), "command line", None, None)
    assert tokens.table_of([old, young], now=at(60)) == (
        "ID  NAME         ROLE    MADE               BY            EXPIRES                      "
        "LAST USED\n"
        "1   a-long-name  admin   2026-03-01T12:00Z  anna          2026-03-01T12:01Z (expired)  "
        "2026-03-01T12:00Z\n"
        "12  b            viewer  2026-03-01T12:00Z  command line  never                        "
        "never"
    )
