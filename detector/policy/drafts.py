"""A policy that is not published yet: its rules and the tests that are made for them."""

from __future__ import annotations

from dataclasses import dataclass

from detector.policy import compiler, documents, rule_tests
from detector.policy.conditions import base


@dataclass(frozen=True, slots=True)
class Draft:
    """What a judge is shown of a policy.

    source  where it came from, for messages
    rules   how many it has, whether it is enabled or not
    """

    document: documents.Document
    source: str
    compiled: compiler.Compiled
    tests: rule_tests.Tests
    rules: int

    @property
    def rule_file(self) -> str:
        """The name of a rule file of this policy alone."""
        return compiler.file_name(self.document.name)

    @property
    def rules_text(self) -> str:
        """That file's text."""
        return compiler.file_text([self.compiled])

    @property
    def tests_text(self) -> str:
        """Its tests, for a file in a folder beside it."""
        return self.tests.file_text(f"../{self.rule_file}")


def draft_of(
    document: documents.Document, given: base.Given, *, source: str = "policy", revision: int = 0
) -> Draft:
    """A policy's rules and their tests. Raises PolicyError."""
    compiled = compiler.compiled(document, revision, given, source=source)
    tests = rule_tests.tests_of(document, compiled.rules, given)
    return Draft(document, source, compiled, tests, len(document.rules))
