from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa

from detector import alerts, errors
from detector.store import database, episodes, migrate, tables
from tests import stack
from tests.factories import at, notification

ROOT = pathlib.Path(__file__).resolve().parents[3]
MIGRATE = [
    sys.executable,
    "-c",
    "import sys; from detector.store import migrate; migrate.migrate(sys.argv[1])",
]
CANARY = "canary-pa55word"


def names_in(url: str, query: str) -> set[str]:
    pool = database.Database(url)
    with pool.begin() as connection:
        found = set(connection.scalars(sa.text(query)))
    pool.close()
    return found


def table_names(url: str) -> set[str]:
    """Partitions left out."""
    return names_in(
        url,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace",
    )


ALL_TABLES = {*tables.metadata.tables, "alembic_version"}


def run_alembic(*arguments: str, url: str | None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if url is None else {"DATABASE_URL": url})
    return subprocess.run(
        [pathlib.Path(sys.executable).with_name("alembic"), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_empty_database_gets_all_tables(database_url: str) -> None:
    migrate.migrate(database_url)
    assert table_names(database_url) == ALL_TABLES


def test_second_run_changes_nothing(database_url: str) -> None:
    migrate.migrate(database_url)
    migrate.migrate(database_url)
    assert table_names(database_url) == ALL_TABLES


def test_migrations_and_tables_agree(database_url: str) -> None:
    migrate.migrate(database_url)
    checked = run_alembic("check", url=database_url)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    constraints = names_in(
        database_url, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
    )
    declared = {
        str(each.name)
        for table in tables.metadata.tables.values()
        for each in table.constraints
        if isinstance(each, sa.CheckConstraint)
    }
    assert constraints == declared


def test_alembic_from_the_command_line_does_the_same(database_url: str) -> None:
    upgraded = run_alembic("upgrade", "head", url=database_url)
    assert upgraded.returncode == 0, upgraded.stderr
    assert table_names(database_url) == ALL_TABLES


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "DATABASE_URL: not set"),
        (f"postgresql://u:{CANARY}@127.0.0.1:1/x", "Connection refused"),
    ],
)
def test_alembic_without_a_database_says_so_in_one_line(url: str | None, expected: str) -> None:
    failed = run_alembic("upgrade", "head", url=url)
    output = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert expected in output
    assert len(output.strip().splitlines()) == 1
    assert CANARY not in output


def test_migrators_at_once_take_turns(database_url: str) -> None:
    running = [
        subprocess.Popen([*MIGRATE, database_url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [(each.communicate(timeout=60)[1], each.returncode) for each in running]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert table_names(database_url) == ALL_TABLES


def test_migration_killed_half_way_leaves_nothing_and_runs_again(database_url: str) -> None:
    """Another session is about to create `fits`, so the migration waits there, half done."""
    pool = database.Database(database_url)
    with pool.begin() as other:
        other.execute(sa.text("CREATE TABLE fits (id int)"))
        migrator = subprocess.Popen([*MIGRATE, database_url], cwd=ROOT)
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND query LIKE '%CREATE TABLE fits%' AND datname = current_database()"
        )
        try:
            stack.wait_until(lambda: names_in(database_url, waiting), 30, "it to come to `fits`")
        finally:
            migrator.kill()
            migrator.wait()
        other.rollback()
    pool.close()
    assert table_names(database_url) == set()
    migrate.migrate(database_url)
    assert table_names(database_url) == ALL_TABLES


def test_alerts_of_before_the_partitions_are_kept(database_url: str) -> None:
    """Tables as the release before 0008 left them."""
    upgraded = run_alembic("upgrade", "0007", url=database_url)
    assert upgraded.returncode == 0, upgraded.stderr
    connections = database.Database(database_url)
    with connections.begin() as connection:
        for number, (began, ended) in enumerate(
            [
                ("1999-01-01", "2026-01-01"),
                ("2026-02-28 23:59:59.999999", None),
                ("2026-03-01", None),
            ],
            1,
        ):
            connection.execute(
                sa.text(
                    "INSERT INTO episodes (fingerprint, starts_at, ends_at, state, labels,"
                    " annotations, generator_url, received_at, updated_at, heard_at) VALUES"
                    " (:f, :began, :ended, :state, :labels, '{}', '', now(), now(), now())"
                ),
                {
                    "f": f"f{number}",
                    "began": f"{began}+00",
                    "ended": ended and f"{ended}+00",
                    "state": "resolved" if ended else "firing",
                    "labels": f'{{"alertname": "A{number}"}}',
                },
            )
        connection.execute(
            sa.text("INSERT INTO notifications SELECT id, 'firing', now(), 'memory' FROM episodes")
        )
    migrate.migrate(database_url)
    store = episodes.PostgresEpisodeStore(connections)
    found = store.list_episodes(alerts.EpisodeFilter()).episodes
    assert [each.id for each in found] == [3, 2, 1]
    assert [each.status for each in found] == ["firing", "firing", "resolved"]
    whole = store.episode(1)
    assert whole is not None
    assert [each.state for each in whole.transitions] == ["firing"]
    store.record([notification()], received_at=at(5))
    assert {each.id for each in store.list_episodes(alerts.EpisodeFilter()).episodes} == {
        1,
        2,
        3,
        4,
    }
    connections.close()


def test_alerts_that_last_through_the_upgrade_are_known_again(database_url: str) -> None:
    """Starts had microseconds before 0008; Alertmanager's API tells them in milliseconds."""
    upgraded = run_alembic("upgrade", "0007", url=database_url)
    assert upgraded.returncode == 0, upgraded.stderr
    starts = {"a": ["0.1239", "0.124"], "b": ["0.1231", "0.1239"]}
    connections = database.Database(database_url)
    with connections.begin() as connection:
        for fingerprint, began in ((name, each) for name, ends in starts.items() for each in ends):
            given = {"f": fingerprint, "began": f"2026-03-01 00:00:{began}+00"}
            connection.execute(
                sa.text(
                    "INSERT INTO episodes (fingerprint, starts_at, state, labels, annotations,"
                    " generator_url, received_at, updated_at, heard_at) VALUES"
                    " (:f, :began, 'firing', '{}', '{}', '', now(), now(), now())"
                ),
                given,
            )
            for state in alerts.State:
                connection.execute(
                    sa.text(
                        "INSERT INTO told (recipient, fingerprint, starts_at, state, told_at)"
                        " VALUES ('+1', :f, :began, :state, now())"
                    ),
                    given | {"state": state.value},
                )
        connection.execute(
            sa.text("INSERT INTO notifications SELECT id, 'firing', now(), 'memory' FROM episodes")
        )
    migrate.migrate(database_url)
    milliseconds = ["a 123000", "a 124000", "b 123100", "b 123900"]
    with connections.begin() as connection:
        for table in ("episodes", "told"):
            query = f"SELECT DISTINCT fingerprint, starts_at FROM {table} ORDER BY 1, 2"  # noqa: S608
            found = connection.execute(sa.text(query)).all()
            assert [f"{name} {began.microsecond}" for name, began in found] == milliseconds, table
    store = episodes.PostgresEpisodeStore(connections)
    for episode_id in range(1, 5):
        whole = store.episode(episode_id)
        assert whole is not None
        assert [each.state for each in whole.transitions] == ["firing"]
    connections.close()


def test_unreachable_database_is_a_store_error() -> None:
    with pytest.raises(errors.StoreError, match="Connection refused") as caught:
        migrate.migrate(f"postgresql://u:{CANARY}@127.0.0.1:{stack.free_port()}/x")
    assert CANARY not in str(caught.value)


def test_database_of_a_newer_release_is_refused(database_url: str) -> None:
    migrate.migrate(database_url)
    pool = database.Database(database_url)
    with pool.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    pool.close()
    with pytest.raises(errors.StoreError, match="9999") as caught:
        migrate.migrate(database_url)
    assert not caught.value.retryable


def test_migrations_go_forward_only(database_url: str) -> None:
    migrate.migrate(database_url)
    refused = run_alembic("downgrade", "base", url=database_url)
    assert refused.returncode != 0
    assert re.search("forward only", refused.stderr)
    assert table_names(database_url) == ALL_TABLES


def test_every_migration_is_shipped() -> None:
    """Each folder is a package, so that installing the project brings the files along."""
    settings = alembic.config.Config()
    settings.set_main_option("script_location", "detector:store/migrations")
    folder = ROOT / "detector" / "store" / "migrations"
    assert (folder / "__init__.py").exists()
    assert (folder / "versions" / "__init__.py").exists()
    alembic.command.heads(settings)
