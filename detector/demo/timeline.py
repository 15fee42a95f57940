"""The stations that an anomaly passes on its way to memory, and when it passed them."""

from __future__ import annotations

from dataclasses import dataclass, field

from detector.demo import watch


@dataclass(frozen=True, slots=True)
class Station:
    """One line of the timeline; after_s counts from the first bad sample."""

    title: str
    after_s: float
    detail: str


TITLES = (
    "burst started",
    "score above 1",
    "rule pending",
    "rule firing",
    "Alertmanager has it",
    "episode stored",
    "episode resolved",
)


@dataclass(slots=True)
class Timeline:
    """Notes each station the first time that it is seen, in the order of TITLES.

    started_s    when the burst began, epoch seconds
    first_bad_s  the first step of the query at or after that: the first sample that can be bad
    """

    started_s: float
    first_bad_s: float
    passed: list[Station] = field(default_factory=list)
    peak: float = 0.0

    def __post_init__(self) -> None:
        self.passed.append(Station(TITLES[0], self.started_s - self.first_bad_s, "all cores busy"))

    def is_over(self) -> bool:
        """Whether the last station is passed."""
        return len(self.passed) == len(TITLES)

    def note(self, sight: watch.Sight, now_s: float) -> list[Station]:
        """The stations newly passed by what is seen now."""
        score = sight.score or 0.0
        if (sight.score_ms or 0) / 1000 >= self.first_bad_s:
            self.peak = max(self.peak, score)
        before = len(self.passed)
        while not self.is_over():
            detail = self._detail(TITLES[len(self.passed)], sight)
            if detail is None:
                break
            title = TITLES[len(self.passed)]
            self.passed.append(Station(title, now_s - self.first_bad_s, detail))
        return self.passed[before:]

    def _detail(self, title: str, sight: watch.Sight) -> str | None:
        """What there is to say of a station that is passed, None while it is not."""
        known = {
            "score above 1": f"anomaly_score {self.peak:.1f}" if self.peak > 1 else None,
            "rule pending": "AnomalyDetected waits for persistence"
            if sight.rule_state in ("pending", "firing") or sight.routed or sight.episode_id
            else None,
            "rule firing": "ALERTS says firing"
            if sight.rule_state == "firing" or sight.routed or sight.episode_id
            else None,
            "Alertmanager has it": "routed to its receivers"
            if sight.routed or sight.episode_id
            else None,
            "episode stored": f"GET /api/alerts/{sight.episode_id}" if sight.episode_id else None,
            "episode resolved": "remembered from start to end"
            if sight.episode_state == "resolved"
            else None,
        }
        return known[title]
