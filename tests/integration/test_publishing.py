"""Policies published to a real Prometheus from a real PostgreSQL, and what is done against it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from detector import errors, loops
from detector.policy import compiler, documents, live, revisions
from detector.prometheus import connection, rule_files
from detector.services import policy_states, publishing
from detector.stack import children
from detector.store import migrate
from tests import conftest, stack
from tests.conftest import MakePrometheus, Tally
from tests.detector.policy import factories
from tests.fakes.episodes import FakeEpisodeStore
from tests.integration import publish_child

CONFIG = "global: {evaluation_interval: 1s}\nrule_files: ['{folder}/*.yml']\n"

Rules: TypeAlias = tuple[live.LiveRule, ...]


@dataclasses.dataclass
class Rig:
    """One Prometheus, one database, one folder between them."""

    server: stack.Prometheus
    url: str
    folder: Path
    made: publishing.Publishing

    @property
    def file(self) -> Path:
        return self.folder / rule_files.FILE_NAME

    def live(self) -> set[tuple[str, int, int]]:
        """(policy, revision, number) that Prometheus evaluates."""
        return {(each.policy, each.revision, each.number) for each in self.made._rules.live()}

    def kept(self) -> set[tuple[str, int]]:
        page = self.made._store.list_policies(revisions.Filter())
        return {(each.document.name, each.revision) for each in page.policies}


@pytest.fixture
def rig(prometheus: MakePrometheus, database_url: str, tmp_path: Path) -> Rig:
    migrate.migrate(database_url)
    folder = tmp_path / "generated"
    folder.mkdir()
    server = prometheus(CONFIG.replace("{folder}", str(folder)))
    made = publish_child.publisher(database_url, server.url, folder)
    return Rig(server, database_url, folder, made)


def test_killed_at_any_step_leaves_the_old_set_or_the_new_one(rig: Rig, tally: Tally) -> None:
    rig.made.create(publish_child.document(50), by="test")
    threshold = 50.0
    for step in itertools.count(1):
        before, before_text, was_live = rig.kept(), rig.file.read_text(), rig.live()
        threshold += 1
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.integration.publish_child",
                rig.url,
                rig.server.url,
                str(rig.folder),
                str(threshold),
                str(step),
            ],
            cwd=conftest.ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        is_new = f"> {threshold:g}" in rig.file.read_text()
        assert is_new or rig.file.read_text() == before_text
        live = rig.live()
        assert len(live) == 2  # whole
        assert live == was_live or {each[1] for each in live} == {max(r for _, r in before) + 1}
        if ran.returncode == 0:
            break
        assert ran.returncode == -9, ran.stderr
        if rig.kept() != before:  # committed: then Prometheus had been seen to have it
            assert is_new
            assert live != was_live
        rig.made.turn()  # as the next start does
        (kept,) = rig.kept()
        assert rig.live() == {(*kept, 1), (*kept, 2)}
        assert (f"> {threshold:g}" in rig.file.read_text()) == (rig.kept() != before)
        unfinished = f".{rig.file.name}.unfinished"  # no *.yml, and overwritten the next time
        assert {each.name for each in rig.folder.iterdir()} <= {rig.file.name, unfinished}
    assert step > 15
    tally("policies changed and killed at every step", sent=step, received=step, doubled=0, lost=0)


def test_prometheus_down_refuses_the_change_and_keeps_what_was(rig: Rig) -> None:
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    rig.server.kill9()
    with pytest.raises(
        errors.PublishError, match="Prometheus does not tell which rules it has"
    ) as refusal:
        rig.made.replace(1, publish_child.document(60), expected=None, by="test")
    assert refusal.value.retryable
    assert (rig.file.read_text(), rig.kept()) == (text, {("High CPU Alert", 1)})
    rig.server.restart()
    rig.made.replace(1, publish_child.document(60), expected=None, by="test")
    assert rig.live() == {("High CPU Alert", 2, 1), ("High CPU Alert", 2, 2)}


def test_prometheus_without_lifecycle_says_which_flag_is_missing(
    prometheus: MakePrometheus, database_url: str, tmp_path: Path
) -> None:
    migrate.migrate(database_url)
    server = prometheus()
    server.stop()
    program = server.child.program
    argv = [each for each in program.argv if each != "--web.enable-lifecycle"]
    server.child = children.Child(dataclasses.replace(program, argv=argv))
    server.start()
    made = publish_child.publisher(database_url, server.url, tmp_path)
    with pytest.raises(errors.PublishError, match=r"start it with --web\.enable-lifecycle"):
        made.create(publish_child.document(50), by="test")
    assert list(tmp_path.iterdir()) == []


def test_without_policies_nothing_is_asked_of_prometheus(database_url: str, tmp_path: Path) -> None:
    migrate.migrate(database_url)
    nowhere = f"http://127.0.0.1:{stack.free_port()}"
    folder = tmp_path / "never made"
    assert publish_child.publisher(database_url, nowhere, folder).turn() == loops.Turn()
    assert not folder.exists()


def test_a_folder_that_prometheus_does_not_read_is_named(
    prometheus: MakePrometheus, database_url: str, tmp_path: Path
) -> None:
    migrate.migrate(database_url)
    made = publish_child.publisher(database_url, prometheus().url, tmp_path)
    with pytest.raises(
        errors.PublishError, match=rf"does not evaluate rule 1 of .*: is {tmp_path}/\*\.yml among"
    ):
        made.create(publish_child.document(50), by="test")
    assert list(tmp_path.iterdir()) == []


def test_what_prometheus_refuses_is_told_in_its_words(rig: Rig) -> None:
    rig.made.create(publish_child.document(50), by="test")
    other = rig.folder / "of_others.yml"
    other.write_text("groups: [{name: a, rules: [{record: b, expr: 'sum('}]}]\n")
    with pytest.raises(
        errors.PublishError, match=r"refuses to reload: .*: its log says which file is wrong"
    ):
        rig.made.replace(1, publish_child.document(60), expected=None, by="test")
    assert rig.live() == {("High CPU Alert", 1, 1), ("High CPU Alert", 1, 2)}
    assert "> 50" in rig.file.read_text()
    other.unlink()
    rig.made.turn()
    assert rig.kept() == {("High CPU Alert", 1)}


def test_a_file_that_was_changed_or_lost_is_mended(rig: Rig) -> None:
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    for spoil in (
        lambda: rig.file.write_text(text.replace("50", "5")),
        lambda: rig.file.write_bytes(b"\xff"),
        rig.file.unlink,
    ):
        spoil()
        rig.made.turn()
        assert rig.file.read_text() == text
    assert len(rig.live()) == 2


def test_rules_that_prometheus_has_not_taken_up_are_taken_up(rig: Rig) -> None:
    """As after a crash between the file and the reload."""
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    rig.file.unlink()
    rig.server.reload()
    assert rig.live() == set()
    rig.file.write_text(text)
    rig.made.turn()
    assert len(rig.live()) == 2


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 64 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_old_set(
    prometheus: MakePrometheus, database_url: str, tiny_disk: Path
) -> None:
    migrate.migrate(database_url)
    server = prometheus(CONFIG.replace("{folder}", str(tiny_disk)))
    made = publish_child.publisher(database_url, server.url, tiny_disk)
    rig = Rig(server, database_url, tiny_disk, made)
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    (tiny_disk / "filler").write_bytes(b"x" * 60_000)
    with pytest.raises(errors.PublishError, match=r"policies.yml.*: No space left on device"):
        rig.made.replace(
            1,
            publish_child.document(60).model_copy(update={"description": "long " * 900}),
            expected=None,
            by="test",
        )
    assert (rig.file.read_text(), rig.kept()) == (text, {("High CPU Alert", 1)})
    assert {each.name for each in tiny_disk.iterdir()} == {rig.file.name, "filler"}
    assert len(rig.live()) == 2


def test_a_prometheus_that_stops_within_a_reload_is_waited_for_no_longer_than_said(
    rig: Rig,
) -> None:
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    client = connection.Client(rig.server.url, timeout=timedelta(seconds=2))
    patient = publish_child.publisher(rig.url, rig.server.url, rig.folder)
    hasty = publish_child.publisher(rig.url, rig.server.url, rig.folder)

    class Stopping(rule_files.RuleFiles):
        def _reload(self, timeout: timedelta) -> None:
            os.kill(rig.server.child.pid, signal.SIGSTOP)
            super()._reload(timeout)

    hasty._rules = Stopping(rig.folder, client, None, reload_timeout=timedelta(seconds=2))
    began = time.monotonic()
    with pytest.raises(errors.PublishError, match=r"does not reload: .* no answer in 2 s") as e:
        hasty.replace(1, publish_child.document(60), expected=1, by="test")
    assert time.monotonic() - began < 8
    assert e.value.retryable
    assert (rig.file.read_text(), rig.kept()) == (text, {("High CPU Alert", 1)})
    os.kill(rig.server.child.pid, signal.SIGCONT)
    patient.turn()
    assert rig.live() == {("High CPU Alert", 1, 1), ("High CPU Alert", 1, 2)}
    patient.replace(1, publish_child.document(60), expected=1, by="test")
    assert rig.live() == {("High CPU Alert", 2, 1), ("High CPU Alert", 2, 2)}


def test_a_postgresql_killed_within_a_change_leaves_the_old_set(
    prometheus: MakePrometheus, own_postgres: stack.Postgres, tmp_path: Path
) -> None:
    migrate.migrate(own_postgres.url)
    server = prometheus(CONFIG.replace("{folder}", str(tmp_path)))
    made = publish_child.publisher(own_postgres.url, server.url, tmp_path)
    rig = Rig(server, own_postgres.url, tmp_path, made)
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    rules = rig.made._rules

    class Killing:
        """Kills PostgreSQL where Prometheus has the new rules and nothing is committed."""

        check, live = rules.check, rules.live

        @contextlib.contextmanager
        def publishing(self, policies: Sequence[compiler.Compiled]) -> Iterator[Rules]:
            with rules.publishing(policies) as gone:
                assert {each[1] for each in rig.live()} == {2}
                own_postgres.kill9()
                yield gone

    rig.made._rules = Killing()
    with pytest.raises(errors.StoreError) as e:
        rig.made.replace(1, publish_child.document(60), expected=None, by="test")
    assert e.value.retryable
    rig.made._rules = rules
    assert (rig.file.read_text(), {each[1] for each in rig.live()}) == (text, {1})
    own_postgres.restart()
    rig.made.turn()
    assert rig.kept() == {("High CPU Alert", 1)}
    rig.made.replace(1, publish_child.document(60), expected=1, by="test")
    assert {each[1] for each in rig.live()} == {2}


def test_two_detectors_on_one_database_come_to_agree(
    rig: Rig, prometheus: MakePrometheus, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    server = prometheus(CONFIG.replace("{folder}", str(folder)))
    made = publish_child.publisher(rig.url, server.url, folder)
    other = Rig(server, rig.url, folder, made)
    rig.made.create(publish_child.document(50), by="test")
    other.made.turn()
    assert other.live() == rig.live() != set()
    other.made.replace(1, publish_child.document(60), expected=1, by="test")
    with pytest.raises(errors.ConflictError):
        rig.made.replace(1, publish_child.document(70), expected=1, by="test")
    rig.made.turn()
    assert other.live() == rig.live() == {("High CPU Alert", 2, 1), ("High CPU Alert", 2, 2)}
    assert other.file.read_text() == rig.file.read_text()


def test_a_folder_in_the_place_of_the_file_is_named_and_harms_nothing(rig: Rig) -> None:
    rig.made.create(publish_child.document(50), by="test")
    text = rig.file.read_text()
    rig.file.unlink()
    rig.file.mkdir()
    with pytest.raises(errors.PublishError, match=r"policies\.yml: Is a directory: the rules stay"):
        rig.made.replace(1, publish_child.document(60), expected=None, by="test")
    assert rig.kept() == {("High CPU Alert", 1)}
    assert len(rig.live()) == 2
    rig.file.rmdir()
    rig.made.turn()
    assert rig.file.read_text() == text


def test_a_rule_that_fails_when_it_is_evaluated_says_so(rig: Rig) -> None:
    fails = {"type": "expression", "expr": "vector(1) == on () group_left () {__name__=~'up|two'}"}
    wanted = documents.parse(factories.tree(fails, name="many"), "policy")
    (rig.folder / "of_others.yml").write_text(
        "groups: [{name: a, rules: [{record: two, expr: 'vector(1)', labels: {a: b}}, "
        "{record: two, expr: 'vector(1)'}, {record: up, expr: 'vector(1)'}]}]\n"
    )
    policy = rig.made.create(wanted, by="test")
    episodes = FakeEpisodeStore()
    states = policy_states.PolicyStates(
        rig.made._rules, episodes, policies=lambda: (), refused=lambda: {}
    )

    def failed() -> live.LiveRule | None:
        (rule,) = states.state(policy).rules
        return rule if rule.health is live.Health.ERR else None

    rule = stack.wait_until(failed, 15, "the rule to fail")
    assert rule is not None
    assert "many-to-many" in rule.last_error or "duplicate" in rule.last_error


def test_rules_that_were_written_but_not_read_before_a_kill_are_reloaded_after(rig: Rig) -> None:
    """Other thresholds of the settings make other expressions of the same revision."""
    policy = rig.made.create(publish_child.document(50), by="test")
    changed = compiler.compiled(publish_child.document(61), policy.revision, factories.GIVEN)
    rig.file.write_text(compiler.file_text([changed]))
    client = connection.Client(rig.server.url, timeout=timedelta(seconds=10))
    with rule_files.RuleFiles(rig.folder, client, None).publishing([changed]):
        pass
    answer = client.call("GET", "/api/v1/rules?type=alert")
    assert b"> 61" in answer.body.replace(b"\\u003e", b">")
