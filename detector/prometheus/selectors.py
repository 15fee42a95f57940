"""What an expression is: its parse, and the matchers of a plain selector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import promql_parser

from detector import errors


class MatchType(IntEnum):
    """How a matcher compares, by the numbers of the remote read protocol."""

    EQUAL = 0
    NOT_EQUAL = 1
    REGEX = 2
    NOT_REGEX = 3


_TYPES: Mapping[str, MatchType] = {
    "MatchOp.Equal": MatchType.EQUAL,
    "MatchOp.NotEqual": MatchType.NOT_EQUAL,
    "MatchOp.Re": MatchType.REGEX,
    "MatchOp.NotRe": MatchType.NOT_REGEX,
}
_OTHER_TYPES = (
    (promql_parser.NumberLiteral, "scalar"),
    (promql_parser.StringLiteral, "string"),
    (promql_parser.MatrixSelector, "matrix"),
    (promql_parser.SubqueryExpr, "matrix"),
)
_OPERATORS = {
    MatchType.EQUAL: "=",
    MatchType.NOT_EQUAL: "!=",
    MatchType.REGEX: "=~",
    MatchType.NOT_REGEX: "!~",
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    name: str
    type: MatchType
    value: str

    def __str__(self) -> str:
        return f"{self.name}{_OPERATORS[self.type]}{quoted(self.value)}"


def parse(expr: str) -> object:
    """The syntax tree; raises UpstreamError(kind="query") that says what is wrong."""
    try:
        return promql_parser.parse(expr)
    except ValueError as exc:
        reason = " ".join(str(exc).split())
        raise errors.UpstreamError(
            f"not PromQL: {reason}: {expr}", kind="query", retryable=False
        ) from exc


def plain_matchers(expr: str) -> tuple[Matcher, ...] | None:
    """The matchers of an expression that is one selector and nothing else, else None.

    >>> [str(matcher) for matcher in plain_matchers('up{job="a"}') or ()]
    ['__name__="up"', 'job="a"']
    >>> plain_matchers("up offset 5m") is None
    True
    """
    try:
        tree = parse(expr)
    except errors.UpstreamError:
        return None  # the server may know syntax that our parser does not
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    if not isinstance(tree, promql_parser.VectorSelector):
        return None
    if tree.offset is not None or tree.at is not None or tree.matchers.or_matchers:
        return None
    found = [
        Matcher(each.name, _TYPES[str(each.op)], each.value) for each in tree.matchers.matchers
    ]
    if tree.name is not None:
        found.insert(0, Matcher("__name__", MatchType.EQUAL, tree.name))
    return tuple(found)


def selector(matchers: tuple[Matcher, ...]) -> str:
    """The PromQL of a plain selector."""
    return "{" + ",".join(map(str, matchers)) + "}"


def other_type(tree: object) -> str | None:
    """What an expression gives where it does not give series: scalar, string or matrix."""
    if isinstance(tree, promql_parser.ParenExpr | promql_parser.UnaryExpr):
        return other_type(tree.expr)
    if isinstance(tree, promql_parser.BinaryExpr):
        return other_type(tree.lhs) and other_type(tree.rhs)
    if isinstance(tree, promql_parser.Call):
        return "scalar" if str(tree.func.return_type) == "ValueType.Scalar" else None
    return next((name for kind, name in _OTHER_TYPES if isinstance(tree, kind)), None)


def quoted(text: str) -> str:
    r"""The text as a PromQL string: nothing in it can end the string.

    >>> print(quoted('a"b\\c'))
    "a\"b\\c"
    """
    safe = "".join(_ESCAPES.get(char, char) for char in text)
    return f'"{safe}"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    **{chr(code): f"\\x{code:02x}" for code in [*range(0x20), 0x7F]},
}
