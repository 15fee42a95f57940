"""What people do about alerts: acknowledge, silence, end and judge them.

A silence is made at Alertmanager first and then kept with the episode; where that fails, the
silence is ended again. Where even that fails, or we are stopped in between, `turn` ends it later.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from detector import alerts, errors, loops, ports
from detector.alerts import Status
from detector.services import raising, silencing

logger = logging.getLogger(__name__)

ACKNOWLEDGED_FOR = timedelta(hours=1)
ACKNOWLEDGED_MOST = timedelta(days=1)
EVERY = timedelta(seconds=15)
SETTLED_AFTER = timedelta(minutes=1)
"""By then a silence is kept with its episode, or will not be."""
ACKNOWLEDGED = "mda acknowledged alert"
"""How the comment of a silence behind an alert begins; no reason does, for its silencing.MARK."""
UNREAD = "it is done, but the memory of alerts does not answer: its history is to be read later"
_OURS = re.compile(rf"{ACKNOWLEDGED} (?P<id>[0-9]{{1,18}})(?::.*)?", re.S)
WORDS = {
    alerts.Feedback.TRUE: "a true alarm",
    alerts.Feedback.FALSE_ALARM: "a false alarm",
    alerts.Feedback.PLANNED: "planned",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An episode after something was done about it.

    silence_id  of the silence that was made; "" for none
    warning     what is to be known; "" for nothing
    """

    episode: alerts.Episode
    silence_id: str = ""
    warning: str = ""


class Answering:
    """Does what people ask for; threads may share it.

    All methods raise NotFoundError, ConflictError where an episode is not in a state for that,
    UpstreamError and StoreError; then nothing is done. Where the memory fails after that, the
    answer says what was done, with a warning.
    """

    def __init__(
        self,
        store: ports.EpisodeStore,
        silencer: ports.Silencer,
        poster: ports.AlertPoster,
        silences: silencing.Silencing,
        raised: raising.Raising,
        *,
        clock: Callable[[], datetime],
        count_failure: Callable[[str], None],
    ) -> None:
        self._store, self._silencer, self._poster = store, silencer, poster
        self._silences, self._raised = silences, raised
        self._clock, self._count_failure = clock, count_failure

    def acknowledge(
        self,
        episode_id: int,
        *,
        by: str,
        note: str = "",
        owner: str = "",
        lasting: timedelta = ACKNOWLEDGED_FOR,
    ) -> Answer:
        """Somebody sees to it: for `lasting` nobody else is told, unless it ends and comes again.

        owner  who sees to it; `by`, if not given
        """
        episode = self._firing(episode_id)
        if episode.status is Status.ACKNOWLEDGED:
            raise errors.ConflictError(
                f"alert {episode_id}: {episode.owner} has acknowledged it already: unacknowledge "
                "it first"
            )
        if owner and owner != by:
            note = f"{note} (said by {by})".lstrip()
        now = self._clock()
        silence_id = self._silencer.silence(
            alerts.NewSilence(
                _exactly(episode),
                now,
                now + lasting,
                owner or by,
                f"{ACKNOWLEDGED} {episode_id}" + (f": {note}" if note else ""),
            )
        )
        self._mark(episode, Status.ACKNOWLEDGED, by=owner or by, note=note, silence_id=silence_id)
        marked = replace(
            episode, status=Status.ACKNOWLEDGED, owner=owner or by, silence_id=silence_id
        )
        return self._after(marked, silence_id)

    def unacknowledge(self, episode_id: int, *, by: str, note: str = "") -> Answer:
        """Nobody sees to it any more: people are told again."""
        episode = self._firing(episode_id)
        if episode.status is not Status.ACKNOWLEDGED:
            raise errors.ConflictError(
                f"alert {episode_id}: {episode.status}: it is not acknowledged"
            )
        if episode.silence_id:
            self._silencer.expire(episode.silence_id)
        self._mark(episode, Status.FIRING, by=by, note=note)
        return self._after(replace(episode, status=Status.FIRING))

    def silence(
        self,
        episode_id: int,
        wanted: silencing.Wanted,
        confirm: str = "",
    ) -> Answer | silencing.Broad:
        """Mute it, and whatever else the matchers hold of; without matchers, it alone."""
        episode = self._firing(episode_id)
        if episode.status is Status.SILENCED:
            raise errors.ConflictError(
                f"alert {episode_id}: silenced already: end that silence first (/api/silences)"
            )
        is_exact = not wanted.matchers
        if is_exact:
            wanted = replace(wanted, matchers=_exactly(episode))
        elif not any(each.fingerprint == episode.fingerprint for each in self._matched(wanted)):
            raise errors.ConflictError(
                f"alert {episode_id}: the matchers do not hold of it: leave them out to mute it "
                "alone"
            )
        made = self._silences.make(wanted, confirm, is_exact=is_exact)
        if isinstance(made, silencing.Broad):
            return made
        note = f"{wanted.reason} (silence {made})"
        self._mark(episode, Status.SILENCED, by=wanted.by, note=note, silence_id=made)
        if episode.status is Status.ACKNOWLEDGED:
            self._end(episode.silence_id)  # which would mute it when this one is ended early
        return self._after(replace(episode, status=Status.SILENCED), made)

    def resolve(
        self,
        episode_id: int,
        *,
        by: str,
        note: str = "",
        even_if_it_comes_back: bool = False,
    ) -> Answer:
        """End it. A manual alert is over then. One of a rule is over at Alertmanager, until
        Prometheus repeats it; its episode ends when Alertmanager says so."""
        episode = self._firing(episode_id)
        manual = self._raised.firing(episode.key)
        if manual is not None:
            self._raised.end(manual)
            return self._noted(episode, self._clock(), by, note)
        if not even_if_it_comes_back:
            raise errors.ConflictError(
                f"alert {episode_id}: Prometheus raised it and repeats it while its condition "
                "holds: acknowledge or silence it, or send even_if_it_comes_back: true"
            )
        now = max(self._clock(), episode.starts_at)
        over = alerts.Posted(
            episode.labels, episode.annotations, episode.starts_at, now, episode.generator_url
        )
        self._poster.post([over])
        said = "Alertmanager was told that it is over" + (f": {note}" if note else "")
        warning = (
            "Alertmanager was told that it is over; while its condition holds, Prometheus "
            "raises it again within a minute or two"
        )
        return self._noted(episode, now, by, said, warning)

    def judge(
        self, episode_id: int, feedback: alerts.Feedback, *, by: str, note: str = ""
    ) -> Answer:
        """Keep what it was, in whatever state it is."""
        episode = self._found(episode_id)
        if episode.feedback is feedback:
            raise errors.ConflictError(f"alert {episode_id}: said to be {WORDS[feedback]} already")
        at = self._clock()
        self._store.remark(episode.key, at=at, by=by, note=note, feedback=feedback)
        return Answer(self._found(episode_id))

    def turn(self) -> loops.Turn:
        """End silences behind what was acknowledged where the alert is over, or where another one
        or none stands behind it. An Alertmanager that does not answer is a failure that is counted
        by kind, and no more: there may be none. Raises StoreError."""
        settled = self._clock() - SETTLED_AFTER
        looked, ended = 0, 0
        try:
            silences = self._silencer.silences()
        except errors.UpstreamError as error:
            self._count_failure(error.kind)
            return loops.Turn()
        for each in silences:
            ours = _OURS.fullmatch(each.comment)
            if ours is None or each.state is alerts.SilenceState.EXPIRED:
                continue
            looked += 1
            episode = self._store.episode(int(ours["id"]))
            is_over = episode is not None and episode.status is Status.RESOLVED
            is_behind = (
                episode is not None
                and episode.status is Status.ACKNOWLEDGED
                and episode.silence_id == each.id
            )
            if is_over or (not is_behind and each.starts_at < settled):
                self._end(each.id)
                ended += 1
        return loops.Turn(came_in=looked, went_out=ended)

    def _found(self, episode_id: int) -> alerts.Episode:
        found = self._store.episode(episode_id)
        if found is None:
            raise errors.NotFoundError(f"alert_id: {episode_id}: no alert has this id")
        return found

    def _after(self, marked: alerts.Episode, silence_id: str = "") -> Answer:
        """What the memory has of it by now, or as it was marked where that does not answer."""
        try:
            return Answer(self._found(marked.id), silence_id)
        except errors.StoreError:
            return Answer(marked, silence_id, UNREAD)

    def _noted(
        self, episode: alerts.Episode, at: datetime, by: str, note: str, warning: str = ""
    ) -> Answer:
        """What was done is written down, or stays done where the memory does not answer."""
        try:
            self._store.remark(episode.key, at=at, by=by, note=note)
            return Answer(self._found(episode.id), warning=warning)
        except errors.StoreError:
            return Answer(episode, warning=UNREAD)

    def _firing(self, episode_id: int) -> alerts.Episode:
        episode = self._found(episode_id)
        if episode.state is alerts.State.RESOLVED:
            raise errors.ConflictError(
                f"alert {episode_id}: it has been over since {episode.ends_at:%Y-%m-%d %H:%M} UTC"
            )
        return episode

    def _matched(self, wanted: silencing.Wanted) -> tuple[alerts.Held, ...]:
        return self._silences.matched(wanted.matchers)

    def _mark(
        self, episode: alerts.Episode, status: Status, *, by: str, note: str, silence_id: str = ""
    ) -> None:
        """Keep it, or end the silence that was made for it."""
        at = self._clock()
        try:
            marked = self._store.mark(
                [episode.key], status, at=at, by=by, note=note, silence_id=silence_id
            )
        except errors.StoreError:
            self._end(silence_id)
            raise
        if not marked:
            self._end(silence_id)
            raise errors.ConflictError(
                f"alert {episode.id}: somebody was faster, or it has ended: look at it again"
            )

    def _end(self, silence_id: str) -> None:
        if not silence_id:
            return
        try:
            self._silencer.expire(silence_id)
        except errors.UpstreamError as error:
            told = {"silence": silence_id, "reason": str(error)}
            logger.error("a silence is left over at Alertmanager", extra=told)


def _exactly(episode: alerts.Episode) -> tuple[alerts.Matcher, ...]:
    """Raises ConflictError of an alert without labels, which Alertmanager itself never tells."""
    matchers = silencing.exactly(episode.labels)
    if not matchers:
        raise errors.ConflictError(
            f"alert {episode.id}: it has no labels that a silence could name: let it end"
        )
    return matchers
