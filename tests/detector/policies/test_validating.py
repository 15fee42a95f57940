"""`mda policy validate`, the command with the real promtool, and every example of the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from detector.policy import actions, catalogue, documents
from detector.policy.conditions import table
from tests import conftest, stack
from tests.detector import test_cli
from tests.detector.policy import factories

PAGE = (conftest.ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def path_with_promtool(stack_binaries: stack.Binaries) -> str:
    return f"{Path(stack_binaries.find('promtool')).parent}:/usr/bin:/bin"


def validate(folder: Path, *arguments: str | Path, **env: str) -> tuple[int, str, str]:
    ran = test_cli.run(folder, "policy", "validate", *map(str, arguments), **env)
    return ran.returncode, ran.stdout, ran.stderr


def test_every_example_of_the_page_passes_promtool(tmp_path: Path, path_with_promtool: str) -> None:
    for number, text in enumerate(EXAMPLES):
        (tmp_path / f"{number}.yml").write_text(text)
    status, out, err = validate(tmp_path, "--json", tmp_path, PATH=path_with_promtool)
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["tests_ran"] is True
    assert len(found["policies"]) == len(EXAMPLES)


def test_shipped_policies_pass_promtool_and_say_what_has_no_test(
    tmp_path: Path, path_with_promtool: str
) -> None:
    shipped = [conftest.ROOT / "rules" / "policies", conftest.ROOT / "examples" / "policies.yml"]
    status, out, err = validate(
        tmp_path, *shipped, "--out", tmp_path / "o", PATH=path_with_promtool
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith("hosts.yml: HostHighCpu: 1 rule, 6 tests passed")
    assert lines[3].endswith("policies.yml: High CPU Alert: 1 rule, 11 tests passed")
    assert lines[-1] == f"wrote  {tmp_path / 'o'}"
    notes = [line.split(": ", 2)[1:] for line in lines if line.startswith("note")]
    assert {(name, note.split(":")[0]) for name, note in notes} == {("Disk fills up", "rule 2")}
    rule_files = sorted((tmp_path / "o").glob("*.yml"))
    assert len(rule_files) == len(list((tmp_path / "o" / "tests").glob("*_test.yml"))) == 6


def test_the_page_has_every_condition_action_and_metric() -> None:
    headings = set(", ".join(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)).split(", "))
    assert set(table.TYPES) <= headings
    assert all(f"| `{name}` |" in PAGE for name in actions.TYPES)
    for name, metric in catalogue.CATALOGUE.items():
        assert f"| `{name}` | {metric.unit} | {metric.help} |" in PAGE


def test_the_series_of_the_catalogue_are_recorded() -> None:
    tree = yaml.safe_load((conftest.ROOT / "rules" / "recording.yml").read_text())
    recorded = {rule["record"] for group in tree["groups"] for rule in group["rules"]}
    assert {metric.series for metric in catalogue.CATALOGUE.values()} <= recorded


def test_without_promtool_rules_are_checked_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(EXAMPLES[0])
    status, out, _ = validate(tmp_path, tmp_path / "p.yml", PATH="/nowhere")
    assert status == 0
    assert out.splitlines() == [
        f"ok     {tmp_path}/p.yml: High CPU Alert: 1 rule",
        "note   promtool is not on PATH: the rules were parsed, their tests are not run",
    ]


def test_all_faults_of_all_files_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    wrong = yaml.safe_dump(factories.tree({"type": "drift", "query": "a-b"}, name="x"))
    (tmp_path / "a.yml").write_text(wrong)
    (tmp_path / "b.yml").write_text("name: [")
    (tmp_path / "c.yml").write_text(EXAMPLES[0])
    (tmp_path / "d.yml").write_text(EXAMPLES[0].replace("High CPU", "HIGH cpu"))
    status, out, err = validate(tmp_path, tmp_path, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert [line.split(str(tmp_path))[1][:7] for line in err.splitlines()] == [
        "/a.yml:",
        "/b.yml:",
        "/d.yml:",
    ]
    assert "query: a-b: letters, digits and _ are allowed" in err
    assert f"d.yml:1: name: HIGH cpu Alert: {tmp_path}/c.yml has a policy of this name too" in err
    assert not (tmp_path / "out").exists()


def test_what_makes_no_rule_is_told_with_its_line(tmp_path: Path) -> None:
    condition = {"type": "metric_threshold", "metric_name": "x", "operator": "gt"}
    text = yaml.safe_dump(factories.tree(factories.above(), {**condition, "threshold": None}))
    (tmp_path / "p.yml").write_text(text)
    status, _, err = validate(tmp_path, tmp_path)
    line = text.splitlines().index("    threshold: null") + 1
    assert status == 2
    assert err.startswith(f"mda: {tmp_path}/p.yml:{line}: rules.1.condition.threshold: a number")


def test_a_promtool_that_does_not_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(EXAMPLES[0])
    (tmp_path / "promtool").write_text("no program")
    (tmp_path / "promtool").chmod(0o755)
    status, _, err = validate(tmp_path, tmp_path / "p.yml", PATH=str(tmp_path))
    assert (status, err) == (1, f"mda: {tmp_path}/promtool: Exec format error\n")


def test_a_promtool_that_fails_without_a_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(EXAMPLES[0])
    (tmp_path / "promtool").write_text("#!/bin/sh\necho killed; exit 137\n")
    (tmp_path / "promtool").chmod(0o755)
    status, _, err = validate(tmp_path, tmp_path / "p.yml", PATH=str(tmp_path))
    assert (status, err) == (1, f"mda: {tmp_path}/promtool check rules: killed\n")


def test_what_promtool_refuses_is_told_of_its_policy_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(EXAMPLES[0])
    (tmp_path / "promtool").write_text(
        '#!/bin/sh\necho "Checking $3\n  FAILED:\n$3: bad"; exit 1\n'
    )
    (tmp_path / "promtool").chmod(0o755)
    out = tmp_path / "out"
    status, _, err = validate(tmp_path, tmp_path / "p.yml", "--out", out, PATH=str(tmp_path))
    assert (status, err) == (2, f"mda: {tmp_path}/p.yml: High CPU Alert: promtool: bad\n")
    assert not out.exists()


def test_thresholds_of_the_settings_stand_in_rules_that_name_none(tmp_path: Path) -> None:
    condition = {"type": "metric_threshold", "metric_name": "memory_percent", "operator": "gt"}
    (tmp_path / "p.json").write_text(json.dumps(factories.tree(condition)))
    shown = validate(tmp_path, tmp_path, "--show", DEFAULT_MEMORY_THRESHOLD="91.5")[1]
    (rule,) = yaml.safe_load(shown)["groups"][0]["rules"]
    assert rule["expr"].endswith("> 91.5")


def test_the_schema_is_printed(tmp_path: Path) -> None:
    ran = test_cli.run(tmp_path, "policy", "schema")
    assert ran.returncode == 0
    assert json.loads(ran.stdout) == documents.json_schema()


def test_a_disabled_policy_gets_no_rules(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(factories.tree(factories.above(), enabled=False)))
    status, out, _ = validate(tmp_path, tmp_path, "--out", tmp_path / "out", PATH="/nowhere")
    assert (status, "disabled: not evaluated" in out) == (0, True)
    (file,) = (tmp_path / "out").glob("*.yml")
    assert yaml.safe_load(file.read_text()) == {"groups": []}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("no.yml", None, "No such file"),
        ("empty", "", "no policy is in it: .json, .yaml, .yml are looked for"),
        ("latin.yml", "name: \xe9", "not UTF-8: byte 7 is wrong"),
    ],
)
def test_a_path_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    path = tmp_path / name
    if content == "":
        path.mkdir()
    elif content is not None:
        path.write_text(content, encoding="latin-1")
    status, _, err = validate(tmp_path, path)
    assert (status, err.count("\n")) == (2, 1)
    assert said in err
