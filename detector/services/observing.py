"""Alertmanager and Prometheus watched, for what no webhook tells of an alert.

Alertmanager sends nothing of alerts that are silenced or inhibited, nor of their end; nothing at
all says that an alert is pending. So it is asked for all that it holds every few seconds, and what
has changed is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from detector import alerts, errors, frames, loops, ports
from detector.services import backfilling, portions

SETTLED = timedelta(minutes=5)
"""An Alertmanager that was started since then may not have been told of all alerts again.
Prometheus repeats them each minute, or each four evaluations."""
TOLD_WITHIN = timedelta(minutes=15)
"""The end of an alert that is not muted is left to the webhook for so long: it knows it exactly,
and comes after the route's group_interval (5 minutes unless said)."""
REMEMBER_EVERY = timedelta(seconds=30)
_MUTED = frozenset({alerts.Status.SILENCED, alerts.Status.INHIBITED, alerts.Status.ACKNOWLEDGED})
_Pairs = frozenset[tuple[str, str]]
_Mark = tuple[alerts.Status, alerts.Status, str, str, str]
"""What an episode is to be, what it was, by whom, why, and by which silence."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """An episode that Alertmanager holds no more, since when, at how many turns."""

    since: datetime
    turns: int


class Observer:
    """Keeps episodes as Alertmanager has them.

    evaluation  what Prometheus says; its failures cost pending times and nothing else
    """

    def __init__(
        self,
        store: ports.EpisodeStore,
        source: ports.AlertSource,
        evaluation: ports.AlertEvaluation,
        filling: backfilling.Backfilling,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._source = source
        self._evaluation = evaluation
        self._filling = filling
        self._clock = clock
        self._before: dict[alerts.Key, alerts.Held] = {}
        self._facts: dict[alerts.Key, frames.Labels] = {}
        self._begun: set[alerts.Key] = set()
        self._evaluated: dict[alerts.Key, _Pairs] = {}
        self._unmuted: set[alerts.Key] = set()
        self._missing: dict[alerts.Key, _Missing] = {}
        self._remembered: datetime | None = None

    def turn(self) -> loops.Turn:
        """Write what has changed. Raises UpstreamError, StoreError; then nothing is forgotten."""
        now = self._clock()
        # In this order: what is acknowledged in between is then not taken for something else.
        firing = {each.key: each for each in self._store.firing()}
        held = {
            each.key: each for each in self._source.held() if not alerts.is_watchdog(each.labels)
        }
        written = self._record(held, firing, now)
        written += self._mark(held, firing, now)
        written += self._end(held, firing, now)
        self._learn(held)
        pending = self._mark_pending(held)
        self._before = held
        self._fill(held, now)
        return loops.Turn(came_in=len(held), went_out=written + pending)

    def _record(
        self,
        held: Mapping[alerts.Key, alerts.Held],
        firing: Mapping[alerts.Key, alerts.Firing],
        now: datetime,
    ) -> int:
        """What is not known yet; what was held before is known, though it may be over by now."""
        new = [each for key, each in held.items() if key not in firing and key not in self._before]
        return self._store_in_parts([_notification(each, None) for each in new], now)

    def _mark(
        self,
        held: Mapping[alerts.Key, alerts.Held],
        firing: Mapping[alerts.Key, alerts.Firing],
        now: datetime,
    ) -> int:
        changes: defaultdict[_Mark, list[alerts.Key]] = defaultdict(list)
        unmuted = set()
        for key, each in held.items():
            known = firing.get(key) or _new(key)
            wanted, why = _status(each, known)
            if wanted is known.status:
                continue
            if known.status is alerts.Status.ACKNOWLEDGED and wanted is alerts.Status.FIRING:
                # A silence that has just been made may not have reached every Alertmanager.
                unmuted.add(key)
                if key not in self._unmuted:
                    continue
            is_owned = wanted is alerts.Status.ACKNOWLEDGED
            by, silence_id = (known.owner, known.silence_id) if is_owned else ("", "")
            changes[wanted, known.status, by, why, silence_id].append(key)
        self._unmuted = unmuted
        return sum(
            self._store.mark(keys, status, at=now, by=by, note=why, silence_id=muted_by, was=was)
            for (status, was, by, why, muted_by), keys in changes.items()
        )

    def _end(
        self,
        held: Mapping[alerts.Key, alerts.Held],
        firing: Mapping[alerts.Key, alerts.Firing],
        now: datetime,
    ) -> int:
        """What fires for us and is held no more."""
        gone = [each for key, each in firing.items() if key not in held]
        before, self._missing = self._missing, {}
        for each in gone:
            known = before.get(each.key) or _Missing(now, 0)
            self._missing[each.key] = _Missing(known.since, known.turns + 1)
        over = {
            each.key: self._missing[each.key].since
            for each in gone
            if self._missing[each.key].turns > 1 and self._is_over(each, now)
        }
        if over and now - self._source.started_at() < SETTLED:
            over = self._without_active(over)
        if not over:
            return 0
        told = [_ended(each, over[each.key]) for each in self._episodes(over)]
        return self._store_in_parts(told, now)

    def _store_in_parts(self, told: Sequence[alerts.Notification], now: datetime) -> int:
        recorded = (self._store.record(each, received_at=now) for each in portions.parts(told))
        return sum(each.stored for each in recorded)

    def _without_active(self, over: Mapping[alerts.Key, datetime]) -> dict[alerts.Key, datetime]:
        """Of alerts that Prometheus has evaluated, those that do not fire there any more: a second
        witness where Alertmanager may have forgotten them."""
        known = {key: self._evaluated[key] for key in over if key in self._evaluated}
        if not known:
            return {}
        try:
            active, _ = self._active()
        except errors.UpstreamError:
            return {}
        return {key: over[key] for key, labels in known.items() if labels not in active}

    def _active(self) -> tuple[Mapping[_Pairs, datetime], _Pairs]:
        """What fires at Prometheus, and since when its expression has held; its external labels,
        which alerts at Alertmanager have beside those."""
        external = frozenset(self._evaluation.external_labels())
        firing = (each for each in self._evaluation.active() if each.is_firing)
        return {frozenset(each.labels) - external: each.active_at for each in firing}, external

    def _is_over(self, each: alerts.Firing, now: datetime) -> bool:
        is_muted = each.status in _MUTED
        return is_muted or now - self._missing[each.key].since >= TOLD_WITHIN

    def _episodes(self, keys: Mapping[alerts.Key, datetime]) -> Iterable[alerts.Episode]:
        """These, as the store has them, as long as they fire."""
        firing = alerts.EpisodeFilter(state=alerts.State.FIRING)
        for page in portions.pages(self._store, firing):
            yield from (each for each in page if each.key in keys)

    def _learn(self, held: Mapping[alerts.Key, alerts.Held]) -> None:
        facts = {key: self._graver(key, _facts(each)) for key, each in held.items()}
        news = {key: said for key, said in facts.items() if self._facts.get(key) != said}
        self._store.learn(news)
        self._facts = facts

    def _graver(self, key: alerts.Key, said: frames.Labels) -> frames.Labels:
        """Of what is said now and what was said before: that with the higher score."""
        before = self._facts.get(key, ())
        return before if _score(said) < _score(before) else said

    def _mark_pending(self, held: Mapping[alerts.Key, alerts.Held]) -> int:
        """Since when what has begun to fire had been pending."""
        kept = held.keys() | self._missing.keys()
        self._evaluated = {key: each for key, each in self._evaluated.items() if key in kept}
        new = held.keys() - self._begun
        if not new:
            return 0
        try:
            since, external = self._active()
        except errors.UpstreamError:
            return 0  # asked again at the next turn
        changes: defaultdict[datetime, list[alerts.Key]] = defaultdict(list)
        for key in new:
            labels = frozenset(held[key].labels) - external
            began = since.get(labels)
            if began is not None:
                self._evaluated[key] = labels
            if began is not None and began < key[1]:
                changes[began].append(key)
        self._begun = set(held)
        pending = alerts.Status.PENDING
        return sum(self._store.mark(keys, pending, at=at) for at, keys in changes.items())

    def _fill(self, held: Collection[alerts.Key], now: datetime) -> None:
        """What was missed since the last good turn, and that this was one."""
        if self._remembered is None or now - self._remembered > backfilling.AWAY:
            self._filling.fill(self._store.watched_until(), now, held=held)
        elif now - self._remembered < REMEMBER_EVERY:
            return
        self._store.watched(now)
        self._remembered = now


def _facts(each: alerts.Held) -> frames.Labels:
    receivers = (alerts.RECEIVERS, ", ".join(sorted(each.receivers)))
    return (*(pair for pair in each.annotations if pair[0] in alerts.FACTS), receivers)


def _score(said: frames.Labels) -> float:
    """0 of what has none."""
    try:
        return float(dict(said).get("score", "0").split()[0])
    except (ValueError, IndexError):  # annotations are anybody's
        return 0.0


def _new(key: alerts.Key) -> alerts.Firing:
    return alerts.Firing(key, alerts.Status.FIRING, "", "")


def _status(each: alerts.Held, known: alerts.Firing) -> tuple[alerts.Status, str]:
    """What it is in, and why."""
    own = {known.silence_id} - {""}
    others = set(each.silenced_by) - own
    if others:
        return alerts.Status.SILENCED, "silence " + ", ".join(sorted(others))
    if own & set(each.silenced_by):
        return alerts.Status.ACKNOWLEDGED, ""
    if each.inhibited_by:
        return alerts.Status.INHIBITED, "by " + ", ".join(sorted(each.inhibited_by))
    if known.status is alerts.Status.ACKNOWLEDGED and not own:
        return alerts.Status.ACKNOWLEDGED, ""  # nothing mutes it that could end
    return alerts.Status.FIRING, ""


def _notification(each: alerts.Held, ends_at: datetime | None) -> alerts.Notification:
    return alerts.Notification(
        fingerprint=each.fingerprint,
        starts_at=each.starts_at,
        ends_at=ends_at,
        state=alerts.State.FIRING if ends_at is None else alerts.State.RESOLVED,
        labels=each.labels,
        annotations=alerts.without_links(each.annotations),
        generator_url=each.generator_url,
        receiver=", ".join(each.receivers),
    )


def _ended(each: alerts.Episode, at: datetime) -> alerts.Notification:
    return alerts.Notification(
        fingerprint=each.fingerprint,
        starts_at=each.starts_at,
        ends_at=max(at, each.starts_at),
        state=alerts.State.RESOLVED,
        labels=each.labels,
        annotations=each.annotations,
        generator_url=each.generator_url,
        receiver="",
    )
