"""What people said of alerts, found again in the series that were scored."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from detector import alerts, anomalies, frames, judgements, loops, ports
from detector.services import heeding

EVERY = timedelta(seconds=30)
KEEP = timedelta(days=90)
"""How far back judgements are heeded."""
SLACK = timedelta(minutes=10)
"""An alert begins after its anomaly, since rules wait, and ends after it."""
MOST_ANOMALIES = 1_000
"""Of the series of a query in the time of one alert."""
QUERY, SOURCE_QUERY, NAME = "query", "exported_query", "__name__"


class Heeds(Protocol):
    """Whom it concerns what people said of a query's anomalies: its runner."""

    def heed(self, judged: heeding.Judged) -> None:
        """Do so from now on."""
        ...


Judged = Callable[[datetime], Sequence[alerts.Episode]]
"""Episodes that people judged, of those that had not ended before an instant."""


class Judging:
    """Tells each runner what was said of its series' anomalies; a loop's thread calls it.

    An alert on scores bears its query's name and its series' labels, so its anomalies are those of
    the query, in its time, whose labels it has.

    runners  of the queries that are run now, by name
    """

    def __init__(
        self,
        judged: Judged,
        remembered: ports.AnomalyStore,
        runners: Callable[[], Mapping[str, Heeds]],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._judged, self._anomalies, self._runners = judged, remembered, runners
        self._clock = clock
        # Those of which nothing will change.
        self._found: dict[alerts.Episode, tuple[judgements.Judgement, ...]] = {}
        self._told: dict[str, tuple[object, heeding.Judged]] = {}

    def turn(self) -> loops.Turn:
        """Look for what is new, and tell who does not know it. Raises StoreError."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        known, self._found, news = self._found, {}, 0
        by_query: dict[str, list[judgements.Judgement]] = collections.defaultdict(list)
        for episode in sorted(self._judged(now - KEEP), key=lambda each: each.starts_at):
            if episode.feedback is None or QUERY not in dict(episode.labels):
                continue
            found = known.get(episode)
            if found is None:
                news += 1
                found = self._of(episode, episode.feedback, now)
            if (episode.ends_at or now) < now - SLACK and all(each.ended_at for each in found):
                self._found[episode] = found
            by_query[dict(episode.labels)[QUERY]] += found
        told = 0
        for name, runner in self._runners().items():
            judged = _by_series(by_query[name])
            if self._told.get(name) != (runner, judged):
                runner.heed(judged)
                self._told[name] = (runner, judged)
                told += 1
        return loops.Turn(news, told)

    def _of(
        self, episode: alerts.Episode, verdict: alerts.Feedback, now: datetime
    ) -> tuple[judgements.Judgement, ...]:
        """The same of each of its anomalies."""
        labels = dict(episode.labels)
        until = episode.ends_at or now
        page = self._anomalies.list_anomalies(
            anomalies.Filter(
                query=labels[QUERY],
                since=episode.starts_at - SLACK,
                until=until,
                limit=MOST_ANOMALIES,
            )
        )
        return tuple(
            judgements.Judgement(
                each.anomaly.labels,
                each.anomaly.opened_at,
                each.anomaly.ended_at,
                max(each.anomaly.peak_score, 1.0),
                verdict,
            )
            for each in page.anomalies
            if _are_of(each.anomaly.labels, labels)
        )


def _are_of(series: frames.Labels, alert: Mapping[str, str]) -> bool:
    """Whether these are labels of a series that the alert is about."""
    return all(
        alert.get(SOURCE_QUERY if name == QUERY else name) == value
        for name, value in series
        if name != NAME
    )


def _by_series(found: Sequence[judgements.Judgement]) -> heeding.Judged:
    """By the labels of the series; each anomaly once, as the latest alert about it was judged."""
    by_series: dict[frames.Labels, dict[datetime, judgements.Judgement]] = {}
    for each in found:
        by_series.setdefault(each.labels, {})[each.opened_at] = each
    return {labels: tuple(told.values()) for labels, told in by_series.items()}
