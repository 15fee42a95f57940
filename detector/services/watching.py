"""What opens, lasts and ends on the series of a query, told on as it comes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np

from detector import anomalies, frames
from detector.services import inbox

OPEN_MAX = 5_000
"""Anomalies of one query that are followed at a time: some 10 us each a step."""
TOLD_EVERY = timedelta(minutes=1)
"""One that lasts is told of so often, and whenever it becomes worse."""

Explain = Callable[[int, int, float], anomalies.Explanation]
"""Which features spoke: of the row, the step and the value of the frame scored last."""


class Watch(Protocol):
    """Is shown what a query's series score; takes no time to speak of and never fails."""

    def start_afresh(self) -> None:
        """Rows will mean other series from now on."""
        ...

    def take_up(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """Look at the last block of history, for what is open at its end."""
        ...

    def follow(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """Look at the steps that come next."""
        ...


class Nobody:
    """A Watch that looks away."""

    def start_afresh(self) -> None:
        """Nothing."""

    def take_up(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """Nothing."""

    def follow(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """Nothing."""


NOBODY = Nobody()


class Tracker:
    """Keeps what is open on one query's series and puts its news into the inbox.

    The query's thread calls it; open_keys and has_followed may be read by others.
    drop  counts anomalies beyond OPEN_MAX
    """

    def __init__(self, query: str, *, news: inbox.Inbox, drop: Callable[[int], None]) -> None:
        self.query = query
        self.has_followed = False
        """Whether what is open is known: it is not while history is learnt."""
        self._news, self._drop = news, drop
        self._open: dict[int, anomalies.Anomaly] = {}
        self._told_at: dict[int, datetime] = {}
        self._beyond: set[int] = set()
        self._before: dict[anomalies.Key, anomalies.Anomaly] = {}

    def open_keys(self) -> frozenset[anomalies.Key]:
        """Of what is open."""
        return frozenset(each.key for each in tuple(self._open.values()))

    def start_afresh(self) -> None:
        """Remember what was open by its labels, until history has been learnt again."""
        self.has_followed = False
        self._before |= {each.key: each for each in self._open.values()}
        self._open, self._told_at, self._beyond = {}, {}, set()

    def take_up(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """Follow the open ones from their opening; what is over is history."""
        for row in np.flatnonzero(scores.kind[-1]).tolist():
            closed = np.flatnonzero(scores.kind[:, row] == 0)
            first = int(closed[-1]) + 1 if len(closed) else 0
            self._follow_series(row, first, table, frame, scores, explain)

    def follow(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """One comparison a query while nothing is open."""
        if self._before:
            self._end_unseen()
        if self._open or scores.kind.any():
            rows = {*np.flatnonzero(scores.kind.any(axis=0)).tolist(), *self._open}
            for row in sorted(rows):
                self._follow_series(row, 0, table, frame, scores, explain)
        self.has_followed = True

    def _end_unseen(self) -> None:
        """End what was open before history was learnt again and is not now."""
        still_open = self.open_keys()
        for key, anomaly in self._before.items():
            if key not in still_open:
                self._news.put(dataclasses.replace(anomaly, ended_at=anomaly.last_at))
        self._before = {}

    def _follow_series(
        self,
        row: int,
        first: int,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        labels = table.labels[row]
        before = self._open.get(row)
        if before is not None and before.labels != labels:
            self._end(row, before, before.last_at)  # the row is another series' now
        if labels is None:
            return
        for t in range(first, len(scores.times_ms)):
            kind, score = int(scores.kind[t, row]), float(scores.score[t, row])
            at, anomaly = _instant(int(scores.times_ms[t])), self._open.get(row)
            if kind == frames.Kind.NONE:
                self._beyond.discard(row)
                if anomaly is not None:
                    self._end(row, _moved(anomaly, at, score), at)
            elif not math.isfinite(score):
                continue
            elif anomaly is not None and score <= anomaly.peak_score:
                self._last(row, _moved(anomaly, at, score))
            elif anomaly is not None or self._has_room(row):
                sample = _Sample(t, row, kind, float(frame.values[t, row]))
                peak = _peak(self.query, labels, anomaly, sample, scores, explain)
                self._tell(row, peak)

    def _has_room(self, row: int) -> bool:
        if len(self._open) < OPEN_MAX:
            return True
        if row not in self._beyond:
            self._beyond.add(row)
            self._drop(1)
        return False

    def _last(self, row: int, anomaly: anomalies.Anomaly) -> None:
        self._open[row] = anomaly
        if anomaly.last_at - self._told_at[row] >= TOLD_EVERY:
            self._tell(row, anomaly)

    def _tell(self, row: int, anomaly: anomalies.Anomaly) -> None:
        self._open[row], self._told_at[row] = anomaly, anomaly.last_at
        self._news.put(anomaly)

    def _end(self, row: int, anomaly: anomalies.Anomaly, at: datetime) -> None:
        del self._open[row], self._told_at[row]
        self._news.put(dataclasses.replace(anomaly, ended_at=at))


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    """Where it stands in a frame, what its series' open anomaly is, and its value."""

    t: int
    row: int
    kind: int
    value: float


def _peak(
    query: str,
    labels: frames.Labels,
    before: anomalies.Anomaly | None,
    sample: _Sample,
    scores: frames.Scores,
    explain: Explain,
) -> anomalies.Anomaly:
    """The anomaly whose highest score so far is this sample's."""
    t, row = sample.t, sample.row
    at, score = _instant(int(scores.times_ms[t])), float(scores.score[t, row])
    return anomalies.Anomaly(
        query=query,
        labels=labels,
        opened_at=at if before is None else before.opened_at,
        ended_at=None,
        kind=frames.Kind(sample.kind).name.lower(),
        peak_at=at,
        peak_score=score,
        value=sample.value,
        expected=float(scores.expected[t, row]),
        lower=float(scores.lower[t, row]),
        upper=float(scores.upper[t, row]),
        last_at=at,
        last_score=score,
        explanation=explain(row, t, sample.value),
    )


def _moved(anomaly: anomalies.Anomaly, at: datetime, score: float) -> anomalies.Anomaly:
    """The anomaly with another sample, if that is one."""
    if not math.isfinite(score):
        return anomaly
    return dataclasses.replace(anomaly, last_at=at, last_score=score)


def _instant(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
