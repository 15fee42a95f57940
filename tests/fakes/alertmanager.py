"""ports.AlertSource, ports.AlertPoster and ports.Silencer in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from detector import alerts, errors, frames

RESOLVE_TIMEOUT = timedelta(minutes=5)
RECEIVER = "nobody"


class FakeAlertmanager:
    """Keeps alerts and silences, merges and mutes as Alertmanager does; every alert goes to the
    receiver `nobody`. While `failure` is set, each call raises it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.failure: errors.UpstreamError | None = None
        self.posts: list[tuple[alerts.Posted, ...]] = []
        self._clock = clock
        self._started_at = clock()
        self._alerts: dict[frames.Labels, tuple[alerts.Held, bool]] = {}
        self._silences: dict[str, alerts.Silence] = {}

    def held(self) -> tuple[alerts.Held, ...]:
        self._fail()
        now = self._clock()
        return tuple(
            replace(each, silenced_by=self._silenced_by(each.labels))
            for each, _ in self._alerts.values()
            if each.ends_at > now
        )

    def matched(self, matchers: Sequence[alerts.Matcher]) -> tuple[alerts.Held, ...]:
        return tuple(
            each for each in self.held() if all(_holds(one, each.labels) for one in matchers)
        )

    def started_at(self) -> datetime:
        self._fail()
        return self._started_at

    def restart(self) -> None:
        """Forget all alerts, as they are not kept on disk."""
        self._alerts.clear()
        self._started_at = self._clock()

    def post(self, posted: Sequence[alerts.Posted]) -> None:
        self._fail()
        for each in posted:
            if not each.labels:
                raise errors.UpstreamError(
                    "at least one label pair", kind="refused", retryable=False
                )
        if posted:
            self.posts.append(tuple(posted))
        for each in posted:
            self._put(each)

    def silences(self) -> tuple[alerts.Silence, ...]:
        self._fail()
        return tuple(self._as_of_now(each) for each in self._silences.values())

    def silence(self, new: alerts.NewSilence) -> str:
        self._fail()
        if not new.matchers or new.ends_at <= self._clock():
            raise errors.UpstreamError("not a silence", kind="refused", retryable=False)
        silence_id = f"silence-{len(self._silences) + 1}"
        self._silences[silence_id] = alerts.Silence(
            id=silence_id,
            matchers=new.matchers,
            starts_at=max(new.starts_at, self._clock()),
            ends_at=new.ends_at,
            created_by=new.created_by,
            comment=new.comment,
            state=alerts.SilenceState.PENDING,
        )
        return silence_id

    def expire(self, silence_id: str) -> None:
        self._fail()
        known = self._silences.get(silence_id)
        if known is not None and self._as_of_now(known).state is not alerts.SilenceState.EXPIRED:
            self._silences[silence_id] = replace(known, ends_at=self._clock())

    def _put(self, each: alerts.Posted) -> None:
        """types.Alert.Merge of Alertmanager, where the two overlap; else the new one alone."""
        now = self._clock()
        labels = frames.labels_from_pairs(each.labels)
        new = alerts.Held(
            fingerprint=alerts.fingerprint_of(labels),
            starts_at=each.starts_at,
            ends_at=each.ends_at or now + RESOLVE_TIMEOUT,
            updated_at=now,
            labels=labels,
            annotations=frames.labels_from_pairs(each.annotations),
            generator_url=each.generator_url,
            receivers=(RECEIVER,),
        )
        if labels in self._alerts:
            old, by_timeout = self._alerts[labels]
            if old.starts_at < new.ends_at < old.ends_at or (
                old.starts_at < new.starts_at < old.ends_at
            ):
                new = replace(new, starts_at=min(old.starts_at, new.starts_at))
                if new.ends_at > now and old.ends_at > new.ends_at and not by_timeout:
                    new = replace(new, ends_at=old.ends_at)
        self._alerts[labels] = new, each.ends_at is None

    def _silenced_by(self, labels: frames.Labels) -> tuple[str, ...]:
        active = alerts.SilenceState.ACTIVE
        return tuple(
            each.id
            for each in self.silences()
            if each.state is active and all(_holds(one, labels) for one in each.matchers)
        )

    def _as_of_now(self, each: alerts.Silence) -> alerts.Silence:
        now, states = self._clock(), alerts.SilenceState
        if each.ends_at <= now:
            return replace(each, state=states.EXPIRED)
        return replace(each, state=states.PENDING if each.starts_at > now else states.ACTIVE)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _holds(matcher: alerts.Matcher, labels: frames.Labels) -> bool:
    value = dict(labels).get(matcher.name, "")
    pattern = matcher.value if matcher.is_regex else re.escape(matcher.value)
    return (re.fullmatch(pattern, value) is not None) == matcher.is_equal
