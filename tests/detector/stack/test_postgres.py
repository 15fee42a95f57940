"""The embedded PostgreSQL: whom it runs as, what it survives, what it refuses."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions
import pytest

from detector import errors
from detector.stack import owners, postgres
from tests import stack


def connect(server: stack.Postgres) -> psycopg2.extensions.connection:
    return psycopg2.connect(host=str(server.place.socket_dir), user="mda", dbname="mda")


def ask(server: stack.Postgres, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows


def test_rows_acknowledged_before_kill_9_are_there_after_a_restart(
    own_postgres: stack.Postgres,
) -> None:
    with contextlib.closing(connect(own_postgres)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE kept (number int)")
        for number in range(200):
            cursor.execute("INSERT INTO kept VALUES (%s)", (number,))
        own_postgres.kill9()
    own_postgres.restart()
    assert ask(own_postgres, "SELECT count(*), max(number) FROM kept") == [(200, 199)]


def test_it_keeps_every_commit_and_listens_on_no_port(postgres_server: stack.Postgres) -> None:
    assert ask(
        postgres_server,
        "SELECT current_setting('fsync'), current_setting('data_checksums'),"
        " current_setting('listen_addresses'), current_setting('server_encoding')",
    ) == [("on", "on", "", "UTF8")]


def test_only_its_owner_may_enter_and_that_is_never_root(postgres_server: stack.Postgres) -> None:
    place = postgres_server.place
    owner = pwd.getpwuid(place.data.stat().st_uid)
    assert owner.pw_uid != 0
    status = pathlib.Path(f"/proc/{postgres_server.child.pid}/status").read_text()
    assert f"\nUid:\t{owner.pw_uid}\t{owner.pw_uid}\t" in status
    assert "\nGroups:\t \n" in status or os.geteuid() != 0
    for folder in (place.folder, place.data, place.socket_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_start_finds_the_same_place_and_makes_nothing_new(
    open_folder: pathlib.Path,
) -> None:
    said: list[str] = []
    first = postgres.prepare(open_folder, said.append)
    assert postgres.prepare(open_folder, said.append) == first
    assert said == ["creating the database (PostgreSQL, once)"]
    assert postgres.url_of(open_folder) == first.url()


def test_a_home_without_a_database_has_no_url(tmp_path: pathlib.Path) -> None:
    assert postgres.url_of(tmp_path) is None


def test_a_half_made_data_folder_is_made_again(open_folder: pathlib.Path) -> None:
    place = postgres.prepare(open_folder, lambda _: None)
    place.data.rename(place.data.with_name("data.unfinished"))
    assert (postgres.prepare(open_folder, lambda _: None).data / "PG_VERSION").exists()
    assert not place.data.with_name("data.unfinished").exists()


def test_a_long_path_moves_the_socket_where_it_fits(open_folder: pathlib.Path) -> None:
    home = open_folder / ("long" * 25)
    home.mkdir()
    server = stack.postgresql(home)
    try:
        server.start()
        assert ask(server, "SELECT 1") == [(1,)]
    finally:
        server.kill9()
        shutil.rmtree(server.place.socket_dir)
    assert server.place.socket_dir.parent == pathlib.Path(tempfile.gettempdir())


def test_data_of_another_major_version_is_refused(open_folder: pathlib.Path) -> None:
    place = postgres.prepare(open_folder, lambda _: None)
    (place.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(errors.StackError, match=r"was made by PostgreSQL 12, installed is \d+: "):
        postgres.prepare(open_folder, lambda _: None)


def test_a_folder_of_somebody_else_is_refused(open_folder: pathlib.Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = open_folder / "folder"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(errors.StackError, match="belongs to someone else"):
        owners.make_own(folder, None)


def test_a_link_in_place_of_the_folder_is_refused(open_folder: pathlib.Path) -> None:
    (open_folder / "target").mkdir()
    (open_folder / "folder").symlink_to(open_folder / "target")
    with pytest.raises(errors.StackError, match="belongs to someone else"):
        owners.make_own(open_folder / "folder", None)


@pytest.fixture
def closed_home() -> Iterator[pathlib.Path]:
    """A home that only root may enter, as /root is."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="mda-test-")) / "home"
    home.mkdir()
    yield home
    shutil.rmtree(home.parent)


def test_a_home_that_its_user_cannot_enter_is_left_for_one_that_it_can(
    closed_home: pathlib.Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs PostgreSQL as another user")
    server = stack.postgresql(closed_home)
    try:
        assert server.place.folder.parent in postgres.ROOTS_FOR_ANOTHER_USER
        server.start()
        assert ask(server, "SELECT 1") == [(1,)]
        server.kill9()
        assert postgres.prepare(closed_home, lambda _: None) == server.place
    finally:
        server.kill9()
        shutil.rmtree(server.place.folder)


def test_programs_out_of_reach_are_copied_and_find_their_libraries(
    open_folder: pathlib.Path,
) -> None:
    wheel = postgres._wheel()
    user = owners.unprivileged_user()
    owners.make_own(open_folder / "own", user)
    bin_dir = postgres._copied(wheel, open_folder / "own/programs")
    place = postgres.Place(open_folder / "own", open_folder / "own/socket", bin_dir, user)
    postgres._initialise(place)
    assert (place.data / "PG_VERSION").exists()
    assert str(bin_dir).startswith(str(open_folder))
