"""PromQL as text: matchers, strings, numbers and durations in which nothing can break out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

import promql_parser


class MatchType(IntEnum):
    """How a matcher compares, by the numbers of the remote read protocol."""

    EQUAL = 0
    NOT_EQUAL = 1
    REGEX = 2
    NOT_REGEX = 3


_OPERATORS = {
    MatchType.EQUAL: "=",
    MatchType.NOT_EQUAL: "!=",
    MatchType.REGEX: "=~",
    MatchType.NOT_REGEX: "!~",
}
_TYPES = {
    "MatchOp.Equal": MatchType.EQUAL,
    "MatchOp.NotEqual": MatchType.NOT_EQUAL,
    "MatchOp.Re": MatchType.REGEX,
    "MatchOp.NotRe": MatchType.NOT_REGEX,
}
NAME = "__name__"
MOST_NESTED = 500
"""Brackets and operators in one expression. With some thousands the parser overflows its stack, and
the process is gone; with one thousand it takes seconds."""
_TEXT = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`|#[^\n]*""")
"""Strings and comments, in which nothing nests."""
_NESTING = re.compile(r"[(+\-*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_OTHER_TYPES = (
    (promql_parser.NumberLiteral, "scalar"),
    (promql_parser.StringLiteral, "string"),
    (promql_parser.MatrixSelector, "matrix"),
    (promql_parser.SubqueryExpr, "matrix"),
)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    name: str
    type: MatchType
    value: str

    def __str__(self) -> str:
        return f"{self.name}{_OPERATORS[self.type]}{quoted(self.value)}"


def selector(metric: str) -> str:
    """All series of a metric, whatever its name is made of.

    >>> selector("a:b"), selector("c d")
    ('a:b', '{__name__="c d"}')
    """
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric):
        return metric
    return matchers([Matcher(NAME, MatchType.EQUAL, metric)])


def matchers(each: Iterable[Matcher]) -> str:
    """These in braces."""
    return "{" + ",".join(map(str, each)) + "}"


def matchers_of(selector: promql_parser.VectorSelector) -> tuple[Matcher, ...]:
    """The matchers of a selector, its metric's name among them; offset and @ are not told."""
    found = [
        Matcher(each.name, _TYPES[str(each.op)], each.value) for each in selector.matchers.matchers
    ]
    if selector.name is not None:
        found.insert(0, Matcher(NAME, MatchType.EQUAL, selector.name))
    return tuple(found)


class TooLongError(ValueError):
    """An expression may nest too deep to be read."""


def parsed(expr: str) -> promql_parser.Expr:
    """The tree of an expression, whoever wrote it.

    Raises TooLongError, ValueError for what is not PromQL.
    """
    if len(_NESTING.findall(_TEXT.sub("", expr))) > MOST_NESTED:
        raise TooLongError(f"too long: {MOST_NESTED} brackets and operators are allowed")
    return promql_parser.parse(expr)


def selectors_of(expr: str) -> list[tuple[Matcher, ...]]:
    """The matchers of each selector in an expression, each once, in their order.

    >>> [matchers(each) for each in selectors_of('rate(a{b="c"}[5m]) > 1 or {d="e"}')]
    ['{__name__="a",b="c"}', '{d="e"}']

    Raises ValueError for what is not PromQL.
    """
    found: dict[tuple[Matcher, ...], None] = {}

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found[matchers_of(node)] = None

    promql_parser.walk(promql_parser.parse(expr), visit)
    return list(found)


def only(expr: str, labels: Iterable[tuple[str, str]]) -> str:
    r"""The one series of an expression that has these labels and, its name aside, no others.

    >>> print(only('a{b="c"}', [("b", "c"), ("d", "e")]))
    {__name__="a",b="c",d="e"}
    >>> print(only("rate(a[5m])", [("b", "c$")]))
    (rate(a[5m])) and on (b) label_replace(vector(1), "b", "c$$", "", "")
    """
    wanted = [pair for pair in labels if pair[0] != NAME]
    try:
        tree = parsed(expr)
    except ValueError:  # too long, or newer PromQL than the parser knows
        tree = None
    if isinstance(tree, promql_parser.VectorSelector) and tree.offset is None and tree.at is None:
        own = matchers_of(tree)
        more = [Matcher(name, MatchType.EQUAL, value) for name, value in wanted]
        return matchers([*own, *(each for each in more if each not in own)])
    one = "vector(1)"
    for name, value in wanted:
        one = f'label_replace({one}, {quoted(name)}, {quoted(value.replace("$", "$$"))}, "", "")'
    return f"({expr}) and on ({', '.join(name for name, _ in wanted)}) {one}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """An expression that compares a value with a number, apart."""

    value: str
    operator: str
    threshold: float


def comparison_of(expr: str) -> Comparison | None:
    """The parts of one that keeps the value of what it compares; None of any other.

    >>> comparison_of("(rate(a[5m]) > 0.5)")
    Comparison(value='rate(a[5m])', operator='>', threshold=0.5)

    Raises ValueError for what is not PromQL.
    """
    tree = parsed(expr)
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    if (
        isinstance(tree, promql_parser.BinaryExpr)
        and tree.modifier is None
        and str(tree.op) in _COMPARING
        and isinstance(tree.rhs, promql_parser.NumberLiteral)
    ):
        return Comparison(tree.lhs.prettify(), str(tree.op), tree.rhs.val)
    return None


_COMPARING = frozenset({">", ">=", "<", "<=", "==", "!="})


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
    **{char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"},
}
"""The last three end a line in YAML, where PromQL stands in rule files."""


def regex_of(text: str) -> str:
    r"""A regular expression (RE2) that matches this text and nothing else.

    >>> print(regex_of("10.0.0.1:9100"))
    10\.0\.0\.1:9100
    """
    return "".join(f"\\{char}" if char in _REGEX_SIGNS else char for char in text)


_REGEX_SIGNS = frozenset(r"\.+*?()|[]{}^$")


def number(value: float) -> str:
    """A finite number, every digit of it.

    >>> number(80.0), number(0.1), number(1e21)
    ('80', '0.1', '1e+21')
    """
    return repr(float(value)).removesuffix(".0")


def duration(span: timedelta) -> str:
    """In the largest unit that is exact.

    >>> [duration(timedelta(seconds=each)) for each in (5400, 604800, 1.5, 0)]
    ['90m', '7d', '1500ms', '0s']
    """
    if not span:
        return "0s"
    ms = round(span / timedelta(milliseconds=1))
    return next(f"{ms // size}{unit}" for unit, size in _UNITS if ms % size == 0)


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
