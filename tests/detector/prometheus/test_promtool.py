"""promtool's complaints, put to the policies that they are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector import errors
from detector.policy import documents, drafts
from detector.prometheus import promtool
from tests import stack
from tests.detector.policy import factories


@pytest.fixture
def judge(stack_binaries: stack.Binaries) -> promtool.Promtool:
    return promtool.Promtool(Path(stack_binaries.find("promtool")), workers=2)


def made(*names: str) -> list[drafts.Draft]:
    return [
        drafts.draft_of(
            documents.parse(factories.tree(factories.above(), name=name), "p"),
            factories.GIVEN,
            source=f"{name}.yml",
        )
        for name in names
    ]


def spoil(file: Path, good: str, bad: str) -> None:
    text = file.read_text()
    assert good in text
    file.write_text(text.replace(good, bad, 1))


def test_each_file_that_fails_is_named_among_many(judge: promtool.Promtool, tmp_path: Path) -> None:
    rule_files, test_files = promtool.write(tmp_path, made(*map(str, range(20))))
    assert judge.check(list(rule_files)) == judge.test(list(test_files)) == {}
    for place in (3, 17):
        spoil(list(test_files)[place], "value: 1", "value: 0")
        spoil(list(rule_files)[place], "> 80", "> > 80")
    refused = judge.check(list(rule_files))
    assert set(refused) == {list(rule_files)[place] for place in (3, 17)}
    assert all("could not parse expression" in text for text in refused.values())
    for place in (3, 17):
        spoil(list(rule_files)[place], "> > 80", "> 80")
    failed = judge.test(list(test_files))
    assert set(failed) == {list(test_files)[place] for place in (3, 17)}
    assert all("exp:" in text for text in failed.values())


def test_faults_are_told_by_policy(judge: promtool.Promtool) -> None:
    good, other = made("good", "other")
    tree = factories.tree(factories.above(90), name="other")
    strict = documents.parse(tree, "p")
    tests = drafts.draft_of(strict, factories.GIVEN).tests
    wrong = drafts.Draft(other.document, "other.yml", other.compiled, tests, 1)
    promtool.judge(judge, [good])
    with pytest.raises(errors.PolicyErrors, match=r"^other\.yml: other: promtool: ") as refusal:
        promtool.judge(judge, [good, wrong])
    assert len(refusal.value.faults) == 1


def test_a_promtool_that_cannot_run_is_told(tmp_path: Path) -> None:
    rule_files, _ = promtool.write(tmp_path, made("good"))
    missing = promtool.Promtool(tmp_path / "promtool")
    with pytest.raises(errors.StackError, match="promtool: No such file or directory"):
        missing.check(list(rule_files))
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho no such flag; exit 2\n")
    other.chmod(0o755)
    with pytest.raises(errors.StackError, match="other test rules: no such flag"):
        promtool.Promtool(other).test(list(rule_files))
