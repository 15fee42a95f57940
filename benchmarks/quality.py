"""How well scores find what was labelled: ranking, events, false alarms, the NAB score.

Each function takes scores float64[T], higher = more abnormal, and labels bool[T], of one series.
Nothing is adjusted: a detection counts where it stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]

THRESHOLDS = 250
"""Ranks at which VUS looks at the scores, as TSB-AD does."""
REPEAT_POINTS = 12
"""An alarm repeats after so many points, so that one without an end keeps counting."""
CALM_SCORE, CALM_POINTS = 0.7, 12
"""An incident closes after so many points in a row below this score."""

_SHORTEST_LAG, _LONGEST_LAG, _LONGEST_PERIOD, _NO_PERIOD = 3, 400, 300, 125
_PERIOD_POINTS = 20_000

_PROBATION, _PROBATION_AT_MOST = 0.15, 750
_FALSE_WEIGHT = 0.11
_FARTHEST = 3.0
_HIT_AT_WINDOW_START = 2.0 / (1.0 + math.exp(-5.0)) - 1.0


def segments(labels: Bools) -> Ints:
    """int64[N, 2]: first and last point of each run of labelled points.

    >>> segments(np.array([False, True, True, False, True])).tolist()
    [[1, 2], [4, 4]]
    """
    edges = np.diff(np.concatenate([[0], labels.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1], axis=1)


def period(values: Floats) -> int:
    """Points of the strongest repetition: the highest local maximum of the autocorrelation
    (TSB-AD's rule), 125 where there is none."""
    x = values[:_PERIOD_POINTS] - values[:_PERIOD_POINTS].mean()
    spectrum = np.fft.rfft(x, 2 ** int(np.ceil(np.log2(2 * len(x)))))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: min(_LONGEST_LAG, len(x) - 1) + 1]
    if correlation[0] <= 0:
        return _NO_PERIOD
    tail = correlation[_SHORTEST_LAG:] / correlation[0]
    peaks = np.flatnonzero((tail[1:-1] > tail[:-2]) & (tail[1:-1] > tail[2:])) + 1
    if not len(peaks):
        return _NO_PERIOD
    best = int(peaks[np.argmax(tail[peaks])])
    return best + _SHORTEST_LAG if _SHORTEST_LAG <= best <= _LONGEST_PERIOD else _NO_PERIOD


def vus_pr(scores: Floats, labels: Bools, window: int) -> float:
    """Volume under the surface of precision, recall and buffer width (Paparrizos et al., 2022).

    For each width 0..window the labels get slopes of half the width on both sides, a point on one
    counting in part; recall is weighted with the share of events found at all. NaN if no point or
    every point is labelled.
    """
    events, size = segments(labels), len(labels)
    if not labels.any() or labels.all():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = -scores[order]
    levels = ranked[np.linspace(0, size - 1, THRESHOLDS).astype(np.int64)]
    found = np.searchsorted(ranked, levels, side="right")
    near, sloped = _sloped(events, labels, window)
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size)
    by_rank = np.argsort(rank[near])
    counted = np.searchsorted(rank[near][by_rank], found)
    hits = _sums(sloped[:, by_rank])[:, counted]
    whole_hits = _sums(labels[near][by_rank][np.newaxis].astype(np.float64))[:, counted]
    positives = float(labels.sum())
    total = (positives + positives + hits - whole_hits) / 2.0
    recall = np.minimum(hits / total, 1.0) * _found_shares(events, -scores, levels, window)
    gained = np.diff(recall, axis=1, prepend=0.0)
    return float(np.mean(np.sum(gained * (hits / found), axis=1)))


def _sloped(events: Ints, labels: Bools, window: int) -> tuple[Ints, Floats]:
    """Points within half the window of an event, and what they count for at each width."""
    size, half = len(labels), window // 2
    distances = np.arange(1, half + 1)
    beside = np.zeros((half, size))
    for d in distances:
        after, before = events[:, 1] + d, events[:, 0] - d
        np.add.at(beside[d - 1], after[after < size], 1.0)
        np.add.at(beside[d - 1], before[before >= 0], 1.0)
    near = np.flatnonzero(labels | beside.any(axis=0))
    widths = np.arange(window + 1)[:, np.newaxis]
    reach = distances <= widths // 2
    slopes = np.sqrt(np.where(reach, 1.0 - distances / np.maximum(widths, 1), 0.0))
    return near, np.minimum(labels[near] + slopes @ beside[:, near], 1.0)


def _sums(parts: Floats) -> Floats:
    """Sums of the first 0, 1, ... columns."""
    return np.concatenate([np.zeros((len(parts), 1)), np.cumsum(parts, axis=1)], axis=1)


def _found_shares(events: Ints, ranked: Floats, levels: Floats, window: int) -> Floats:
    """float64[widths, levels]: share of the events, widened and where they meet merged, that
    hold a point at or above the level. Lower `ranked` is more abnormal."""
    shares = []
    for half in range(window // 2 + 1):
        apart = np.flatnonzero(events[:-1, 1] + half >= events[1:, 0] - half)
        first = np.delete(events[:, 0], apart + 1) - half
        last = np.delete(events[:, 1], apart) + half
        best = np.sort([ranked[max(a, 0) : b + 1].min() for a, b in zip(first, last, strict=True)])
        shares.append(np.searchsorted(best, levels, side="right") / len(best))
    return np.array(shares)[np.arange(window + 1) // 2]


def best_event_f1(scores: Floats, labels: Bools) -> float:
    """The best composite F1 (Garg et al., 2021) of any threshold: recall of events, precision of
    points. NaN where nothing is labelled."""
    events = segments(labels)
    if not len(events):
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = -scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision = np.cumsum(labels[order])[last] / (last + 1)
    best = np.sort([-scores[a : b + 1].max() for a, b in events])
    recall = np.searchsorted(best, ranked[last], side="right") / len(events)
    both = precision + recall
    return float(np.max(2 * precision * recall / np.where(both > 0, both, 1.0)))


def alarms(scores: Floats) -> Ints:
    """The points that alarm at the threshold of 1, the repeated ones of a long excursion too."""
    fired: list[int] = []
    for point in np.flatnonzero(scores > 1).tolist():
        if not fired or point - fired[-1] > REPEAT_POINTS:
            fired.append(point)
    return np.array(fired, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Tally:
    """What the alarms at the threshold of 1 came to."""

    events: int = 0
    found: int = 0
    false_alarms: int = 0
    days: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.events + other.events,
            self.found + other.found,
            self.false_alarms + other.false_alarms,
            self.days + other.days,
        )


def tally(scores: Floats, labels: Bools, days: float) -> Tally:
    """Events that hold an alarm, and alarms outside every event, in the days that these span."""
    fired = np.zeros(len(scores), np.bool_)
    fired[alarms(scores)] = True
    events = segments(labels)
    found = sum(bool(fired[a : b + 1].any()) for a, b in events)
    return Tally(len(events), found, int((fired & ~labels).sum()), days)


def openings(scores: Floats) -> Bools:
    """bool[T]: where an incident opens, that is, where a person is told."""
    opened, is_open, calm = np.zeros(len(scores), np.bool_), False, 0
    for point, score in enumerate(scores.tolist()):
        if is_open:
            calm = calm + 1 if score < CALM_SCORE else 0
            is_open = calm < CALM_POINTS
        elif score > 1:
            opened[point], is_open, calm = True, True, 0
    return opened


@dataclass(frozen=True, slots=True)
class NabFile:
    """Where a file of the Numenta benchmark was detected, and its labelled windows, first and last
    point each."""

    detected: Bools
    windows: Sequence[tuple[int, int]]


def nab_standard(files: Iterable[NabFile]) -> float:
    """The NAB score of the standard profile: 0 with no detection, 100 with all at once.

    A window counts for its earliest detection; one outside costs more the longer after a window it
    comes; the first 15 % of a file are left out (Lavin and Ahmad, 2015). NaN without a window.
    """
    raw, windows = 0.0, 0
    for file in files:
        raw += _nab_raw(file)
        windows += len(file.windows)
    return 100.0 * (raw + windows) / (2.0 * windows) if windows else float("nan")


def _nab_raw(file: NabFile) -> float:
    size = len(file.detected)
    begins = int(min(np.floor(_PROBATION * size), _PROBATION_AT_MOST))
    seen = file.detected & (np.arange(size) >= begins)
    is_outside, raw = np.ones(size, np.bool_), 0.0
    for first, last in file.windows:
        is_outside[first : last + 1] = False
        if last >= begins:
            raw += _window_worth(seen[first : last + 1])
    return raw + _FALSE_WEIGHT * _cost(np.flatnonzero(seen & is_outside), file.windows)


def _window_worth(seen: Bools) -> float:
    """1 where the window is detected at its start, less the later, -1 where it is not."""
    if not seen.any():
        return -1.0
    ahead = (len(seen) - int(np.argmax(seen))) / len(seen)
    return float(_sigmoid(-ahead)) / _HIT_AT_WINDOW_START


def _cost(points: Ints, windows: Sequence[tuple[int, int]]) -> float:
    """What detections outside the windows cost, unweighted: -1 each before the first window, less
    right behind one."""
    ends = np.array([last for _, last in windows], np.int64)
    lengths = np.array([last - first for first, last in windows], np.float64)
    before = np.searchsorted(ends, points) - 1
    is_behind = before >= 0
    behind = (points[is_behind] - ends[before[is_behind]]) / lengths[before[is_behind]]
    return float(np.sum(_sigmoid(behind))) - float(np.sum(~is_behind))


def _sigmoid(place: Floats | float) -> Floats:
    """Worth of a detection at a place relative to a window's length: 1 well before its end, 0 at
    it, -1 far behind."""
    place = np.asarray(place, dtype=np.float64)
    worth = 2.0 / (1.0 + np.exp(5.0 * np.minimum(place, _FARTHEST))) - 1.0
    return np.where(place > _FARTHEST, -1.0, worth)
