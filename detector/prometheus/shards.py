"""Splits what one selector gives into parts of about equal size, by the values of a label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from detector import frames
from detector.policy import promql

Matchers = tuple[promql.Matcher, ...]


def split(matchers: Matchers, labels: Sequence[frames.Labels], parts: int) -> list[Matchers]:
    """Selectors that together give each series of `matchers` once, in about `parts` parts.

    labels  the series that are known; others come with the last part
    """
    name, counts = _best_label(labels, parts)
    groups = _packed(counts, -(-len(labels) // max(parts, 1)))
    if len(groups) < 2:
        return [matchers]
    patterns = ["|".join(map(re.escape, group)) for group in groups[:-1]]
    equal, unequal = promql.MatchType.REGEX, promql.MatchType.NOT_REGEX
    split_off = [(*matchers, promql.Matcher(name, equal, pattern)) for pattern in patterns]
    return [*split_off, (*matchers, promql.Matcher(name, unequal, "|".join(patterns)))]


def _best_label(labels: Sequence[frames.Labels], parts: int) -> tuple[str, Counter[str]]:
    """The label whose most frequent value is rarest; of those the one with fewest values."""
    by_name: dict[str, Counter[str]] = {}
    for pairs in labels:
        for name, value in pairs:
            by_name.setdefault(name, Counter())[value] += 1
    fair = len(labels) / max(parts, 1)

    def cost(name: str) -> tuple[float, int]:
        counts = by_name[name]
        missing = len(labels) - counts.total()
        return max(fair, missing, *counts.values()), len(counts)

    if not by_name:
        return "", Counter()
    best = min(by_name, key=cost)
    return best, by_name[best]


def _packed(counts: Counter[str], size: int) -> list[list[str]]:
    """The values in groups of about so many series."""
    groups: list[list[str]] = []
    room = 0
    for value in sorted(counts):
        if not groups or room < counts[value]:
            groups.append([])
            room = size
        groups[-1].append(value)
        room -= counts[value]
    return groups
