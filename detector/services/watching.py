"""What opens, lasts and ends on the series of a query, told on as it comes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias

import numpy as np

from detector import anomalies, frames
from detector.services import inbox

OPEN_MAX = 2_000
"""Anomalies of one query that are followed at a time: each costs some 5 us a step, 50 when it is
told of and 200 at a new peak."""
TOLD_EVERY = timedelta(minutes=1)
"""One that lasts is told of so often, and whenever it becomes worse."""

Explain = Callable[[int, int, float], anomalies.Explanation]
"""Which features spoke: of the row, the step and the value of the frame scored last."""


Open: TypeAlias = Mapping[anomalies.Key, anomalies.Anomaly]
"""Anomalies that are open."""


class Watch(Protocol):
    """Is shown what a query's series score; takes no time to speak of and never fails."""

    def hand_over(self) -> Open:
        """What is open, for who watches the query from now on."""
        ...

    def take_over(self, opened: Open) -> None:
        """What was open when another one watched: it ends, unless the next steps show it open."""
        ...

    def end(self) -> None:
        """Nobody watches the query from now on: all that is open ends."""
        ...

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

    def hand_over(self) -> Open:
        """Nothing."""
        return {}

    def take_over(self, opened: Open) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

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
        self._open: dict[int, _Open] = {}
        self._beyond: set[int] = set()
        self._before: dict[anomalies.Key, anomalies.Anomaly] = {}

    def open_keys(self) -> frozenset[anomalies.Key]:
        """Of what is open."""
        return frozenset(each.peak.key for each in tuple(self._open.values()))

    def hand_over(self) -> Open:
        """What is open here, which is forgotten."""
        opened = self._before | {each.peak.key: each.now() for each in self._open.values()}
        self._before, self._open, self._beyond = {}, {}, set()
        return opened

    def take_over(self, opened: Open) -> None:
        """Remember by its labels what was open, until a step shows whether it still is."""
        self._before |= opened

    def end(self) -> None:
        """Tell the end of all that is open."""
        for anomaly in self.hand_over().values():
            self._tell_end(anomaly)

    def start_afresh(self) -> None:
        """Remember what was open by its labels, until history has been learnt again."""
        self.has_followed = False
        self.take_over(self.hand_over())

    def take_up(
        self,
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        """Follow the open ones from their opening; what is over is history."""
        times = _instants(scores.times_ms)
        for row in np.flatnonzero(scores.kind[-1]).tolist():
            closed = np.flatnonzero(scores.kind[:, row] == 0)
            first = int(closed[-1]) + 1 if len(closed) else 0
            self._follow_series(row, first, times, table, frame, scores, explain)

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
            times = _instants(scores.times_ms)
            rows = {*np.flatnonzero(scores.kind.any(axis=0)).tolist(), *self._open}
            for row in sorted(rows):
                self._follow_series(row, 0, times, table, frame, scores, explain)
        self.has_followed = True

    def _end_unseen(self) -> None:
        """End what was open before history was learnt again and is not now."""
        still_open = self.open_keys()
        for key, anomaly in self._before.items():
            if key not in still_open:
                self._tell_end(anomaly)
        self._before = {}

    def _tell_end(self, anomaly: anomalies.Anomaly) -> None:
        self._news.put(dataclasses.replace(anomaly, ended_at=anomaly.last_at))

    def _follow_series(
        self,
        row: int,
        first: int,
        times: Sequence[datetime],
        table: frames.SeriesTable,
        frame: frames.Frame,
        scores: frames.Scores,
        explain: Explain,
    ) -> None:
        labels, now = table.labels[row], self._open.get(row)
        if now is not None and now.peak.labels != labels:
            self._end(row, now, now.last_at)  # the row is another series' now
            now = None
        if labels is None:
            return
        kinds, found = scores.kind[first:, row].tolist(), scores.score[first:, row].tolist()
        for t, (kind, score) in enumerate(zip(kinds, found, strict=True), first):
            is_told = math.isfinite(score) or kind == frames.Kind.MISSING
            score = anomalies.score_of_sample(score)
            if now is not None and is_told:
                now.last_at, now.last_score = times[t], score
            if kind == frames.Kind.NONE:
                self._beyond.discard(row)
                if now is not None:
                    self._end(row, now, times[t])
                    now = None
            elif not is_told:
                continue
            elif now is not None and score <= max(1.0, now.peak.peak_score):
                if times[t] - now.told_at >= TOLD_EVERY:
                    self._tell(now)
            elif now is not None or self._has_room(row):
                opened_at = times[t] if now is None else now.peak.opened_at
                sample = _Sample(self.query, labels, opened_at, times[t], t, row)
                peak = _peak(sample, frame, scores, explain)
                now = self._open[row] = _Open(peak, times[t], score, times[t])
                self._tell(now)

    def _has_room(self, row: int) -> bool:
        if len(self._open) < OPEN_MAX:
            return True
        if row not in self._beyond:
            self._beyond.add(row)
            self._drop(1)
        return False

    def _tell(self, now: _Open) -> None:
        now.told_at = now.last_at
        self._news.put(now.now())
        now.peak = anomalies.without_record(now.peak)  # told once is enough

    def _end(self, row: int, now: _Open, at: datetime) -> None:
        del self._open[row]
        self._news.put(dataclasses.replace(now.now(), ended_at=at))


@dataclasses.dataclass(slots=True)
class _Open:
    """What is open on a series: as it was at its peak (the highest score above 1, else the
    opening), its last sample, and when it was told of."""

    peak: anomalies.Anomaly
    last_at: datetime
    last_score: float
    told_at: datetime

    def now(self) -> anomalies.Anomaly:
        return dataclasses.replace(self.peak, last_at=self.last_at, last_score=self.last_score)


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    """One sample of an anomaly, and where it stands in the frame."""

    query: str
    labels: frames.Labels
    opened_at: datetime
    at: datetime
    t: int
    row: int


def _peak(
    sample: _Sample, frame: frames.Frame, scores: frames.Scores, explain: Explain
) -> anomalies.Anomaly:
    """The anomaly whose peak so far is this sample."""
    t, row = sample.t, sample.row
    value = float(frame.values[t, row])
    score = anomalies.score_of_sample(float(scores.score[t, row]))
    return anomalies.Anomaly(
        query=sample.query,
        labels=sample.labels,
        opened_at=sample.opened_at,
        ended_at=None,
        kind=frames.Kind(int(scores.kind[t, row])).name.lower(),
        peak_at=sample.at,
        peak_score=score,
        value=value,
        expected=float(scores.expected[t, row]),
        lower=float(scores.lower[t, row]),
        upper=float(scores.upper[t, row]),
        last_at=sample.at,
        last_score=score,
        explanation=explain(row, t, value),
    )


def _instants(times_ms: frames.Ints) -> list[datetime]:
    return [datetime.fromtimestamp(each / 1000, UTC) for each in times_ms.tolist()]
