"""`mda token` as the command of its own that it is, on a real database."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import stat
import subprocess
import sys
from typing import Any

import pytest

from detector import access, config, errors, tokens
from detector.store import database, migrate
from detector.store import tokens as stored
from tests import stack
from tests.factories import at


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
    ("change", "said"),
    [
        ({"name": "two words"}, "--name: 'two words': 1 to 64 of"),
        ({"name": "taken"}, "--name: taken: another token has this name: choose another one"),
        ({"expires": "soon"}, "--expires: 'soon': a number of seconds or a duration"),
        ({"expires": "9" * 400 + "d"}, "a number of seconds or a duration"),
        ({"expires": "0"}, "--expires: '0': from 1s to 3650d is allowed"),
        (
            {"out": pathlib.Path("/proc/ci/token")},
            "--out: /proc/ci/token: No such file or directory: name another file",
        ),
    ],
)
def test_wrong_wish_says_what_is_allowed_and_makes_nothing(
    url: str, change: dict[str, Any], said: str
) -> None:
    settings = config.load(None, {"DATABASE_URL": url})
    wanted = tokens.Wanted("ci", "admin", None, None)
    tokens.create(settings, dataclasses.replace(wanted, name="taken"), at=at(0))

    with pytest.raises(errors.ConfigError) as caught:
        tokens.create(settings, dataclasses.replace(wanted, **change), at=at(0))

    assert said in str(caught.value)
    assert [each.name for each in tokens.every(settings)] == ["taken"]


@pytest.mark.parametrize("token_id", [17, 0, -1, 2**63])
def test_token_that_is_not_there_cannot_be_revoked(url: str, token_id: int) -> None:
    settings = config.load(None, {"DATABASE_URL": url})
    with pytest.raises(errors.ConfigError) as caught:
        tokens.revoke(settings, token_id)
    assert str(caught.value) == f"token: {token_id}: no token has this id (mda token list)"


def test_what_is_said_of_a_token_never_holds_its_text(url: str, tmp_path: pathlib.Path) -> None:
    settings, out = config.load(None, {"DATABASE_URL": url}), tmp_path / "ci.token"
    token, text = tokens.create(settings, tokens.Wanted("ci", "admin", "1h", out), at=at(0))
    (known,) = tokens.every(settings)
    revoked = tokens.revoke(settings, known.id)

    assert out.read_text() == f"{text}\n"
    assert token == known == revoked
    assert tokens.every(settings) == ()
    said = [
        tokens.line_of_new(token, None),
        tokens.line_of_new(token, out),
        tokens.line_of_revoked(revoked),
        json.dumps(tokens.summary_of(token)),
        tokens.table_of([token], now=at(0)),
        tokens.table_of([], now=at(0)),
    ]
    assert "expires 2026-03-01T13:00Z: its text is shown this once" in said[0]
    assert json.loads(said[3])["expires_at"] == "2026-03-01T13:00:00+00:00"
    assert [line for line in said if text in line] == []


def test_file_of_a_token_that_was_not_made_is_removed(url: str, tmp_path: pathlib.Path) -> None:
    settings = config.load(None, {"DATABASE_URL": url})
    wanted = tokens.Wanted("ci", "admin", None, tmp_path / "ci.token")
    tokens.create(settings, wanted, at=at(0))
    other = dataclasses.replace(wanted, out=tmp_path / "other.token")

    with pytest.raises(errors.ConfigError, match="another token has this name"):
        tokens.create(settings, other, at=at(0))
    with pytest.raises(errors.ConfigError, match="is there already: name a new file"):
        tokens.create(settings, wanted, at=at(0))
    assert [each.name for each in tmp_path.iterdir()] == ["ci.token"]


def test_role_that_is_none_is_refused_with_those_that_are(tmp_path: pathlib.Path) -> None:
    ran = mda(tmp_path, None, "create", "--name", "ci", "--role", "root")
    assert ran.returncode == 2
    assert "argument --role: invalid choice: 'root' (choose from 'viewer', 'operator'" in ran.stderr


NOWHERE = "postgresql://mda@127.0.0.1:1/mda"


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [(None, 2, "DATABASE_URL: not set"), (NOWHERE, 1, "Connection refused")],
)
def test_without_a_database_nothing_is_made_and_the_reason_told(
    tmp_path: pathlib.Path, url: str | None, status: int, said: str
) -> None:
    ran = mda(tmp_path, url, "create", "--name", "n", "--role", "viewer", "--out", "n.token")
    assert (ran.returncode, ran.stderr.count("\n"), ran.stdout) == (status, 1, "")
    assert said in ran.stderr
    assert list(tmp_path.iterdir()) == []


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
