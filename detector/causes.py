"""Which label values carry a deviation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from detector import anomalies, frames

DEVIATION_LEAST = 0.01
"""Of an anomaly that no score shows: a value that is stuck, or zero."""
DEVIATION_MAX = 5.0
"""Of one series: beyond, it would outvote all others."""
SERIES_MAX = 5_000
SINGLES_MAX = 30
"""Single values that are combined with each other."""
CAUSES_MAX = 10
PAIR_GAIN = 1.1
"""A pair must be so many times as good as the better of its two values: the simpler one stands."""
WITHOUT = frozenset({"__name__"})

_Mask = frames.Bools


@dataclass(frozen=True, slots=True)
class Deviation:
    """A series, how far it is out (0: not at all), and since when if it is."""

    labels: frames.Labels
    size: float = 0.0
    since: datetime | None = None


def deviations(
    members: Sequence[anomalies.Anomaly], series: Mapping[str, Sequence[frames.Labels]]
) -> list[Deviation]:
    """The series of these queries, and how far out the members are: by how much each one's peak
    score is above 1, all members of a query together 1, so that none outvotes another.

    Of a query with more than SERIES_MAX series a part stands for all.
    """
    found = []
    for query, every in series.items():
        out = {each.labels: each for each in members if each.query == query}
        sizes = {
            labels: min(max(each.peak_score - 1.0, DEVIATION_LEAST), DEVIATION_MAX)
            for labels, each in out.items()
        }
        total = sum(sizes.values()) or 1.0
        found += [Deviation(labels, sizes[labels] / total, out[labels].opened_at) for labels in out]
        stride = -(-len(every) // SERIES_MAX) or 1
        found += [Deviation(labels) for labels in every[::stride] if labels not in out]
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    labels: frames.Labels
    mask: _Mask
    score: float
    coverage: float
    lift: float


def rank(series: Sequence[Deviation]) -> tuple[anomalies.Cause, ...]:
    """Label values, alone and in pairs, by what they tell of the deviation, best first.

    A value's score is `coverage * ln(lift)`: the part of all deviation its series hold, and how
    many times that is their share of the series: what holds all of it and little else comes
    first. Equal ones go by the earliest deviation among their series. `series` are all of the
    queries, those that do not deviate among them: without these nothing can be told.
    """
    sizes = np.array([min(each.size, DEVIATION_MAX) for each in series], np.float64)
    total = float(sizes.sum())
    if not total > 0:
        return ()
    singles = _by_score(_singles(series, sizes / total))[:SINGLES_MAX]
    onsets = np.array(
        [math.inf if each.since is None else each.since.timestamp() for each in series]
    )
    found = _by_score([*singles, *_pairs(singles, sizes / total)], onsets)
    return _causes([each for each in found if each.score > 0], sizes)


def _singles(series: Sequence[Deviation], shares: frames.Floats) -> list[_Candidate]:
    """Every value that a deviating series has."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, each in enumerate(series):
        for pair in each.labels:
            if pair[0] not in WITHOUT:
                rows.setdefault(pair, []).append(row)
    return [
        _candidate((pair,), _mask(having, len(series)), shares)
        for pair, having in rows.items()
        if shares[having].any()
    ]


def _pairs(singles: Sequence[_Candidate], shares: frames.Floats) -> list[_Candidate]:
    pairs = []
    for one, other in itertools.combinations(singles, 2):
        if one.labels[0][0] == other.labels[0][0]:
            continue
        labels = tuple(sorted((*one.labels, *other.labels)))
        pair = _candidate(labels, one.mask & other.mask, shares)
        if pair.score > PAIR_GAIN * max(one.score, other.score, 0.0):
            pairs.append(pair)
    return pairs


def _candidate(labels: frames.Labels, mask: _Mask, shares: frames.Floats) -> _Candidate:
    coverage = float(shares[mask].sum())
    lift = coverage * len(mask) / max(int(mask.sum()), 1)
    score = coverage * math.log(lift) if lift > 0 else 0.0
    return _Candidate(labels, mask, score, coverage, lift)


def _mask(rows: list[int], length: int) -> _Mask:
    mask = np.zeros(length, np.bool_)
    mask[rows] = True
    return mask


def _by_score(
    candidates: list[_Candidate], onsets: frames.Floats | None = None
) -> list[_Candidate]:
    """Best first; equal ones by the earliest onset, fewer labels, then their names."""

    def order(each: _Candidate) -> tuple[float, float, int, frames.Labels]:
        onset = math.inf if onsets is None else float(onsets[each.mask].min())
        return -round(each.score, 9), onset, len(each.labels), each.labels

    return sorted(candidates, key=order)


def _causes(found: list[_Candidate], sizes: frames.Floats) -> tuple[anomalies.Cause, ...]:
    """The first CAUSES_MAX; values that the very same series have are told of together."""
    by_rows: dict[bytes, list[_Candidate]] = {}
    for each in found:
        by_rows.setdefault(each.mask.tobytes(), []).append(each)
    causes = []
    for best, *others in itertools.islice(by_rows.values(), CAUSES_MAX):
        same = {pair for each in others for pair in each.labels} - set(best.labels)
        causes.append(
            anomalies.Cause(
                labels=best.labels,
                score=best.score,
                coverage=best.coverage,
                lift=best.lift,
                series=int(best.mask.sum()),
                deviating=int(np.count_nonzero(sizes[best.mask])),
                same=tuple(sorted(same)),
            )
        )
    return tuple(causes)
