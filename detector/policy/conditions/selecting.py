"""Which series of a metric a condition looks at: filters on labels, and series that pass them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, TypeAlias

import promql_parser
import pydantic
from pydantic import Field

from detector import config
from detector.policy import promql, sections
from detector.policy.conditions import base

Value = Annotated[str, Field(max_length=1_000)]


class Filter(sections.Section):
    """What a label must be like, where one value, or one of several, does not say it."""

    matches: Value | None = None
    is_not: Value | tuple[Value, ...] | None = Field(None, alias="not")
    not_matches: Value | None = None

    @pydantic.field_validator("matches", "not_matches")
    @classmethod
    def _is_regex(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:  # by Go's rules, which the parser knows
                promql_parser.parse("{a=~" + promql.quoted(pattern) + ',b="c"}')
            except ValueError:
                raise ValueError("a regular expression (RE2) is allowed") from None
        return pattern

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Filter:
        if self.matches is None and self.is_not is None and self.not_matches is None:
            raise ValueError("matches, not or not_matches is needed")
        return self


Given: TypeAlias = str | tuple[str, ...] | Filter
TAGS = ("value", "values", "filter")


def _kind_of_filter(given: object) -> str | None:
    """Which of TAGS: so that a fault names one way to write it, not all three."""
    if isinstance(given, str):
        return "value"
    if isinstance(given, list | tuple):
        return "values"
    return "filter" if isinstance(given, dict | Filter) else None


AnyFilter = Annotated[
    Annotated[Value, pydantic.Tag("value")]
    | Annotated[tuple[Value, ...], Field(min_length=1, max_length=1_000), pydantic.Tag("values")]
    | Annotated[Filter, pydantic.Tag("filter")],
    pydantic.Discriminator(
        _kind_of_filter,
        custom_error_type="filter",
        custom_error_message="a text, a list of texts, or matches, not, not_matches is allowed",
    ),
]
Filters: TypeAlias = Annotated[dict[config.LabelName, AnyFilter], Field(max_length=50)]


class Selecting(base.Condition):
    """A condition that looks at the series of one metric which pass filters on their labels."""

    labels: Filters = Field(default_factory=dict)


def of_query(name: str | None) -> dict[str, str]:
    """The labels of what the detector wrote of this query, or of all."""
    return {} if name is None else {"query": name}


def selector(
    series: str, filters: Mapping[str, Given], fixed: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The PromQL selector of a metric's series that pass the filters."""
    found = [promql.Matcher(name, promql.MatchType.EQUAL, value) for name, value in fixed.items()]
    for name, given in filters.items():
        found += _matchers(name, given)
    return series + (promql.matchers(found) if found else "")


def example(
    filters: Mapping[str, Given], fixed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Labels that pass the filters. Raises NotStagedError where none are known."""
    return {**{name: _passing(name, given) for name, given in filters.items()}, **fixed}


def _matchers(name: str, given: Given) -> Iterator[promql.Matcher]:
    if isinstance(given, str):
        yield promql.Matcher(name, promql.MatchType.EQUAL, given)
    elif isinstance(given, tuple):
        yield promql.Matcher(name, promql.MatchType.REGEX, _one_of(given))
    else:
        if given.matches is not None:
            yield promql.Matcher(name, promql.MatchType.REGEX, given.matches)
        if isinstance(given.is_not, str):
            yield promql.Matcher(name, promql.MatchType.NOT_EQUAL, given.is_not)
        elif given.is_not is not None:
            yield promql.Matcher(name, promql.MatchType.NOT_REGEX, _one_of(given.is_not))
        if given.not_matches is not None:
            yield promql.Matcher(name, promql.MatchType.NOT_REGEX, given.not_matches)


def _one_of(values: tuple[str, ...]) -> str:
    return "|".join(map(promql.regex_of, values))


def _passing(name: str, given: Given) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, tuple):
        return given[0]
    return next(iter(_candidates(name, given)))


def _candidates(name: str, given: Filter) -> Iterator[str]:
    """Values that a filter lets through, tried rather than derived."""
    alternatives = (given.matches or "").split("|")
    plain = (re.sub(r"\.[*+]|\\", "", each) for each in alternatives)
    filled = (re.sub(r"\.[*+]", "x", each).replace("\\", "") for each in alternatives)
    for value in itertools.chain(filled, plain, ("example", "other", "third", "1")):
        if _passes(value, given):
            yield value
    raise base.NotStagedError(f"no value of label {name} is known that its filter lets through")


def _passes(value: str, given: Filter) -> bool:
    refused = (given.is_not,) if isinstance(given.is_not, str) else given.is_not or ()
    try:
        return (
            value not in refused
            and (given.matches is None or bool(re.fullmatch(given.matches, value, re.DOTALL)))
            and (given.not_matches is None or not re.fullmatch(given.not_matches, value, re.DOTALL))
        )
    except re.error:  # Go's syntax is not wholly Python's
        return False
