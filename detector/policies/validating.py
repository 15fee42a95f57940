"""`mda policy validate`: policies become rules, promtool checks them and runs their tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detector import config, errors
from detector.files import policies as files
from detector.policy import drafts
from detector.policy.conditions import base
from detector.prometheus import promtool

NO_PROMTOOL = "promtool is not on PATH: the rules were parsed, their tests are not run"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    out   where rule files, and below tests/ their tests, are written
    """

    paths: tuple[Path, ...]
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """What was found of policies in which nothing is wrong."""

    policies: tuple[drafts.Draft, ...]
    tests_ran: bool
    wrote: str | None

    def lines(self) -> Iterator[str]:
        """For a person."""
        for each in self.policies:
            count = _counted(each.tests.count, "test")
            tests = f", {count} passed" if self.tests_ran else ""
            state = "" if each.document.enabled else ", disabled: not evaluated"
            subject = f"{each.source}: {each.document.name}"
            yield f"ok     {subject}: {_counted(each.rules, 'rule')}{tests}{state}"
            yield from (f"note   {subject}: {text}" for text in each.tests.untested)
        if not self.tests_ran:
            yield f"note   {NO_PROMTOOL}"
        if self.wrote is not None:
            yield f"wrote  {self.wrote}"

    def summary(self) -> dict[str, object]:
        """For a script."""
        return {
            "policies": [
                {
                    "name": each.document.name,
                    "source": each.source,
                    "enabled": each.document.enabled,
                    "rules": each.rules,
                    "tests": each.tests.count,
                    "untested": [str(text) for text in each.tests.untested],
                    "rule_file": each.rule_file,
                }
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
    found = files.each_made(
        loaded, lambda each: drafts.draft_of(each.document, given, source=str(each.file))
    )
    program = shutil.which("promtool")
    if program is not None:
        promtool.judge(promtool.Promtool(Path(program)), found)
    if options.out is not None:
        _write(options.out, found)
    wrote = None if options.out is None else str(options.out)
    return Validated(tuple(found), program is not None, wrote)


def _write(folder: Path, found: Sequence[drafts.Draft]) -> None:
    try:
        promtool.write(folder, found)
    except OSError as exc:
        raise errors.ConfigError(f"{exc.filename or folder}: {exc.strerror}") from exc


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
