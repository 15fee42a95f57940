"""What an expression is: its parse, and the matchers of a plain selector."""

from __future__ import annotations

import promql_parser

from detector import errors
from detector.policy import promql


def parse(expr: str) -> object:
    """The syntax tree; raises UpstreamError(kind="query") that says what is wrong."""
    try:
        return promql.parsed(expr)
    except ValueError as exc:
        reason = " ".join(str(exc).split())
        raise errors.UpstreamError(
            f"not PromQL: {reason}: {expr}", kind="query", retryable=False
        ) from exc


def plain_matchers(expr: str) -> tuple[promql.Matcher, ...] | None:
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
    return promql.matchers_of(tree)
