"""Splitting a selector: every series once, none twice, parts of about the same size."""

from __future__ import annotations

import re

import hypothesis
from hypothesis import strategies as st

from detector import frames
from detector.policy import promql
from detector.prometheus import selectors, shards

ALL = (promql.Matcher("__name__", promql.MatchType.EQUAL, "m"),)
TEXTS = st.text("ab.|*+\\\n (é", max_size=4)
LABELS = st.dictionaries(st.sampled_from(["host", "dev"]), TEXTS, max_size=2).map(
    lambda pairs: frames.labels_from_pairs([*pairs.items(), ("__name__", "m")])
)


def selects(matchers: shards.Matchers, labels: frames.Labels) -> bool:
    """Prometheus' matching, for matchers of these kinds."""
    for matcher in matchers:
        found = dict(labels).get(matcher.name, "")
        if matcher.type is promql.MatchType.EQUAL:
            matches = found == matcher.value
        else:
            is_regex = matcher.type is promql.MatchType.REGEX
            matches = bool(re.fullmatch(matcher.value, found)) is is_regex
        if not matches:
            return False
    return True


@hypothesis.given(
    st.lists(LABELS, max_size=30, unique=True), st.integers(1, 8), st.lists(LABELS, max_size=5)
)
def test_every_series_known_or_not_is_in_exactly_one_part(
    known: list[frames.Labels], parts: int, unknown: list[frames.Labels]
) -> None:
    split = shards.split(ALL, known, parts)
    for labels in known + unknown:
        assert sum(selects(part, labels) for part in split) == 1


def test_parts_are_of_about_the_same_size() -> None:
    known = [
        frames.labels_from_pairs(
            (("__name__", "m"), ("host", f"h{n // 100}"), ("dev", f"d{n % 7}"))
        )
        for n in range(10_000)
    ]
    split = shards.split(ALL, known, 8)
    sizes = [sum(selects(part, labels) for labels in known) for part in split]
    assert sum(sizes) == 10_000
    assert max(sizes) <= 1_300


def test_a_selector_says_the_same_after_it_is_parsed_again() -> None:
    hostile = promql.Matcher("host", promql.MatchType.REGEX, 'a"b\\\\\n\x00é|\x7f')
    expr = promql.matchers((*ALL, hostile))
    assert selectors.plain_matchers(expr) == (*ALL, hostile)
