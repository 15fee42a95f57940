"""What incidents are worth where it is known what really happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.services import outcomes


@dataclass(frozen=True, slots=True)
class Quality:
    """Counts of one or many series, and what follows from them; NaN where nothing can.

    events     labelled in the counted time, `found` of them met by an incident's score above 1
    incidents  opened, `right` of them in an event
    delays_s   of each found event, from its start to the first score above 1 in it
    """

    events: int
    found: int
    incidents: int
    right: int
    delays_s: tuple[float, ...]
    series_days: float

    @property
    def precision(self) -> float:
        """Share of the incidents that stand in an event."""
        return self.right / self.incidents if self.incidents else float("nan")

    @property
    def recall(self) -> float:
        """Share of the events that were found."""
        return self.found / self.events if self.events else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        if not self.events or not self.incidents:
            return 0.0 if self.events or self.incidents else float("nan")
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def delay_s(self) -> float:
        """The median delay."""
        return float(np.median(self.delays_s)) if self.delays_s else float("nan")

    @property
    def false_per_series_day(self) -> float:
        """Incidents outside every event."""
        wrong = self.incidents - self.right
        return wrong / self.series_days if self.series_days else float("nan")


def quality_of(
    series: Sequence[outcomes.Scored],
    incidents: Sequence[Sequence[outcomes.Incident]],
    events: Sequence[Sequence[outcomes.Span]],
) -> Quality:
    """What the incidents of each series are worth against its events, all taken together."""
    found = right = labelled = 0
    delays_s: list[float] = []
    for scored, told, known in zip(series, incidents, events, strict=True):
        if scored.counted >= len(scored.times_ms):
            continue
        begins_ms = int(scored.times_ms[scored.counted])
        ends_ms = int(scored.times_ms[-1])
        fell = [event for event in known if begins_ms <= event.end_ms and event.start_ms <= ends_ms]
        above_ms = scored.times_ms[scored.counted :][scored.score[scored.counted :] > 1]
        labelled += len(fell)
        for event in fell:
            inside = above_ms[(above_ms >= event.start_ms) & (above_ms <= event.end_ms)]
            if inside.size:
                found += 1
                delays_s.append((int(inside[0]) - event.start_ms) / 1000)
        right += sum(any(told_of.span.meets(event) for event in fell) for told_of in told)
    return Quality(
        events=labelled,
        found=found,
        incidents=sum(len(each) for each in incidents),
        right=right,
        delays_s=tuple(delays_s),
        series_days=sum(each.days for each in series),
    )
