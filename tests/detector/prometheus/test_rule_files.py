"""Rules in a file, with a Prometheus that fails in ways the real one rarely does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from detector import errors
from detector.policy import compiler, documents
from detector.prometheus import connection, rule_files
from tests.detector.policy import factories

T = TypeVar("T")


class Canned(connection.Client):
    """Answers reloads with these statuses, and shows the rules of these policies one set after the
    other; the last of each stays."""

    def __init__(self, *, reloads: list[int], shows: list[list[str]], loaded_at: str = "") -> None:
        super().__init__("http://prometheus", timeout=timedelta(seconds=10))
        self.reloads, self.shows, self.loaded_at = reloads, shows, loaded_at
        self.timeouts: list[timedelta | None] = []

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
    ) -> connection.Answer:
        if method == "POST":
            self.timeouts.append(timeout)
            return connection.Answer(_next(self.reloads), {}, b"no")
        if path.endswith("/runtimeinfo"):
            runtime = {"status": "success", "data": {"lastConfigTime": self.loaded_at}}
            return connection.Answer(200, {}, json.dumps(runtime).encode())
        names = _next(self.shows)
        rules = [
            {"name": name, "labels": {"policy": name, "policy_revision": "1", "policy_rule": "1"}}
            for name in names
        ]
        groups = {"groups": [{"file": "/etc/prometheus/policies.yml", "rules": rules}]}
        told = json.dumps({"status": "success", "data": groups})
        return connection.Answer(200, {}, told.encode())


def _next(each: list[T]) -> T:
    return each.pop(0) if len(each) > 1 else each[0]


def compiled(name: str) -> compiler.Compiled:
    tree = factories.tree(factories.above(), name=name)
    return compiler.compiled(documents.parse(tree, "p"), 1, factories.GIVEN)


OLD = compiler.file_text([compiled("old")])


def publish(folder: Path, client: connection.Client) -> None:
    """Put policy new in the place of policy old."""
    (folder / "policies.yml").write_text(OLD)
    with rule_files.RuleFiles(folder, client, None).publishing([compiled("new")]):
        pass


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_reload_that_nobody_allows_names_the_flag(tmp_path: Path, status: int) -> None:
    with pytest.raises(errors.PublishError, match=rf"{status}\): start it with --web\.enable-life"):
        publish(tmp_path, Canned(reloads=[status], shows=[["old"]]))
    assert (tmp_path / "policies.yml").read_text() == OLD


def test_rules_that_are_there_a_moment_later_are_waited_for(tmp_path: Path) -> None:
    publish(tmp_path, Canned(reloads=[200], shows=[["old"], ["old"], ["new", "old"], ["new"]]))
    assert "policy new" in (tmp_path / "policies.yml").read_text()


def test_a_rule_that_does_not_go_is_named_and_the_file_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_files, "SEEN_WITHIN", timedelta(0))
    client = Canned(reloads=[200], shows=[["old"], ["old", "new"]])
    with pytest.raises(errors.PublishError, match="still evaluates rule 1 of policy old, revision"):
        publish(tmp_path, client)
    assert (tmp_path / "policies.yml").read_text() == OLD
    assert client.timeouts == [rule_files.RELOAD_TIMEOUT, rule_files.PUT_BACK_TIMEOUT]


def test_where_putting_back_fails_too_the_first_failure_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(errors.PublishError, match="refuses to reload: no: its log"):
        publish(tmp_path, Canned(reloads=[500], shows=[["old"]]))
    assert (tmp_path / "policies.yml").read_text() == OLD
    assert [each.message for each in caplog.records] == ["rules of before not reloaded"]


@pytest.mark.parametrize(
    ("loaded_at", "reloads"), [("2020-01-01T00:00:00Z", 1), ("2100-01-01T00:00:00Z", 0), ("", 1)]
)
def test_a_file_that_prometheus_may_not_have_read_is_reloaded_once(
    tmp_path: Path, loaded_at: str, reloads: int
) -> None:
    (tmp_path / "policies.yml").write_text(OLD)
    client = Canned(reloads=[200], shows=[["old"]], loaded_at=loaded_at)
    files = rule_files.RuleFiles(tmp_path, client, None)
    for _ in range(3):
        with files.publishing([compiled("old")]):
            pass
    assert len(client.timeouts) == reloads
