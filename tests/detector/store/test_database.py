from __future__ import annotations

import socket
import threading
import time

import pytest
import sqlalchemy as sa

from detector import errors
from detector.store import database
from tests import stack

CANARY = "canary-pa55word"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "not a database URL"),
        ("localhost:5432/mda", "not a database URL"),
        (f"postgresql://host:{CANARY}/mda", "not a database URL"),
        (f"postgresql://mda:{CANARY}@{CANARY}@host/mda", "cannot be told apart"),
        (f"postgresql://mda:{CANARY}@host", "has no database name"),
        (f"sqlite:///{CANARY}", "sqlite: only PostgreSQL is supported"),
        (f"mysql://mda:{CANARY}@host/mda", "mysql: only PostgreSQL is supported"),
    ],
)
def test_wrong_url_is_refused_in_one_line_that_says_what_to_write(url: str, expected: str) -> None:
    with pytest.raises(errors.StoreError) as caught:
        database.Database(url)
    text = str(caught.value)
    assert text.startswith("DATABASE_URL: ")
    assert expected in text
    assert "write postgresql://user:password@host:5432/name" in text
    assert CANARY not in text
    assert "\n" not in text
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"postgresql://mda:{CANARY}@127.0.0.1:{{port}}/mda", "Connection refused"),
        (f"postgres://mda:{CANARY}@127.0.0.1:{{port}}/mda", "Connection refused"),
        (f"postgresql+psycopg2://127.0.0.1:{{port}}/mda?password={CANARY}", "Connection refused"),
        (f"postgresql://mda:{CANARY}@/mda?host=/nowhere", "No such file or directory"),
        (f"postgresql://mda:x@127.0.0.1:{{port}}/mda?{CANARY}=1", "invalid connection option"),
    ],
)
def test_unreachable_server_is_one_line_without_the_password(url: str, expected: str) -> None:
    unreachable = database.Database(url.format(port=stack.free_port()))
    with pytest.raises(errors.StoreError) as caught:
        unreachable.check()
    text = str(caught.value)
    assert text.startswith("PostgreSQL: ")
    assert expected in text
    assert "\n" not in text
    if "invalid connection option" not in text:  # there the canary stands for an option's name
        assert CANARY not in text


def test_unknown_database_and_user_are_named(postgres_server: stack.Postgres) -> None:
    url = postgres_server.place.url("nowhere")
    with pytest.raises(errors.StoreError, match='database "nowhere" does not exist'):
        database.Database(url).check()
    with pytest.raises(errors.StoreError, match='role "nobody" does not exist'):
        database.Database(url.replace("mda@", f"nobody:{CANARY}@")).check()


def test_live_server_passes_the_check(connections: database.Database) -> None:
    connections.check()


def test_server_older_than_15_is_refused(
    connections: database.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "OLDEST_SERVER", 990_000)
    with pytest.raises(errors.StoreError, match="is too old: 15 or newer") as caught:
        connections.check()
    assert not caught.value.retryable


def test_connections_have_deadlines_and_speak_utc(connections: database.Database) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
    with connections.begin() as connection:
        values = [connection.scalar(sa.text(f"SHOW {name}")) for name in names]
    assert values == ["10s", "5s", "30s", "UTC"]


def test_options_of_the_url_win(database_url: str) -> None:
    pool = database.Database(f"{database_url}&options=-c%20statement_timeout%3D1234")
    with pool.begin() as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "1234ms"
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "5s"
    pool.close()


@pytest.mark.parametrize(
    ("statement", "retryable", "expected"),
    [
        ("SELECT pg_sleep(5)", True, "canceling statement due to statement timeout"),
        ("SELECT 1 FROM nothing_here", True, r"does not exist \(mda migrate makes the tables\)"),
        ("SELECT 1/0", False, "division by zero"),
        ("SELEC 'canary-value'", False, "syntax error"),
        (
            "SELECT pg_terminate_backend(pg_backend_pid())",
            True,
            "(terminating|closed the) connection",
        ),
    ],
)
def test_server_errors_say_whether_trying_again_may_help(
    database_url: str, statement: str, retryable: bool, expected: str
) -> None:
    pool = database.Database(f"{database_url}&options=-c%20statement_timeout%3D200")
    with pytest.raises(errors.StoreError, match=expected) as caught, pool.begin() as connection:
        connection.execute(sa.text(statement))
    assert caught.value.retryable is retryable
    assert str(caught.value).startswith("PostgreSQL: ")
    pool.close()


def test_values_of_a_refused_statement_are_not_told(connections: database.Database) -> None:
    query = sa.text("SELECT CAST(:value AS jsonb)")
    with pytest.raises(errors.StoreError) as caught, connections.begin() as connection:
        connection.execute(query, {"value": "{" + "canary-label" * 9})
    assert "invalid input syntax for type json" in str(caught.value)
    assert "SELECT" not in str(caught.value)


def test_exhausted_pool_is_an_error_that_may_pass(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "POOL_SIZE", 1)
    monkeypatch.setattr(database, "POOL_TIMEOUT", database.POOL_TIMEOUT / 50)
    pool = database.Database(database_url)
    with pool.begin(), pytest.raises(errors.StoreError, match="no connection") as caught:
        pool.check()
    assert caught.value.retryable
    pool.check()
    pool.close()


def test_pool_outlives_a_killed_server(own_postgres: stack.Postgres) -> None:
    pool = database.Database(own_postgres.url)
    pool.check()
    own_postgres.kill9()

    def fault() -> errors.StoreError | None:
        try:
            pool.check()
        except errors.StoreError as error:
            return error
        return None  # the server's child answers until it sees that its parent is gone

    found = stack.wait_until(fault, 10, "a check to fail")
    assert found is not None
    assert found.retryable
    own_postgres.start()
    pool.check()
    pool.close()


def test_documents_may_hold_numbers_that_no_float_holds(connections: database.Database) -> None:
    with connections.begin() as connection:
        found = connection.exec_driver_sql(
            "SELECT jsonb_build_array('é', 10, 1e400 + 0.5)"
        ).scalar()
    assert found == ["é", 10, float("inf")]


def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that accepts and never speaks, as behind a broken balancer."""
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", database.CONNECT_TIMEOUT * 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(errors.StoreError, match="timeout expired"):
            database.Database(f"postgresql://mda@127.0.0.1:{port}/mda").check()
        assert time.monotonic() - began < 10


def test_threads_share_a_pool(connections: database.Database) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                connections.check()
        except errors.StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3 * database.POOL_SIZE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
