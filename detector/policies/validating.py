"""`mda policy validate`: policies become rules, promtool checks them and runs their tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from detector import config, errors, whole
from detector.policies import files
from detector.policy import compiler, documents, rule_tests
from detector.policy.conditions import base
from detector.prometheus import promtool

READABLE = 0o644
NO_PROMTOOL = "promtool is not on PATH: the rules were parsed, their tests are not run"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    out   where rule files, and below tests/ their tests, are written
    """

    paths: tuple[Path, ...]
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy's files, and what of its rules has no test."""

    name: str
    source: str
    enabled: bool
    rules: int
    tests: int
    untested: tuple[str, ...]
    rule_file: str
    rules_text: str
    tests_text: str


@dataclass(frozen=True, slots=True)
class Validated:
    """What was found of policies in which nothing is wrong."""

    policies: tuple[Compiled, ...]
    tests_ran: bool
    wrote: str | None

    def lines(self) -> Iterator[str]:
        """For a person."""
        for each in self.policies:
            tests = f", {_counted(each.tests, 'test')} passed" if self.tests_ran else ""
            state = "" if each.enabled else ", disabled: not evaluated"
            count = _counted(each.rules, "rule")
            yield f"ok     {each.source}: {each.name}: {count}{tests}{state}"
            yield from (f"note   {each.source}: {each.name}: {text}" for text in each.untested)
        if not self.tests_ran:
            yield f"note   {NO_PROMTOOL}"
        if self.wrote is not None:
            yield f"wrote  {self.wrote}"

    def summary(self) -> dict[str, object]:
        """For a script."""
        hidden = {"rules_text", "tests_text"}
        return {
            "policies": [
                {key: value for key, value in asdict(each).items() if key not in hidden}
                for each in self.policies
            ],
            "tests_ran": self.tests_ran,
            "wrote": self.wrote,
        }


def run(settings: config.Settings, options: Options, *, now: datetime) -> Validated:
    """Check policies, and write their rules where that is asked for and nothing is wrong.

    Raises PolicyError with all faults, ConfigError for paths, StackError for promtool.
    """
    loaded = files.load(options.paths)
    given = base.Given(settings.thresholds, now)
    compiled, faults = [], []
    for each in loaded:
        try:
            compiled.append(compile_one(each, given))
        except errors.PolicyError as exc:
            faults.append(documents.with_lines(exc, each.node))
    program = shutil.which("promtool")
    if not faults and program is not None:
        faults = list(_judged(promtool.Promtool(Path(program)), compiled))
    if faults:
        raise errors.PolicyErrors(faults)
    if options.out is not None:
        _write(options.out, compiled)
    wrote = None if options.out is None else str(options.out)
    return Validated(tuple(compiled), program is not None, wrote)


def compile_one(loaded: files.Loaded, given: base.Given) -> Compiled:
    """A policy's rules and their tests, as text. Raises PolicyError."""
    document, source = loaded.document, str(loaded.file)
    found = compiler.rules(document, 0, given, source=source)
    tests = rule_tests.tests_of(document, found if document.enabled else [], given)
    rule_file = compiler.file_name(document.name)
    return Compiled(
        document.name,
        source,
        document.enabled,
        len(found),
        tests.count,
        tuple(map(str, tests.untested)),
        rule_file,
        compiler.file_text(compiler.group(document, found)),
        tests.file_text(f"../{rule_file}"),
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _judged(judge: promtool.Promtool, compiled: Sequence[Compiled]) -> Iterator[errors.PolicyError]:
    with tempfile.TemporaryDirectory(prefix="mda-policies-") as folder:
        rule_files, test_files = _write(Path(folder), compiled)
        complaints: Mapping[Path, str] = judge.check(list(rule_files))
        by_file = rule_files
        if not complaints:
            complaints, by_file = judge.test(list(test_files)), test_files
        for file, text in complaints.items():
            policy = by_file[file]
            fault = errors.PolicyFault("", policy.name, f"promtool: {text}")
            yield errors.PolicyError(policy.source, [fault])


def _write(
    folder: Path, compiled: Sequence[Compiled]
) -> tuple[dict[Path, Compiled], dict[Path, Compiled]]:
    """Rule files and test files, each with its policy."""
    rule_files, test_files = {}, {}
    for each in compiled:
        rule_file = folder / each.rule_file
        test_file = folder / "tests" / f"{rule_file.stem}_test.yml"
        whole.write(rule_file, each.rules_text, READABLE)
        whole.write(test_file, each.tests_text, READABLE)
        rule_files[rule_file] = test_files[test_file] = each
    return rule_files, test_files
