"""ports.EpisodeStore in memory, held to the same contract suite as PostgreSQL's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from detector import alerts, errors, frames
from detector.store import text


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
        return alerts.Recorded(stored, len(notifications) - stored)

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

    def starting(
        self, fingerprint: alerts.Fingerprint, starts_at: datetime
    ) -> alerts.Episode | None:
        self._fail()
        found = sorted(
            (each for each in self._all() if each.fingerprint == fingerprint),
            key=lambda each: each.starts_at,
        )
        end = starts_at + timedelta(milliseconds=1)
        return next(
            (
                dataclasses.replace(each, transitions=())
                for each in found
                if starts_at <= each.starts_at < end
            ),
            None,
        )

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _all(self) -> list[alerts.Episode]:
        return [_episode(self._ids[key], known) for key, known in self._deliveries.items()]


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
    for one in sorted(known, key=lambda one: (one.received_at, one.notification.state)):
        before = changes[-1].state if changes else None
        after = alerts.NEXT[before, one.notification.state]
        if after != before:
            changes.append(alerts.Transition(after, one.received_at))
    return tuple(changes)


def _matches(episode: alerts.Episode, wanted: alerts.EpisodeFilter) -> bool:
    return (
        (wanted.state is None or episode.state == wanted.state)
        and set(_clean_labels(wanted.labels)) <= set(episode.labels)
        and (wanted.since is None or episode.ends_at is None or episode.ends_at >= wanted.since)
        and (wanted.until is None or episode.starts_at < wanted.until)
    )
