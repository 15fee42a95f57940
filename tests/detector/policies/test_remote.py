"""`mda policy` and `mda metric` about a running detector: the command against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from detector import client
from detector.policies import remote
from detector.services import collecting
from tests import stack
from tests.detector import test_cli
from tests.detector.api.conftest import API_TOKEN, Served, served
from tests.detector.policy import factories
from tests.factories import at

__all__ = ["served"]  # the fixture


class Shell:
    """Runs `mda policy`, or other verbs, in a folder with a token file."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "token").write_text(f"{API_TOKEN}\n")

    def __call__(self, *arguments: str, group: str = "policy") -> tuple[int, str, str]:
        ran = test_cli.run(self.folder, group, *arguments, "--url", self.url)
        return ran.returncode, ran.stdout, ran.stderr

    def write(self, *trees: dict[str, object]) -> None:
        (self.folder / "policies.yml").write_text(yaml.safe_dump(list(trees)))


@pytest.fixture
def mda(tmp_path: Path, served: Served) -> Shell:
    return Shell(tmp_path, served.url)


def tree(name: str, threshold: float = 80) -> dict[str, object]:
    return factories.tree(factories.above(threshold), name=name)


def test_applying_prints_the_plan_then_does_it_and_a_diff_is_empty_after(mda: Shell) -> None:
    mda.write(tree("one"), tree("two"))
    status, out, err = mda("diff", "policies.yml")
    assert (status, err) == (1, "")
    assert out.splitlines()[-1] == "plan: 2 created"
    status, out, err = mda("apply", "-f", "policies.yml")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert "+ one: to be created" in lines
    assert "    +name: one" in lines
    assert lines[-3:] == [
        "+ one: created as policy 1",
        "+ two: created as policy 2",
        "done: 2 created",
    ]
    assert mda("diff", "policies.yml") == (0, "plan: 2 unchanged\n", "")


def test_nothing_is_deleted_but_with_prune_and_nothing_done_in_a_dry_run(mda: Shell) -> None:
    mda.write(tree("one"), tree("two"))
    mda("apply", "policies.yml")
    mda.write(tree("one", 90))
    status, out, _ = mda("apply", "policies.yml", "--prune", "--dry-run")
    assert status == 0
    assert "~ one: to be changed (policy 1, revision 1)" in out
    assert "- two: to be deleted (policy 2, revision 1)" in out
    assert len(json.loads(mda("list", "--json")[1])["policies"]) == 2
    status, out, _ = mda("apply", "policies.yml", "--json")
    told = json.loads(out)
    assert (told["applied"], [each["revision"] for each in told["policies"]]) == (True, [2])
    assert mda("apply", "policies.yml", "--prune")[1].endswith("done: 1 deleted, 1 unchanged\n")


def test_a_list_has_a_line_a_policy(mda: Shell) -> None:
    mda.write(tree("one"), tree("two"))
    mda("apply", "policies.yml")
    _, out, _ = mda("list", "--text", "tw")
    assert out.splitlines()[-1].split()[:5] == ["2", "two", "enabled", "1", "1"]


def test_one_policy_is_shown_by_name_or_id_with_how_it_fares(mda: Shell) -> None:
    mda.write(tree("one"))
    mda("apply", "policies.yml")
    status, out, _ = mda("show", "ONE")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "name: one"
    assert lines[-3].startswith("policy 1, revision 1 by token file at ")
    assert lines[-2:] == ["rule 1: ok", "fired last: never"]
    assert json.loads(mda("show", "1", "--json")[1])["published_revision"] == 1
    status, _, err = mda("show", "nothing")
    assert (status, err) == (2, "mda: policy: nothing: no policy has this name (mda policy list)\n")
    status, _, err = mda("show", "7")
    assert (status, err) == (1, "mda: policy 7: no policy has this id\n")


def test_wrong_files_are_told_with_their_lines_before_anything_is_asked(mda: Shell) -> None:
    mda.url = f"http://127.0.0.1:{stack.free_port()}"
    mda.write({"name": "one"})
    status, _, err = mda("apply", "policies.yml")
    assert (status, err) == (2, "mda: policies.yml:1: rules: is needed\n")
    status, _, err = mda("apply")
    assert (status, err) == (2, "mda: policy: no files: name some, or a folder of them\n")
    mda.write(tree("one"))
    status, _, err = mda("apply", "policies.yml")
    assert (status, err) == (
        1,
        f"mda: {mda.url}: cannot be reached: is the detector running there?\n",
    )


def test_a_missing_token_is_told_with_the_way_out(mda: Shell) -> None:
    (mda.folder / "token").unlink()
    status, _, err = mda("list")
    assert status == 2
    assert "No such file or directory: name one with --token-file" in err


def test_a_policy_is_disabled_enabled_deleted_and_restored_with_its_history(mda: Shell) -> None:
    mda.write(tree("one"))
    mda("apply", "policies.yml")
    assert mda("disable", "one") == (0, "one: disabled (policy 1, revision 2)\n", "")
    status, _, err = mda("enable", "one", "--revision", "1")
    assert (status, err) == (
        1,
        "mda: policy 1: revision 1 is not its newest, which is 2: read it anew\n",
    )
    assert mda("enable", "one")[1] == "one: enabled (policy 1, revision 3)\n"
    assert json.loads(mda("delete", "one", "--json")[1])["deleted"] is True
    assert len(mda("list")[1].splitlines()) == 1
    assert mda("list", "--deleted")[1].splitlines()[1].split()[:3] == ["1", "one", "deleted"]
    restored = "one: restored as of revision 2 (policy 1, revision 5)\n"
    assert mda("restore", "one", "2")[1] == restored
    lines = [line.split()[:5] for line in mda("history", "one")[1].splitlines()]
    assert [line[:2] for line in lines] == [
        ["REVISION", "CHANGE"],
        ["5", "restored"],
        ["4", "deleted"],
        ["3", "enabled"],
        ["2", "disabled"],
        ["1", "created"],
    ]
    assert lines[1][2:4] == ["token", "file"]
    status, out, _ = mda("history", "1", "--diff", "1", "2")
    assert (status, "+enabled: false" in out.splitlines()) == (1, True)
    assert mda("history", "1", "--diff", "2", "5") == (0, "", "")
    assert len(json.loads(mda("history", "one", "--json")[1])["revisions"]) == 5


def test_a_number_is_an_id_and_never_another_policy_than_the_one_that_is_called_so(
    mda: Shell,
) -> None:
    mda.write(tree("one"), tree("1"), tree("007"), tree("3"))
    mda("apply", "policies.yml")
    told = (
        "mda: policy: 1: policy 2 has this name: write #2 for it, #1 for the policy with this id\n"
    )
    assert mda("disable", "1") == (2, "", told)
    assert mda("disable", "#2")[1] == "1: disabled (policy 2, revision 2)\n"
    assert mda("disable", "#1")[1] == "one: disabled (policy 1, revision 2)\n"
    assert mda("disable", "007")[1] == "007: disabled (policy 3, revision 2)\n"
    assert mda("disable", "4")[1] == "3: disabled (policy 4, revision 2)\n"
    for given in ("٣", "0", "9" * 30):
        status, _, err = mda("disable", given)
        assert (status, err) == (
            2,
            f"mda: policy: {given}: no policy has this name (mda policy list)\n",
        )


def test_a_policy_that_was_deleted_is_told_as_such(mda: Shell) -> None:
    mda.write(tree("one"))
    mda("apply", "policies.yml")
    mda("delete", "one")
    told = "mda: policy: one: it was deleted by token file (mda policy restore)\n"
    assert mda("show", "one") == (2, "", told)


def test_a_diff_of_revisions_ends_its_last_line(mda: Shell) -> None:
    mda.write(tree("one"))
    mda("apply", "policies.yml")
    mda("disable", "one")
    assert mda("history", "one", "--diff", "1", "2")[1].endswith("\n")


def test_a_plan_says_that_nothing_is_done_yet(mda: Shell) -> None:
    mda.write(tree("one"))
    mda("apply", "policies.yml")
    mda.write(tree("one", 90))
    out = mda("apply", "policies.yml")[1].splitlines()
    assert out[0] == "~ one: to be changed (policy 1, revision 1)"
    assert out[-2:] == ["~ one: changed (policy 1, revision 2)", "done: 1 changed"]


def test_who_reads_no_further_makes_no_traceback(mda: Shell) -> None:
    environ = {**os.environ, "MDA_HOME": str(mda.folder)}
    argv = [sys.executable, "-m", "detector", "metric", "list", "--json", "--url", mda.url]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        ran = subprocess.run(
            argv, cwd=mda.folder, env=environ, stdout=out, stderr=subprocess.PIPE, timeout=60
        )
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_metrics_are_listed_with_their_values(mda: Shell, served: Served) -> None:
    lines = mda("list", group="metric")[1].splitlines()
    assert lines[0].split() == ["NAME", "SERIES", "HIGHEST", "THRESHOLD", "UNIT", "HELP"]
    assert any(line.startswith("cpu_percent ") and " 80 " in line for line in lines)
    status, out, err = mda("list", "cpu_percent", group="metric")
    assert (status, err) == (0, "")
    assert out.startswith("cpu_percent: Time in which")
    status, out, err = mda("list", "cpu_percemt", group="metric")
    assert (status, out) == (1, "")
    assert "did you mean cpu_percent" in err


@pytest.mark.parametrize("rules", [None, 7, [7, {}, {"action": 7}]])
def test_a_refused_policy_of_any_shape_has_its_line(rules: object) -> None:
    policy = client.Policy(1, 2, {"rules": rules}, at(0), "ann", at(0), "bob", False, "no")
    (row,) = remote.list_rows([policy])
    assert row[:4] == ("1", "policy 1", "refused", "2")


def test_a_collection_tells_what_came_in_and_out(mda: Shell, served: Served) -> None:
    served.collected.append(
        (
            collecting.Collected("cpu", 40, 20, 20, 0.25, ""),
            collecting.Collected("disk", 0, 0, 0, 0.125, "Prometheus: 503"),
        )
    )
    status, out, err = mda("collect", group="metric")
    assert (status, err) == (1, "")  # a query failed
    assert [line.split() for line in out.splitlines()][1:] == [
        ["cpu", "40", "20", "20", "0.250"],
        ["disk", "0", "0", "0", "0.125", "Prometheus:", "503"],
        ["40", "samples", "in,", "20", "scores", "out"],
    ]
    served.collected.append((collecting.Collected("cpu", 40, 20, 20, 0.25, ""),))
    status, out, _ = mda("collect", "--json", group="metric")
    assert (status, json.loads(out)["samples"]) == (0, 40)


def test_of_several_deleted_policies_of_one_name_the_last_is_restored(mda: Shell) -> None:
    mda.write(tree("one"))
    for _ in range(2):
        mda("apply", "policies.yml")
        mda("delete", "one")
    # Both at the same instant of the server's clock: the newer one has the higher id.
    assert (
        mda("restore", "one", "1")[1] == "one: restored as of revision 1 (policy 2, revision 3)\n"
    )
