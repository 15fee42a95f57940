"""ports.EpisodeStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean, median

from detector import alerts, errors, frames
from detector.store import partitions, text
from detector.store.episodes import SAME_WITHIN


@dataclasses.dataclass(frozen=True, slots=True)
class _Delivery:
    notification: alerts.Notification
    received_at: datetime


class FakeEpisodeStore:
    """Keeps every delivery and works an episode out of all of them each time it is asked."""

    def __init__(self) -> None:
        self.failure: errors.StoreError | None = None
        self._deliveries: dict[tuple[str, datetime], list[_Delivery]] = {}
        self._ids: dict[tuple[str, datetime], int] = {}
        self._marks: dict[tuple[str, datetime], list[alerts.Transition]] = {}
        self._silences: dict[tuple[str, datetime], str] = {}
        self._watched: datetime | None = None
        self._facts: dict[tuple[str, datetime], dict[str, str]] = {}
        self._feedback: dict[tuple[str, datetime], alerts.Feedback] = {}

    def record(
        self, notifications: Sequence[alerts.Notification], *, received_at: datetime
    ) -> alerts.Recorded:
        self._fail()
        stored = 0
        for each in notifications:
            key = (each.fingerprint, each.starts_at)
            self._ids.setdefault(key, len(self._ids) + 1)
            known = self._deliveries.setdefault(key, [])
            stored += all(one.notification.state != each.state for one in known)
            known.append(_Delivery(_clean(each), received_at))
            self._supersede(key)
            self._join(each.fingerprint)
        return alerts.Recorded(stored, len(notifications) - stored)

    def mark(
        self,
        keys: Collection[alerts.Key],
        status: alerts.Status,
        *,
        at: datetime,
        by: str = "",
        note: str = "",
        silence_id: str = "",
        was: alerts.Status | None = None,
    ) -> int:
        self._fail()
        known = {each.key: each for each in self._all() if each.key in keys}
        marked = alerts.Transition(status, at, text.storable(by), text.storable(note))
        count = 0
        for key, episode in known.items():
            before = self._marks.setdefault(key, [])
            if status is alerts.Status.PENDING:
                is_news = all(each.state != status for each in before)
            else:
                is_news = episode.state is alerts.State.FIRING and episode.status is not status
                is_news = is_news and was in {None, episode.status}
            if is_news:
                before.append(marked)
                count += 1
                if status is alerts.Status.ACKNOWLEDGED:
                    self._silences[key] = silence_id
        return count

    def learn(self, facts: Mapping[alerts.Key, frames.Labels]) -> None:
        self._fail()
        for key, news in facts.items():
            if key in self._ids:
                self._facts[key] = self._facts.get(key, {}) | dict(_clean_labels(news))

    def remark(
        self,
        key: alerts.Key,
        *,
        at: datetime,
        by: str,
        note: str = "",
        feedback: alerts.Feedback | None = None,
    ) -> bool:
        self._fail()
        if key not in self._deliveries:
            return False
        known = self._known(key)
        said = alerts.Transition(known.status, at, text.storable(by), text.storable(note), feedback)
        self._marks.setdefault(key, []).append(said)
        if feedback is not None:
            self._feedback[key] = feedback
        return True

    def judged(self, since: datetime) -> tuple[alerts.Episode, ...]:
        self._fail()
        found = [
            dataclasses.replace(each, transitions=())
            for each in self._all()
            if each.feedback is not None and (each.ends_at is None or each.ends_at >= since)
        ]
        return tuple(sorted(found, key=lambda each: (each.starts_at, each.id)))

    def muted(self, matchers: Sequence[alerts.Matcher], *, since: datetime) -> int | None:
        self._fail()
        try:
            return sum(
                each.starts_at >= since and all(_holds(one, each.labels) for one in matchers)
                for each in self._all()
            )
        except re.error:
            return None

    def firing(self) -> tuple[alerts.Firing, ...]:
        self._fail()
        return tuple(
            alerts.Firing(each.key, each.status, each.owner, each.silence_id)
            for each in self._all()
            if each.state is alerts.State.FIRING
        )

    def statistics(self, since: datetime, until: datetime) -> alerts.Statistics:
        self._fail()
        everything = self._all()
        known = {each.key for each in everything}
        found = [
            each
            for each in everything
            if since <= each.starts_at < until and alerts.MDA_TEST not in dict(each.labels)
        ]

        def by(label: str) -> tuple[alerts.Tally, ...]:
            names = {dict(each.labels).get(label, "") for each in found}
            tallies = [
                _tally(
                    name,
                    [each for each in found if dict(each.labels).get(label, "") == name],
                    known,
                )
                for name in names
            ]
            return tuple(sorted(tallies, key=lambda each: (-each.count, each.name)))

        return alerts.Statistics(1.0, _tally("", found, known), by("alertname"), by("severity"))

    def forget(self, before: datetime) -> alerts.Forgotten:
        self._fail()
        gone = [
            each.key
            for each in self._all()
            if each.ends_at is not None
            and each.ends_at < before
            and partitions.after(partitions.month_of(each.starts_at)) <= before - timedelta(days=1)
        ]
        for key in gone:
            del self._deliveries[key]
        return alerts.Forgotten(episodes=len(gone))

    def watched_until(self) -> datetime | None:
        self._fail()
        return self._watched

    def watched(self, until: datetime) -> None:
        self._fail()
        self._watched = until

    def list_episodes(self, wanted: alerts.EpisodeFilter) -> alerts.EpisodePage:
        self._fail()
        newest = sorted(self._all(), key=lambda each: (each.starts_at, each.id), reverse=True)
        if wanted.before_id is not None:
            ids = [each.id for each in newest]
            known = wanted.before_id in ids
            newest = newest[ids.index(wanted.before_id) + 1 :] if known else []
        found = [each for each in newest if _matches(each, wanted)]
        page = tuple(dataclasses.replace(each, transitions=()) for each in found[: wanted.limit])
        return alerts.EpisodePage(page, page[-1].id if len(found) > wanted.limit else None)

    def episode(self, episode_id: int) -> alerts.Episode | None:
        self._fail()
        return next((each for each in self._all() if each.id == episode_id), None)

    def episode_of(self, key: alerts.Key) -> alerts.Episode | None:
        self._fail()
        fingerprint, starts_at = key
        began = starts_at.replace(microsecond=starts_at.microsecond // 1000 * 1000)
        found = [
            each
            for each in self._deliveries
            if each[0] == fingerprint and began <= each[1] < began + timedelta(milliseconds=1)
        ]
        return self._known(min(found)) if found else None

    def _supersede(self, told: tuple[str, datetime]) -> None:
        made = (alerts.SOURCE, alerts.FROM_ALERTS)
        for key in list(self._deliveries):
            is_near = key[0] == told[0] and abs(key[1] - told[1]) <= SAME_WITHIN
            if key != told and is_near and made in self._facts.get(key, {}).items():
                del self._deliveries[key]
        if made in self._facts.get(told, {}).items():
            del self._facts[told][alerts.SOURCE]

    def _join(self, fingerprint: alerts.Fingerprint) -> None:
        keys = sorted(key for key in self._deliveries if key[0] == fingerprint)
        for place in range(len(keys) - 1, 0, -1):
            earlier, key = keys[place - 1 : place + 1]
            known = self._deliveries[key]
            ended = _episode(0, self._deliveries[earlier]).ends_at
            is_end_alone = all(one.notification.ends_at is not None for one in known)
            if is_end_alone and key not in self._marks and ended is not None and ended >= key[1]:
                self._deliveries[earlier] += [
                    dataclasses.replace(
                        one,
                        notification=dataclasses.replace(one.notification, starts_at=earlier[1]),
                    )
                    for one in self._deliveries.pop(key)
                ]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _all(self) -> list[alerts.Episode]:
        return [self._known(key) for key in self._deliveries]

    def _known(self, key: tuple[str, datetime]) -> alerts.Episode:
        found = _episode(self._ids[key], self._deliveries[key])
        return self._marked(found, self._marks.get(key, []))

    def _marked(
        self, episode: alerts.Episode, marks: Sequence[alerts.Transition]
    ) -> alerts.Episode:
        done = [
            each
            for each in marks
            if each.state is not alerts.Status.PENDING and each.feedback is None
        ]
        owners = [each.by for each in done if each.state is alerts.Status.ACKNOWLEDGED]
        is_over = episode.state is alerts.State.RESOLVED
        last = done[-1].state if done else alerts.Status.FIRING
        return dataclasses.replace(
            episode,
            status=alerts.Status.RESOLVED if is_over else last,
            owner=owners[-1] if owners else "",
            silence_id=self._silences.get(episode.key, ""),
            feedback=self._feedback.get(episode.key),
            facts=frames.labels_from_pairs(self._facts.get(episode.key, {}).items()),
            transitions=alerts.in_order(episode.transitions, marks),
        )


def _clean(given: alerts.Notification) -> alerts.Notification:
    return dataclasses.replace(
        given,
        labels=_clean_labels(given.labels),
        annotations=_clean_labels(given.annotations),
        generator_url=text.storable(given.generator_url),
    )


def _clean_labels(labels: frames.Labels) -> frames.Labels:
    return frames.labels_from_pairs((text.storable(k), text.storable(v)) for k, v in labels)


def _episode(episode_id: int, known: list[_Delivery]) -> alerts.Episode:
    state: alerts.State | None = None
    for one in known:
        state = alerts.NEXT[state, one.notification.state]
    assert state is not None
    best = max(
        (one for one in known if one.notification.state == state),
        key=lambda one: (one.notification.ends_at or one.received_at, one.received_at),
    )
    won = best.notification
    return alerts.Episode(
        id=episode_id,
        fingerprint=won.fingerprint,
        starts_at=won.starts_at,
        ends_at=won.ends_at,
        state=state,
        labels=won.labels,
        annotations=won.annotations,
        generator_url=won.generator_url,
        received_at=min(one.received_at for one in known),
        updated_at=min(one.received_at for one in known if one.notification == won),
        transitions=_transitions(known),
    )


def _transitions(known: list[_Delivery]) -> tuple[alerts.Transition, ...]:
    changes: list[alerts.Transition] = []
    before: alerts.State | None = None
    for one in sorted(known, key=lambda one: (one.received_at, one.notification.state)):
        after = alerts.NEXT[before, one.notification.state]
        if after is not before:
            changes.append(alerts.Transition(alerts.Status(after), one.received_at))
        before = after
    return tuple(changes)


def _matches(episode: alerts.Episode, wanted: alerts.EpisodeFilter) -> bool:
    given = re.findall(r"[^\W_]+", wanted.text.lower())
    return (
        (wanted.state is None or episode.state == wanted.state)
        and (wanted.status is None or episode.status == wanted.status)
        and set(_clean_labels(wanted.labels)) <= set(episode.labels)
        and (not wanted.owner or episode.owner == text.storable(wanted.owner))
        and (wanted.feedback is None or episode.feedback == wanted.feedback)
        and all(any(known.startswith(word) for known in _words(episode)) for word in given)
        and (wanted.since is None or episode.ends_at is None or episode.ends_at >= wanted.since)
        and (wanted.until is None or episode.starts_at < wanted.until)
    )


def _words(episode: alerts.Episode) -> set[str]:
    pairs = (*episode.labels, *episode.annotations)
    return set(re.findall(r"[^\W_]+", " ".join(" ".join(pair) for pair in pairs).lower()))


def _holds(matcher: alerts.Matcher, labels: frames.Labels) -> bool:
    value = dict(labels).get(matcher.name, "")
    pattern = matcher.value if matcher.is_regex else re.escape(matcher.value)
    return (re.fullmatch(pattern, value) is not None) == matcher.is_equal


def _tally(name: str, episodes: Sequence[alerts.Episode], known: set[alerts.Key]) -> alerts.Tally:
    count = len(episodes)
    resolved = [(each.ends_at - each.starts_at) for each in episodes if each.ends_at is not None]
    acted = [_acted(each) for each in episodes]
    idle = [not done and one.feedback is None for one, done in zip(episodes, acted, strict=True)]
    acknowledged = [
        min(one.received_at for one in done if one.state is alerts.Status.ACKNOWLEDGED)
        - each.starts_at
        for each, done in zip(episodes, acted, strict=True)
        if any(one.state is alerts.Status.ACKNOWLEDGED for one in done)
    ]
    flapping = [
        any(
            key[0] == each.fingerprint
            and timedelta(0) < each.starts_at - key[1] <= alerts.FLAPS_WITHIN
            for key in known
        )
        for each in episodes
    ]
    return alerts.Tally(
        name=name,
        count=count,
        flapping=sum(flapping) / count if count else 0.0,
        without_action=sum(idle) / count if count else 0.0,
        acknowledge_s=_mean_and_median(acknowledged),
        resolve_s=_mean_and_median(resolved),
    )


def _acted(episode: alerts.Episode) -> list[alerts.Transition]:
    actions = {alerts.Status.ACKNOWLEDGED, alerts.Status.SILENCED}
    return [each for each in episode.transitions if each.state in actions]


def _mean_and_median(spans: Sequence[timedelta]) -> tuple[float, float] | None:
    seconds = [each.total_seconds() for each in spans]
    return (fmean(seconds), median(seconds)) if seconds else None
