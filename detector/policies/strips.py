"""A series over time in one line of characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from detector import frames
from detector.policy import firing
from detector.services import previews

HEIGHTS = "▁▂▃▄▅▆▇█"
PENDING, QUIET = "·", " "
_ROUNDING = 1e-9
ASCII = str.maketrans(
    {PENDING: ".", "│": "|", "…": "~"} | dict(zip(HEIGHTS, "12345678", strict=True))
)
"""For terminals that have no blocks: how many eighths of the time."""


def strip(spells: Iterable[firing.Spell], period: previews.Period, width: int) -> str:
    """How much of the time in each of so many equal parts something fired, by the height of a
    block; a dot where it only waited.

    >>> span = previews.Period(0, 7_000, 1_000)
    >>> strip([firing.Spell((), 2_000, 4_000, 7_000)], span, 4)
    ' ·█▄'
    """
    fires, waits = np.zeros(width), np.zeros(width)
    edges = np.linspace(period.start_ms, period.end_ms + period.step_ms, width + 1)
    for spell in spells:
        since_ms, firing_ms, until_ms = period.bounds(spell)
        waits += _shares(edges, since_ms, firing_ms)
        fires += _shares(edges, firing_ms, until_ms)
    return "".join(_sign(*each) for each in zip(fires.tolist(), waits.tolist(), strict=True))


def axis(period: previews.Period, width: int) -> str:
    """When the time of a strip begins, its middle, and its end, as far as there is room."""
    texts = [
        previews.shown_instant(at_ms, period)
        for at_ms in (period.start_ms, (period.start_ms + period.end_ms) // 2, period.end_ms)
    ]
    if width < sum(map(len, texts)) + 4:
        texts = [texts[0], "", texts[2]]
    left, middle, right = texts
    gap = max(width - len(left) - len(middle) - len(right), 2)
    before = max((width - len(middle)) // 2 - len(left), 1)
    return f"{left}{' ' * before}{middle}{' ' * max(gap - before, 1)}{right}"


def short_names(each: Sequence[frames.Labels]) -> list[str]:
    """Names of these series without the labels that are the same for all of them.

    >>> short_names([(("instance", "a"), ("job", "j")), (("instance", "b"), ("job", "j"))])
    ['instance="a"', 'instance="b"']
    """
    same = set.intersection(*map(set, each)) if len(each) > 1 else set[tuple[str, str]]()
    return [
        previews.name_of(tuple(pair for pair in labels if pair not in same))[1:-1] or "no labels"
        for labels in each
    ]


def cut(text: str, most: int) -> str:
    """The text, at most so many characters of it.

    >>> cut("web-server", 6)
    'web-s…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _shares(edges: frames.Floats, begin_ms: int, end_ms: int) -> frames.Floats:
    inside = np.minimum(edges[1:], end_ms) - np.maximum(edges[:-1], begin_ms)
    shares: frames.Floats = np.maximum(inside, 0) / np.diff(edges)
    return shares


def _sign(fires: float, waits: float) -> str:
    if fires > 0:
        return HEIGHTS[min(int(np.ceil(fires * len(HEIGHTS) - _ROUNDING)), len(HEIGHTS)) - 1]
    return PENDING if waits > 0 else QUIET
